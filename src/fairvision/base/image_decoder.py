"""From an image file to uint8 planes of one size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fairvision.base.pixel_range import convert
from fairvision.exceptions import BadImageError, InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Decoder"]

# Formats that Pillow reads in-process; EPS, for example, would start Ghostscript.
_LEAVE_OUT = "pass skip_bad=True (--skip-bad) to leave such files out."
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")


@dataclass(frozen=True)
class Decoder:
    """Reads image files with the settings of :class:`ImageFiles`.

    Parameters
    ----------
    height, width : int
        Pixels of the result.
    mode : {"RGB", "L"}
        Three channels, or one grey channel.
    resize : {"crop", "squash"}
        Scale the shorter side and crop the middle, or change the aspect ratio.
    max_pixels : int
        A file whose header states more pixels is refused before it is decoded.
    pixel_max : float or None
        The value of white in grey files of more than 8 bits.
    """

    height: int
    width: int
    mode: Literal["RGB", "L"] = "RGB"
    resize: Literal["crop", "squash"] = "crop"
    max_pixels: int = 50_000_000
    pixel_max: float | None = None

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise InputError(f"image_size must be at least 1; got {(self.height, self.width)}.")
        if self.mode not in ("RGB", "L"):
            raise InputError(f"mode must be 'RGB' or 'L'; got {self.mode!r}.")
        if self.resize not in ("crop", "squash"):
            raise InputError(f"resize must be 'crop' or 'squash'; got {self.resize!r}.")
        if self.pixel_max is not None and not self.pixel_max > 0:
            raise InputError(f"pixel_max must be above 0, or None; got {self.pixel_max!r}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (len(self.mode), self.height, self.width)

    def read(self, path: str) -> NDArray[np.uint8]:
        """Decode one file.

        Returns
        -------
        ndarray of shape (n_channels, height, width), uint8

        Raises
        ------
        BadImageError
            Naming the file and what is wrong with it.
        """
        from PIL import Image, UnidentifiedImageError

        if not os.path.isfile(path):  # reading a pipe or a device could take forever
            raise BadImageError(
                f"{path!r} is not a file or does not exist. Check the path, or {_LEAVE_OUT}"
            )
        try:
            with Image.open(path, formats=_FORMATS) as image:
                self._check_size(image)
                pixels = np.asarray(self._resized(self._upright(image)))
        except BadImageError as error:
            raise BadImageError(f"{path!r}: {error}") from None
        except UnidentifiedImageError as error:
            raise BadImageError(
                f"{path!r} is not an image in a supported format: {', '.join(_FORMATS)}. Convert "
                f"it (AVIF, HEIC and others to PNG), or {_LEAVE_OUT}"
            ) from error
        # On broken bytes Pillow's readers raise OSError, SyntaxError, struct.error, and more.
        except Exception as error:
            reason = str(error) if str(error) and path not in str(error) else type(error).__name__
            raise BadImageError(
                f"{path!r} cannot be read as an image: {reason.rstrip('.')}. "
                f"Replace or remove the file, or {_LEAVE_OUT}"
            ) from error
        return np.atleast_3d(pixels).transpose(2, 0, 1)

    def _check_size(self, image: Image.Image) -> None:
        pixels = image.width * image.height
        if pixels > self.max_pixels:
            raise BadImageError(
                f"the header states {image.width} x {image.height} = {pixels} pixels; the limit "
                f"is {self.max_pixels}. Raise max_pixels if you trust the file."
            )

    def _upright(self, image: Image.Image) -> Image.Image:
        """The image in `mode`, rotated as its EXIF entry says."""
        if image.format == "JPEG":  # the JPEG reader can scale down while it decodes
            side = max(self.height, self.width)
            image.draft(self.mode, (side, side))
        return convert(image, self.mode, self.pixel_max)

    def _resized(self, image: Image.Image) -> Image.Image:
        from PIL import Image

        width, height = image.size
        box = (0.0, 0.0, float(width), float(height))
        if self.resize == "crop":
            scale = min(width / self.width, height / self.height)
            left = (width - self.width * scale) / 2
            top = (height - self.height * scale) / 2
            box = (left, top, width - left, height - top)
        size = (self.width, self.height)
        return image.resize(size, Image.Resampling.BILINEAR, box=box)

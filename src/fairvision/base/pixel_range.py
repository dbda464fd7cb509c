"""The range of a picture's pixels: what white is where it is not 255."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fairvision.exceptions import BadImageError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["convert"]

_FULL = 65535
_BITS, _HIGHEST = 258, 281  # TIFF's BitsPerSample and MaxSampleValue


def stated_white(image: Image.Image) -> int | None:
    """The highest possible value that a grey picture's header states; None if it does not.

    Parameters
    ----------
    image : PIL picture
        As opened: a copy has no header.
    """
    if image.format == "PPM":
        return _FULL  # Pillow scales by the highest value that the header must state
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        bits = min(tags.get(_BITS, (16,)))
        return (
            int(np.max(tags[_HIGHEST])) if _HIGHEST in tags else 2**bits - 1 if bits < 16 else None
        )
    return None


def is_deep_colour(image: Image.Image) -> bool:
    """Whether Pillow is about to drop the lower half of 16 bits."""
    return image.mode in ("RGB", "RGBA") and any(
        ";16" in str(tile.args) for tile in getattr(image, "tile", ())
    )


def convert(image: Image.Image, mode: str | None, pixel_max: float | None) -> Image.Image:
    """An opened picture upright as its EXIF entry says, in 8 bits, without transparency.

    Parameters
    ----------
    image : PIL picture
    mode : {"RGB", "L"} or None
        None keeps grey pictures grey, and makes RGB of any others.
    pixel_max : float or None
        The value of white in grey pictures of more than 8 bits.
    """
    from PIL import ImageOps

    white, deep_colour = stated_white(image), is_deep_colour(image)
    if "transparency" in image.info and not deep_colour and image.mode[0] not in "IF":
        image = image.convert("RGBA")
    ImageOps.exif_transpose(image, in_place=True)
    # Pillow's own conversion would clip at 255.
    image = to_eight_bits(image, pixel_max or white, deep_colour=deep_colour)
    mode = mode or ("L" if image.mode == "L" else "RGB")
    return image if image.mode == mode else image.convert(mode)


def to_eight_bits(
    image: Image.Image, white: float | None, *, deep_colour: bool = False
) -> Image.Image:
    """A picture of 8 bits, with `white` as its 255.

    Parameters
    ----------
    image : PIL picture
        Of 8 bits it is returned as it is, unless it had 16 (`deep_colour`).
    white : float or None
        The value of white. None: 65535, if some pixel needs all 16 bits.

    Raises
    ------
    BadImageError
        If white is unknown, or a value is above it, negative or not finite.
    """
    from PIL import Image

    if deep_colour:
        if white not in (None, _FULL):
            raise BadImageError(
                f"colours of 16 bits are read with 65535 as white, and pixel_max is {white:g}. "
                "Save the picture with 8 bits."
            )
        _white(np.asarray(image)[..., :3].max() * 256.0, white, wide=True)
        return image
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    white = _white(high, white, wide=image.mode.startswith("I;16"))
    if not (low >= 0 and high <= white):
        raise BadImageError(
            f"values are {low:g} to {high:g}; expected 0 to {white:g}. Pass another pixel_max, or "
            "save the picture with 8 bits."
        )
    return Image.fromarray(_scaled(values, white))


def _white(high: float, white: float | None, *, wide: bool) -> float:
    if white is not None:
        return white
    if wide and (high > _FULL // 2 or high == 0):
        return _FULL
    raise BadImageError(
        f"the highest value is {high:g} and nothing says what white is. Pass pixel_max "
        "(--pixel-max): 255, 4095 (12 bits), 65535 (16 bits), ...; or save the picture with 8 bits."
    )


def _scaled(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    if values.dtype.kind == "f":
        return np.rint(values * (255 / white)).astype(np.uint8)
    # The upper 8 of the bits in use, as Pillow takes them of colours.
    return (values.astype(np.int64) * 256 // (int(white) + 1)).astype(np.uint8)

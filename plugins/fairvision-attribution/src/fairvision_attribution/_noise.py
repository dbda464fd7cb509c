"""`NoisyImages`: pictures whose chosen regions are hidden afresh each time they are read."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base import LazyImages, check_images, take
from fairvision.exceptions import InputError
from fairvision.nn import as_seed

__all__ = ["NOISES", "Noise", "NoisyImages"]

Noise = Literal["mask", "gaussian", "swap"]
NOISES = ("mask", "gaussian", "swap")

_GREY = 0.5


class NoisyImages(LazyImages):
    """Images with a region of each hidden, as a lazy array that draws its noise when read.

    The noise is part of the images and not of the classifier's `train_transform`, because a
    transform gets a batch of pixels without the pictures' identities, and so cannot find each
    picture's region. Row numbers would not help: a validation split or a second sampler changes
    them. A lazy array is always indexed together with the labels, so each picture keeps its own
    region, with any classifier that takes images. Each read, and so each epoch, draws new noise.

    Parameters
    ----------
    images : array-like of shape (n_samples, n_channels, height, width)
        Not changed, and decoded only when read.
    mask : array-like of bool, shape (height, width) or (n_samples, height, width)
        The region of all pictures, or of each one.
    noise : {"mask", "gaussian", "swap"}, default="mask"
        Mid-grey; additive Gaussian noise, clipped to the valid range; or the same
        region of another of the pictures, drawn anew.
    std : float, default=0.5
        Of the Gaussian noise, where the range of a pixel is 0..1.
    random_state : int, RandomState, Generator or None, default=None
        The same reads in the same order give the same noise.

    Examples
    --------
    >>> import numpy as np
    >>> from fairvision_attribution import NoisyImages
    >>> hidden = NoisyImages(np.zeros((5, 1, 8, 8)), np.eye(8, dtype=bool))
    >>> np.asarray(hidden[2:]).sum((1, 2, 3)).tolist()
    [4.0, 4.0, 4.0]
    """

    def __init__(
        self,
        images: Any,
        mask: ArrayLike,
        *,
        noise: Noise = "mask",
        std: float = 0.5,
        random_state: Any = None,
    ) -> None:
        images = check_images(images)
        region = np.asarray(mask)
        if region.dtype != bool or region.shape not in (
            tuple(images.shape[2:]),
            (len(images), *images.shape[2:]),
        ):
            raise InputError(
                f"mask has shape {region.shape} and dtype {region.dtype}; pass booleans of shape "
                f"{tuple(images.shape[2:])}, or one such mask for each of {len(images)} images."
            )
        if noise not in NOISES:
            raise InputError(f"noise is {noise!r}; pass one of {NOISES}.")
        if not std >= 0:
            raise InputError(f"std is {std!r}; pass a number of 0 or more.")
        self._images, self._noise, self._std = images, noise, std
        # Bits, since there may be as many masks as pictures.
        self._bits = np.packbits(region.reshape(-1, region[0].size) if region.ndim == 3
                                 else region.reshape(1, -1), axis=1)  # fmt: skip
        self._rng = np.random.default_rng(as_seed(random_state))
        dtype = str(images.dtype).removeprefix("torch.")
        super().__init__(len(images), images.shape[1:], dtype)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Which pixels are hidden, shape (n_samples, height, width)."""
        return self._masks(self.rows)

    def _masks(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        height, width = self.image_shape[1:]
        bits = self._bits[rows if len(self._bits) > 1 else np.zeros_like(rows)]
        flat = np.unpackbits(bits, axis=1, count=height * width)
        return flat.reshape(-1, height, width).astype(bool)

    def read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        pixels = take(self._images, rows).copy()
        masks = np.broadcast_to(self._masks(rows)[:, None], pixels.shape)
        top = 255 if pixels.dtype == np.uint8 else 1
        if self._noise == "mask":
            pixels[masks] = round(_GREY * top) if top == 255 else _GREY
        elif self._noise == "swap":
            swapped = take(self._images, self._rng.integers(len(self._images), size=len(pixels)))
            np.copyto(pixels, swapped, where=masks)
        else:
            grain = self._rng.standard_normal(pixels.shape, dtype=np.float32)
            noisy = np.clip(pixels + self._std * top * grain, 0, top)
            np.copyto(
                pixels, np.rint(noisy) if top == 255 else noisy, where=masks, casting="unsafe"
            )
        return pixels

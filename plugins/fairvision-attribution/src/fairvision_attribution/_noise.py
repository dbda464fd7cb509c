"""`NoisyImages`: pictures whose chosen regions are hidden afresh each time they are read."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fairvision.base import check_images, take
from fairvision.exceptions import InputError
from fairvision.nn import as_seed

__all__ = ["NOISES", "Noise", "NoisyImages"]

Noise = Literal["mask", "gaussian", "swap"]
NOISES = ("mask", "gaussian", "swap")

_GREY = 0.5


class NoisyImages:
    """Images with a region of each hidden, as a lazy array that draws its noise when read.

    The noise sits in the images and not in the classifier's `train_transform`. A
    transform is handed a batch of pixels and cannot know which picture, and so which
    region, each row is; and once a validation part is held out, rows are dropped
    or a second sampler chooses among them, row numbers no longer tell. A lazy array
    is indexed along with the labels by whoever does that, so that each picture
    keeps its own region, with any classifier that takes images. Reading a row
    again, as each epoch does, hides it anew.

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

    ndim = 4

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
        self._rows: NDArray[np.intp] = np.arange(len(images))
        self.dtype = np.dtype(str(images.dtype).removeprefix("torch."))

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._rows), *map(int, self._images.shape[1:]))

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Which pixels are hidden, shape (n_samples, height, width)."""
        height, width = self.shape[2:]
        bits = self._bits[self._rows if len(self._bits) > 1 else np.zeros_like(self._rows)]
        flat = np.unpackbits(bits, axis=1, count=height * width)
        return flat.reshape(-1, height, width).astype(bool)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"NoisyImages(shape={self.shape}, dtype={self.dtype}, noise={self._noise!r})"

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):  # scikit-learn asks for array[rows, ...]
            if any(not (part is Ellipsis or part == slice(None)) for part in key[1:]):
                raise IndexError(
                    "NoisyImages is indexed by rows only. For pixels read first: "
                    "numpy.asarray(images[rows])[:, ...]."
                )
            key = key[0] if key else Ellipsis
        rows = self._rows[np.asarray(key) if isinstance(key, list) else key]
        part = object.__new__(NoisyImages)
        part.__dict__.update(self.__dict__)  # the generator too: parts draw from one stream
        part._rows = np.atleast_1d(rows)
        return part if rows.ndim else np.asarray(part)[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("NoisyImages are made when they are read, which needs a copy.")
        pixels = self._hidden(take(self._images, self._rows).copy())
        return pixels if dtype is None else pixels.astype(dtype)

    def _hidden(self, pixels: NDArray[Any]) -> NDArray[Any]:
        masks = np.broadcast_to(self.masks[:, None], pixels.shape)
        top = 255 if pixels.dtype == np.uint8 else 1
        if self._noise == "mask":
            pixels[masks] = round(_GREY * top) if top == 255 else _GREY
        elif self._noise == "swap":
            others = take(self._images, self._rng.integers(len(self._images), size=len(pixels)))
            np.copyto(pixels, others, where=masks)
        else:
            grain = self._rng.standard_normal(pixels.shape, dtype=np.float32)
            noisy = np.clip(pixels + self._std * top * grain, 0, top)
            np.copyto(
                pixels, np.rint(noisy) if top == 255 else noisy, where=masks, casting="unsafe"
            )
        return pixels

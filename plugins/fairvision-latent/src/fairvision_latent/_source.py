"""Any generator as a function from latents to images whose output is checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fairvision.base import take
from fairvision.exceptions import InputError

__all__ = ["Source", "to_type"]

_BATCH = 256
_TOLERANCE = 1e-3  # a tanh or a resize may leave 0..1 by a rounding error


class Source:
    """Draws and encodes images with a generator.

    Parameters
    ----------
    generator : ProgressiveGAN, nn.Module or callable
        A fitted estimator with ``generate(z)``; a module from a float32 tensor
        (n, latent_dim) to images; or a function between arrays of these shapes.
        Images are floating in 0..1, or uint8.
    latent_dim : int or None
        None takes the generator's own attribute of that name.
    shape : tuple (n_channels, height, width)
        Of the real images.
    device : torch.device
        Where modules compute.
    """

    #: Whether the latent of a row gives back that row; no trained net's does.
    exact = False

    def __init__(
        self, generator: Any, latent_dim: int | None, shape: tuple[int, ...], device: torch.device
    ) -> None:
        self.generator = generator
        self.shape = tuple(shape)
        self.device = device
        size = getattr(generator, "latent_dim", None) if latent_dim is None else latent_dim
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise InputError(
                f"The generator {_name(generator)} has no latent_dim (it is {size!r}). Pass "
                "latent_dim=, the length of the vectors that it takes."
            )
        self.n_searched = self.latent_dim = int(size)
        if not hasattr(generator, "generate") and not callable(generator):
            raise InputError(
                f"generator is {generator!r}; pass a fitted ProgressiveGAN in FrozenEstimator, an "
                "nn.Module, a function from latents to images, or None to train a small one."
            )
        if isinstance(generator, nn.Module):
            generator.to(device).eval()

    def latents(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Standard normal latents, shape (n, latent_dim)."""
        return rng.standard_normal((n, self.latent_dim), dtype=np.float32)

    def images(self, z: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Images of latents, of shape (n, n_channels, height, width) in the type of the real ones.

        Raises
        ------
        InputError
            If their size is not that of the real ones, or values are outside 0..1.
        """
        draw = getattr(self.generator, "generate", self.generator)
        out = np.empty((len(z), *self.shape), dtype=dtype)
        for start in range(0, len(z), _BATCH):
            rows = slice(start, start + _BATCH)
            out[rows] = to_type(self._checked(self._compute(draw, z[rows])), dtype)
        return out

    def _compute(self, function: Any, values: NDArray[Any]) -> NDArray[Any]:
        """Call the generator, or a method of it, with an array."""
        if not isinstance(self.generator, nn.Module):
            return np.asarray(function(values))
        with torch.inference_mode():
            tensor = torch.from_numpy(np.asarray(values, dtype=np.float32)).to(self.device)
            return function(tensor).cpu().numpy()

    def _checked(self, images: NDArray[Any]) -> NDArray[Any]:
        name = f"The generator {_name(self.generator)}"
        if images.shape[1:] != self.shape:
            raise InputError(
                f"{name} gives images of shape {images.shape[1:]}, X has {self.shape} (channels, "
                "height, width). Load X in the generator's size, or resize its images."
            )
        if images.dtype == np.uint8:
            return images
        low, high = float(images.min()), float(images.max())
        if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
            raise InputError(
                f"{name} gives values from {low:.3g} to {high:.3g}; expected 0..1, or uint8. Put "
                "(x + 1) / 2 behind a net that ends in tanh, and clip other values."
            )
        return images.clip(0, 1)

    def encode(self, X: Any) -> NDArray[np.float32]:
        """Latents of real images, by the generator's own ``encode``; shape (n, latent_dim)."""
        encode = getattr(self.generator, "encode", None)
        if encode is None:
            raise InputError(
                f"latents='encoded' needs a generator with encode(images); "
                f"{_name(self.generator)} has none. Use latents='normal'."
            )
        batches = np.array_split(np.arange(len(X)), range(_BATCH, len(X), _BATCH))
        z = np.concatenate(
            [self._compute(encode, to_type(take(X, rows), np.float32)) for rows in batches]
        ).astype(np.float32)
        if z.shape != (len(X), self.latent_dim):
            raise InputError(f"encode gives shape {z.shape}; expected {(len(X), self.latent_dim)}.")
        return z


def _name(generator: Any) -> str:
    return getattr(generator, "__name__", type(generator).__name__)


def to_type(images: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """From uint8 to floating in 0..1 and back."""
    if np.dtype(dtype) == np.uint8 and images.dtype != np.uint8:
        return np.rint(images * 255).astype(np.uint8)
    if images.dtype == np.uint8 and np.dtype(dtype) != np.uint8:
        return (images / np.float32(255)).astype(dtype)
    return np.asarray(images, dtype=dtype)

"""Differentiable augmentation of what a critic sees (Zhao et al., NeurIPS 2020, arXiv:2006.10738).

Real and generated images are changed alike, in both nets' steps, so that a critic of few
images cannot know them by heart, and the generator does not learn to draw the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from fairvision.nn import to_device

__all__ = ["AUGMENTATIONS", "Draw", "augment"]

AUGMENTATIONS = ("color", "translation", "cutout")

#: From a function that makes a tensor on the CPU to that tensor on the device.
Draw = Callable[[Callable[[], Tensor]], Tensor]

_SHIFT = 1 / 8  # of the side, at most
_HOLE = 1 / 2


def augment(images: Tensor, kinds: Collection[str], draw: Draw | None = None) -> Tensor:
    """Change each image by draws of its own; gradients flow through.

    Parameters
    ----------
    images : Tensor of shape (n, n_channels, size, size)
        In -1..1; colours may leave that range a little.
    kinds : collection of {"color", "translation", "cutout"}
        Brightness, saturation and contrast; a shift by up to an eighth of the side, grey
        coming in; a hole of half the side, grey too.
    draw : callable or None
        Brings what a function makes to the device.
    """
    if not kinds:
        return images
    n = len(images)
    draw = draw or (lambda make: to_device(make(), images.device))
    draws = draw(lambda: torch.rand(7, n, 1, 1, 1))
    if "color" in kinds:
        images = images + (draws[0] - 0.5)
        grey = images.mean(1, keepdim=True)
        images = torch.lerp(grey, images, draws[1] * 2)
        flat = images.mean((1, 2, 3), keepdim=True)
        images = torch.lerp(flat, images, draws[2] + 0.5)
    size = images.shape[-1]
    if "translation" in kinds:
        down, across = (_shift(draw.view(-1, 1, 1, 1), size) for draw in draws[3:5])
        # Products with 0 and 1: their gradients need no scattered sums, whose order varies.
        images = down @ images @ across.mT
    if "cutout" in kinds:
        down, across = (_hole(draw.view(-1, 1), size) for draw in draws[5:7])
        images = images * (1 - down[:, None, :, None] * across[:, None, None, :])
    return images


def _shift(draw: Tensor, size: int) -> Tensor:
    """Matrices (n, 1, size, size) that move rows by a whole number of pixels, drawn in 0..1."""
    most = round(size * _SHIFT)
    by = (draw * (2 * most + 1)).floor() - most
    place = torch.arange(size, device=draw.device)
    return (place[:, None] + by == place).to(draw.dtype)


def _hole(draw: Tensor, size: int) -> Tensor:
    """Where the hole is along one side, (n, size): around a place drawn in 0..1."""
    place = torch.arange(size, device=draw.device)
    return ((place - (draw * size).floor()).abs() * 2 < size * _HOLE).to(draw.dtype)

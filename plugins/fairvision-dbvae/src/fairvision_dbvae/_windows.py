"""Sliding windows: a class is found in a picture where any window says so (Amini et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from fairvision.base import check_images, take
from fairvision.exceptions import InputError
from fairvision.nn import scale

__all__ = ["SMALLEST", "check_windows", "places", "window_scores"]

SMALLEST = 8  # pixels of a window's side
Place = tuple[int, int, int, int]


def check_windows(windows: Any, stride: float, threshold: float) -> None:
    """Raise InputError naming the parameter that makes no sense."""
    sides = np.asarray(windows, dtype=object).ravel()
    if not len(sides) or not all(isinstance(s, (int, float)) and 0 < s <= 1 for s in sides):
        raise InputError(
            f"windows is {windows!r}; pass sides as shares of the picture, such as (1.0, 0.7, 0.5)."
        )
    if not 0 < stride <= 1:
        raise InputError(f"window_stride is {stride!r}; pass a share above 0 and up to 1.")
    if not 0 <= threshold <= 1:
        raise InputError(f"window_threshold is {threshold!r}; pass a probability.")


def places(
    size: tuple[int, int], shape: Sequence[int], windows: Sequence[float], stride: float
) -> list[Place]:
    """Every window on a picture, as (top, left, height, width).

    Parameters
    ----------
    size : tuple (height, width)
        Of the picture.
    shape : tuple (height, width)
        Of the net's images, whose aspect ratio the windows have.
    windows : sequence of float
        Sides, as shares of the largest window that fits the picture.
    stride : float
        Largest step, as a share of a window's side; steps are equal, and the outer
        windows touch the picture's edges.

    Raises
    ------
    InputError
        If the picture is so small that a window has less than 8 pixels.
    """
    largest = min(size[0] / shape[0], size[1] / shape[1])
    places: list[Place] = []
    for share in np.unique(windows)[::-1].tolist():
        height, width = (round(share * largest * side) for side in shape)
        if min(height, width) < SMALLEST:
            raise InputError(
                f"X has pictures of {size[0]} x {size[1]} pixels; a window of {share:g} of that is "
                f"{height} x {width}, and {SMALLEST} x {SMALLEST} are needed. Pass larger pictures "
                "or larger windows."
            )
        tops, lefts = (
            np.rint(np.linspace(0, room, ceil(room / (stride * side)) + 1)).astype(int)
            for room, side in ((size[0] - height, height), (size[1] - width, width))
        )
        places += [(int(t), int(left), height, width) for t in tops for left in lefts]
    return places


def window_scores(
    score: Callable[[NDArray[np.float32]], NDArray[Any]],
    X: Any,
    *,
    shape: Sequence[int],
    windows: Sequence[float] = (1.0, 0.7, 0.5),
    stride: float = 0.25,
    batch_size: int = 128,
    device: str | torch.device = "cpu",
) -> NDArray[np.float64]:
    """The highest score of any window of each picture.

    Parameters
    ----------
    score : callable
        From images in 0..1 of shape (n, n_channels, height, width), the height and width
        those of `shape`, to n numbers, such as
        ``lambda crops: model.predict_proba(crops)[:, 1]``.
    X : array-like of shape (n_samples, n_channels, height, width)
        Whole pictures of any one size; lazy ones are decoded a batch at a time.
    shape : tuple (height, width)
        What each window is enlarged or shrunk to.
    windows, stride
        As in `places`.
    batch_size : int, default=128
        Pictures at a time; one window of each is held in memory.
    device : str or torch.device, default="cpu"
        Where windows are cut and resized.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    InputError
        If X holds no images, or they are too small for a window.
    """
    X = check_images(X)
    looks = places((int(X.shape[2]), int(X.shape[3])), shape, windows, stride)
    best = np.full(len(X), -np.inf)
    for start in range(0, len(X), batch_size):
        rows = slice(start, start + batch_size)
        for crops in _crops(take(X, rows), looks, shape, device):
            np.maximum(best[rows], score(crops), out=best[rows])
    return best


def _crops(
    images: NDArray[Any], looks: Sequence[Place], shape: Sequence[int], device: str | torch.device
) -> Iterator[NDArray[np.float32]]:
    pictures = scale(images, device, torch.float32)
    for top, left, height, width in looks:
        crops = pictures[:, :, top : top + height, left : left + width]
        if (height, width) != tuple(shape):
            crops = interpolate(crops, tuple(shape), mode="bilinear", antialias=True)
        yield crops.clamp(0, 1).cpu().numpy()

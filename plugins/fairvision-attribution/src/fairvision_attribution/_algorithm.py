"""Equations of data attribution (De Coninck et al. 2024): confidence, maps, masks, noise.

Notation: p positions on a grid of g_r x g_c, patches of k x k, pictures of h x w.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "CONFIDENCES",
    "Confidence",
    "confidence",
    "coverage",
    "interpolation",
    "min_max",
    "picture_probabilities",
    "pixel_map",
    "roughness",
    "top_mask",
]

Confidence = Literal["neg_entropy", "top_softmax", "margin"]
CONFIDENCES = ("neg_entropy", "top_softmax", "margin")

Floats = NDArray[Any]  # float32; numpy types a product of them as float64


def confidence(probabilities: Tensor, kind: Confidence = "neg_entropy") -> Tensor:
    """How sure a softmax is: 0 where all K classes are equally likely, 1 where one is certain.

    Parameters
    ----------
    probabilities : Tensor of shape (..., K)
    kind : {"neg_entropy", "top_softmax", "margin"}
        ``1 + sum p log p / log K``; the largest p, scaled from [1 / K, 1]; the
        largest less the second. (The paper prints the first without its sign.)

    Returns
    -------
    Tensor of shape (...)
    """
    n = probabilities.shape[-1]
    if kind == "neg_entropy":
        # xlogy: p log p is 0 at p = 0, where log has no value.
        entropy = -torch.special.xlogy(probabilities, probabilities).sum(-1)
        return (1 - entropy / np.log(n)).clamp(0, 1)
    top = probabilities.topk(2, dim=-1).values
    if kind == "margin":
        return top[..., 0] - top[..., 1]
    return ((top[..., 0] - 1 / n) / (1 - 1 / n)).clamp(0, 1)


def picture_probabilities(probabilities: Tensor) -> Tensor:
    """One prediction out of many patches: their mean, each weighed by its confidence.

    Parameters
    ----------
    probabilities : Tensor of shape (n, m, K)

    Returns
    -------
    Tensor of shape (n, K)
    """
    weights = confidence(probabilities).unsqueeze(-1) + 1e-6
    return (probabilities * weights).sum(1) / weights.sum(1)


def coverage(size: int, patch: int, stride: int, n: int) -> Floats:
    """The share of each position's patch among those that cover a pixel, along one axis.

    Returns
    -------
    ndarray of shape (size, n)
        Rows sum to 1.
    """
    pixel, start = np.arange(size)[:, None], np.arange(n)[None] * stride
    covers = (pixel >= start) & (pixel < start + patch)
    return (covers / covers.sum(1, keepdims=True)).astype(np.float32)


def interpolation(places: NDArray[np.int64], n: int) -> Floats:
    """Weights that fill n places linearly from those that are known, shape (n, len(places))."""
    known = np.eye(len(places))
    columns = [np.interp(np.arange(n), places, row) for row in known]
    return np.stack(columns, axis=1).astype(np.float32)


def pixel_map(regions: Floats, rows: Floats, columns: Floats) -> Floats:
    """Each pixel the mean confidence of the patches that cover it (the paper's Algorithm 1).

    Which patches cover a pixel is the product of which rows and which columns of
    the grid do, so the sum over patches is two small matrix products.

    Parameters
    ----------
    regions : ndarray of shape (..., g_r, g_c)
    rows, columns : ndarray of shape (h, g_r), (w, g_c)
        From `coverage`.

    Returns
    -------
    ndarray of shape (..., h, w)
    """
    maps: Floats = rows @ regions @ columns.T
    return maps


def min_max(maps: Floats) -> Floats:
    """Each map scaled to 0..1; 0 throughout if it is the same everywhere."""
    low, high = maps.min((-2, -1), keepdims=True), maps.max((-2, -1), keepdims=True)
    spread = high - low
    return np.divide(maps - low, spread, out=np.zeros_like(maps), where=spread > 1e-9)


def roughness(maps: Floats) -> Floats:
    """How much a map changes around each cell: the range among its four neighbours and itself."""
    padded = np.pad(maps, [(0, 0)] * (maps.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    around = np.stack(
        [
            padded[..., 1:-1, 1:-1],
            padded[..., :-2, 1:-1],
            padded[..., 2:, 1:-1],
            padded[..., 1:-1, :-2],
            padded[..., 1:-1, 2:],
        ]
    )
    return around.max(0) - around.min(0)


def top_mask(maps: NDArray[Any], quantile: float) -> NDArray[np.bool_]:
    """The highest share 1 - quantile of each map's pixels, exactly that many even among ties.

    Parameters
    ----------
    maps : ndarray of shape (..., h, w)
    quantile : float in 0..1
    """
    flat = maps.reshape(*maps.shape[:-2], -1)
    kept = round((1 - quantile) * flat.shape[-1])
    order = np.argsort(-flat, axis=-1, kind="stable")[..., :kept]
    mask = np.zeros(flat.shape, dtype=bool)
    np.put_along_axis(mask, order, True, axis=-1)
    return mask.reshape(maps.shape)


def class_accuracy_gap(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any = None,
    y_score: Any = None,
    sample_weight: Any = None,
) -> float:
    """How far the accuracies of the classes are apart, whatever the groups: the paper's "gap".

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
    sensitive_features, y_score : ignored
    sample_weight : array-like of shape (n_samples,) or None

    Returns
    -------
    float
        The largest of the classes' accuracies minus the smallest, in 0..1.
    """
    y_true, right = np.asarray(y_true), np.asarray(y_true) == np.asarray(y_pred)
    weights = np.ones(len(y_true)) if sample_weight is None else np.asarray(sample_weight)
    classes = [y_true == label for label in np.unique(y_true)]
    return float(np.ptp([np.average(right[own], weights=weights[own]) for own in classes]))

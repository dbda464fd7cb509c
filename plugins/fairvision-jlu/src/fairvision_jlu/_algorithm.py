"""Equations of joint learning and unlearning (Alvi et al. 2018, section 3).

Notation: h are features of shape (n, d); a head maps them to K_m logits for
the m-th spurious attribute with K_m values; p are its softmax outputs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fairvision.base import independence_weights

__all__ = [
    "FeatureMemory",
    "confusion_excess",
    "curvature",
    "curvature_solver",
    "decorrelating_weights",
    "standardize",
    "weighted_mean",
]


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of per-row values of shape (n,), weighted; 0 where no row has any weight."""
    return (values * weights).sum() / weights.sum().clamp_min(1e-12)


def confusion_excess(logits: Tensor, weights: Tensor) -> Tensor:
    """How far a head is from knowing nothing, in nats (equation 3, less its minimum).

    L_confusion = -1/K sum_k log p_k, the cross-entropy to the uniform label,
    is at least log K; the excess over it is the KL divergence from uniform to p,
    0 exactly when p is uniform.

    Parameters
    ----------
    logits : Tensor of shape (n, K)
    weights : Tensor of shape (n,)
    """
    uniform = torch.full_like(logits, 1 / logits.shape[1])
    divergence = F.kl_div(logits.log_softmax(1), uniform, reduction="none").sum(1)
    return weighted_mean(divergence, weights)


def standardize(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Features with mean 0 and variance 1 over the batch, shape (n, d).

    Read like this, an attribute cannot be hidden by merely making it small.

    Parameters
    ----------
    features : Tensor of shape (n, d)
    weights : Tensor of shape (n,) or None
        Sample weights.
    """
    shares = features.new_ones(len(features)) if weights is None else weights
    shares = (shares / shares.sum())[:, None]
    centred = features - (features * shares).sum(0)
    return centred * ((centred.square() * shares).sum(0) + 1e-6).rsqrt()


def decorrelating_weights(
    targets: Tensor, attribute: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Weights of rows under which the attribute says nothing about the target.

    Within each class every value of the attribute that occurs there weighs the
    same: P(y) / (K_y P(y, a)), with K_y the number of those values. Without such
    weights, a head that must not tell the attribute must not tell the target
    either, wherever the two are correlated, and the features collapse. Classes
    with a single value are left out, because there the attribute is the target;
    if all are such, every row weighs 1.

    Parameters
    ----------
    targets, attribute : Tensor of shape (n,), int64
        Codes from 0.
    weights : Tensor of shape (n,) or None
        Sample weights: a row of weight 2 counts as two.

    Returns
    -------
    Tensor of shape (n,), float64
        A factor for each row, to be multiplied by its sample weight.
    """
    factors = independence_weights(
        targets.numpy(),
        attribute.numpy(),
        None if weights is None else weights.numpy(),
        equal_groups=True,
    )
    return torch.from_numpy(factors if factors.any() else np.ones_like(factors))


def curvature(inputs: Tensor, weights: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The smaller of the two systems that divide by the curvature of a softmax regression's loss.

    Whatever its probabilities are, the curvature of the logits is at most
    1/2 (I - 11'/K) (Böhning 1992), and just that for K = 2 where the head knows
    nothing, which is where the confusion drives it. With this bound a step never
    raises the loss, and one factorisation serves all steps and classes.

    Parameters
    ----------
    inputs : Tensor of shape (n, d)
    weights : Tensor of shape (n,), sum 1
    ridge : float

    Returns
    -------
    scaled : Tensor of shape (n, d)
        S = diag(w / 2)^1/2 Z.
    gram : Tensor of shape (n, n) or (d, d)
        S S' + ridge I, by Woodbury's identity, where n < d; else S' S + ridge I.
    """
    scaled = inputs * (weights / 2).sqrt()[:, None]
    gram = scaled @ scaled.T if len(scaled) < scaled.shape[1] else scaled.T @ scaled
    gram.diagonal().add_(ridge)
    return scaled, gram


def curvature_solver(
    scaled: Tensor, ridge: float, divide: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """Divide by the curvature.

    Parameters
    ----------
    scaled : Tensor of shape (n, d)
        From `curvature`.
    ridge : float
    divide : callable
        Divides by the matrix that `curvature` gave.

    Returns
    -------
    callable
        Maps a gradient of shape (d, K) to (1/2 Z' diag(w) Z + ridge I)^-1 gradient.
    """
    if len(scaled) >= scaled.shape[1]:
        return divide
    return lambda gradient: (gradient - scaled.T @ divide(scaled @ gradient)) / ridge


class FeatureMemory:
    """The last few batches' features, for head steps that need no further forward pass.

    Parameters
    ----------
    n_batches : int
        How many to keep; 1 is the current batch only.
    """

    def __init__(self, n_batches: int) -> None:
        self._batches: deque[tuple[Tensor, ...]] = deque(maxlen=n_batches)

    def add(self, *columns: Tensor) -> tuple[Tensor, ...]:
        """Add a batch (features, codes, weights, ...); return all kept rows, column by column."""
        self._batches.append(tuple(column.detach() for column in columns))
        if len(self._batches) == 1:
            return self._batches[0]
        return tuple(torch.cat(parts) for parts in zip(*self._batches, strict=True))

    def batches(self) -> list[tuple[Tensor, ...]]:
        """What is kept, the oldest first."""
        return list(self._batches)

    def clear(self) -> None:
        """Forget all batches."""
        self._batches.clear()

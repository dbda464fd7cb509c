"""Equations of joint learning and unlearning (Alvi et al. 2018, section 3).

Notation: h are features of shape (n, d); a head maps them to K_m logits for
the m-th spurious attribute with K_m values; p are its softmax outputs.
"""

from __future__ import annotations

from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FeatureMemory", "confusion_excess", "decorrelating_weights", "weighted_mean"]


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of per-row values of shape (n,), each times its weight over the weights' sum."""
    if weights is None:
        return values.mean()
    return (values * weights).sum() / weights.sum().clamp_min(1e-12)


def confusion_excess(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """How far a head is from knowing nothing, in nats (equation 3, less its minimum).

    L_confusion = -1/K sum_k log p_k, the cross-entropy to the uniform label,
    is at least log K; the excess over it is the KL divergence from uniform to p,
    0 exactly when p is uniform.

    Parameters
    ----------
    logits : Tensor of shape (n, K)
    weights : Tensor of shape (n,) or None
    """
    k = logits.shape[1]
    per_row = -F.log_softmax(logits, dim=1).mean(dim=1) - torch.log(torch.tensor(float(k)))
    return weighted_mean(per_row, weights)


def decorrelating_weights(targets: Tensor, attribute: Tensor) -> Tensor:
    """P(y) P(a) / P(y, a) for each row: weights under which target and attribute are independent.

    Without them, a head that must not tell the attribute must not tell the
    target either, wherever the two are correlated, and the features collapse.

    Parameters
    ----------
    targets, attribute : Tensor of shape (n,), int64
        Codes from 0.

    Returns
    -------
    Tensor of shape (n,), float32; the rows' mean is 1 if every pair occurs.
    """
    n_y, n_a = int(targets.max()) + 1, int(attribute.max()) + 1
    cell = targets * n_a + attribute
    joint = torch.bincount(cell, minlength=n_y * n_a).double().reshape(n_y, n_a)
    expected = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True) / joint.sum()
    ratio = torch.where(joint > 0, expected / joint.clamp_min(1), torch.zeros_like(joint))
    return ratio.reshape(-1)[cell].float()


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

"""Sums over tables of counts. A quotient over nothing is NaN, never 0."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Confusion", "Floats", "divide"]

Floats = NDArray[np.float64]


def divide(numerator: Any, denominator: Any) -> Floats:
    """Quotient; NaN where the denominator is 0."""
    out = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


class Confusion:
    """Sums over tables of shape (..., n_groups, n_classes, n_classes).

    Parameters
    ----------
    table : ndarray
        True labels on the last axis but one, predicted labels on the last.
    positive : int or None
        Index of the positive class; without it there are no sums from `tp` on.
    present : ndarray of int
        The classes that occur in the true labels of the whole data.
    privileged : ndarray of shape (n_groups,), bool, or None
    directions : ndarray of shape (n_groups, n_classes) or None
        Signs of the association of group and class in the training data.

    Notes
    -----
    Complements are summed, never subtracted: with weights like 0.1 a
    difference leaves 1e-17 where there is nothing, and a rate over it.
    """

    def __init__(
        self,
        table: Floats,
        positive: int | None,
        present: NDArray[np.int64],
        privileged: NDArray[np.bool_] | None = None,
        directions: Floats | None = None,
    ) -> None:
        self.table, self.positive, self.present = table, positive, present
        self.privileged, self.directions = privileged, directions
        self.draws = table.shape[:-3]
        self.total = table.sum((-2, -1))
        self.of_class, self.predicted = table.sum(-1), table.sum(-2)  # (..., n_groups, n_classes)
        self.hits = np.einsum("...ii->...i", table)
        self.accuracy = divide(np.einsum("...ii->...", table), self.total)
        if positive is not None:
            self._binary(positive)

    def _binary(self, positive: int) -> None:
        """Sums for one class against the rest, each of shape (..., n_groups)."""
        classes = np.arange(self.table.shape[-1])
        others = classes[classes != positive]
        self.tp = self.table[..., positive, positive]
        self.fp = self.table[..., others, positive].sum(-1)
        self.fn = self.table[..., positive, others].sum(-1)
        self.tn = self.table[..., others, :][..., others].sum((-2, -1))
        self.positives = self.of_class[..., positive]
        self.negatives = self.of_class[..., others].sum(-1)
        self.selected = self.predicted[..., positive]
        self.selection_rate = divide(self.selected, self.total)
        self.tpr = divide(self.tp, self.positives)
        self.fpr = divide(self.fp, self.negatives)
        self.tnr = divide(self.tn, self.negatives)
        self.fnr = divide(self.fn, self.positives)
        self.precision = divide(self.tp, self.selected)

    @cached_property
    def recalls(self) -> Floats:
        """Share of each present class that was recognised, (..., n_groups, n_present)."""
        return divide(self.hits[..., self.present], self.of_class[..., self.present])

    def rate(self, spec: Any) -> Floats:
        """A rate of every group, shape (..., n_groups)."""
        return np.asarray(spec.compute(self))

    def pooled(self) -> Confusion:
        """Two groups in place of all: unprivileged, privileged."""
        assert self.privileged is not None  # needs_privileged
        sides = [
            self.table[..., side, :, :].sum(-3) for side in (~self.privileged, self.privileged)
        ]
        return Confusion(np.stack(sides, axis=-3), self.positive, self.present)

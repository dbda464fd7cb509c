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
        Index of the positive class. The properties from `tp` on need it.
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

    def rate(self, spec: Any) -> Floats:
        """A rate of every group, shape (..., n_groups)."""
        return np.asarray(spec.compute(self))

    def pooled(self) -> Confusion:
        """Two groups in place of all: unprivileged, privileged."""
        sides = [
            self.table[..., side, :, :].sum(-3) for side in (~self.privileged, self.privileged)
        ]
        return Confusion(np.stack(sides, axis=-3), self.positive, self.present)

    @cached_property
    def _others(self) -> NDArray[np.int64]:
        classes = np.arange(self.table.shape[-1])
        return classes[classes != self.positive]

    @cached_property
    def total(self) -> Floats:
        return self.table.sum((-2, -1))

    @cached_property
    def correct(self) -> Floats:
        return np.einsum("...ii->...", self.table)

    @cached_property
    def of_class(self) -> Floats:
        """Rows of each true class, shape (..., n_groups, n_classes)."""
        return self.table.sum(-1)

    @cached_property
    def predicted(self) -> Floats:
        """Rows predicted as each class, shape (..., n_groups, n_classes)."""
        return self.table.sum(-2)

    @cached_property
    def recalls(self) -> Floats:
        """Share of each present class that was recognised, (..., n_groups, n_present)."""
        hits = np.einsum("...ii->...i", self.table)
        return divide(hits[..., self.present], self.of_class[..., self.present])

    @cached_property
    def tp(self) -> Floats:
        return self.table[..., self.positive, self.positive]

    @cached_property
    def fp(self) -> Floats:
        return self.table[..., self._others, self.positive].sum(-1)

    @cached_property
    def fn(self) -> Floats:
        return self.table[..., self.positive, self._others].sum(-1)

    @cached_property
    def tn(self) -> Floats:
        return self.table[..., self._others, :][..., self._others].sum((-2, -1))

    @cached_property
    def positives(self) -> Floats:
        return self.of_class[..., self.positive]

    @cached_property
    def negatives(self) -> Floats:
        return self.of_class[..., self._others].sum(-1)

    @cached_property
    def selected(self) -> Floats:
        return self.predicted[..., self.positive]

    @property
    def tpr(self) -> Floats:
        """True positive rate, shape (..., n_groups)."""
        return divide(self.tp, self.positives)

    @property
    def fpr(self) -> Floats:
        """False positive rate, shape (..., n_groups)."""
        return divide(self.fp, self.negatives)

    @property
    def selection_rate(self) -> Floats:
        return divide(self.selected, self.total)

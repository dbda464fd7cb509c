"""Gaps and performance from counts, for every threshold and every resample at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["BIASES", "NAMES", "PERFORMANCES", "Rates", "cells_of", "rates_at"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rates:
    """Counts by group, in arrays of shape (..., n_groups, n_thresholds).

    Attributes
    ----------
    tp, fp : ndarray of shape (..., n_groups, n_thresholds)
        Rows selected among the positives, among the negatives.
    p, n : ndarray of shape (..., n_groups, 1)
        All positives, all negatives.
    """

    tp: Any
    fp: Any
    p: Any
    n: Any

    maximum: ClassVar[Any] = staticmethod(np.maximum)

    @property
    def tpr(self) -> Any:
        return self.tp / self.p

    @property
    def fpr(self) -> Any:
        return self.fp / self.n

    @property
    def selection(self) -> Any:
        return (self.tp + self.fp) / (self.p + self.n)

    @property
    def accuracy(self) -> Any:
        return (self.tp + self.n - self.fp) / (self.p + self.n)

    def gap(self, rate: Any) -> Any:
        """The largest pairwise gap between groups; NaN if a group has no rate."""
        return rate.max(-2) - rate.min(-2)

    def mean_of_cells(self) -> Floats:
        """Mean accuracy of the cells of class and group that have rows."""
        accuracies = np.concatenate([self.tpr, 1 - self.fpr], axis=-2)
        rows = np.concatenate([self.p, self.n], axis=-2) > 0
        return np.where(rows, accuracies, 0.0).sum(-2) / rows.sum(-2)

    def worst_cell(self) -> Floats:
        """Smallest accuracy of the cells of class and group that have rows."""
        return np.fmin(self.tpr, 1 - self.fpr).min(-2, initial=1.0, where=self.p + self.n > 0)

    def pooled(self) -> Rates:
        """All groups as one."""
        counts = (self.tp, self.fp, self.p, self.n)
        return Rates(*(count.sum(-2, keepdims=True) for count in counts))


#: Named as in :func:`fairvision.metrics.available_metrics`.
BIASES: dict[str, Callable[[Rates], Any]] = {
    "demographic_parity_difference": lambda r: r.gap(r.selection),
    "equal_opportunity_difference": lambda r: r.gap(r.tpr),
    "average_odds_difference": lambda r: r.gap((r.tpr + r.fpr) / 2),
    "average_abs_odds_difference": lambda r: (abs(r.gap(r.tpr)) + abs(r.gap(r.fpr))) / 2,
    "equalized_odds_difference": lambda r: r.maximum(abs(r.gap(r.tpr)), abs(r.gap(r.fpr))),
    "accuracy_gap": lambda r: r.gap(r.accuracy),
}
PERFORMANCES: dict[str, Callable[[Rates], Floats]] = {
    "balanced_accuracy": lambda r: ((r.pooled().tpr + (1 - r.pooled().fpr)) / 2)[..., 0, :],
    "accuracy": lambda r: r.pooled().accuracy[..., 0, :],
    "group_balanced_accuracy": lambda r: r.mean_of_cells(),
    "worst_group_accuracy": lambda r: r.worst_cell(),
}
#: The paper's abbreviations.
NAMES = {
    "spd": "demographic_parity_difference",
    "eod": "equal_opportunity_difference",
    "aod": "average_odds_difference",
    "equalized_odds": "equalized_odds_difference",
}


def cells_of(targets: NDArray[np.int64], groups: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Row numbers of each cell of class and group that has rows."""
    cell = targets + 2 * groups
    return [np.flatnonzero(cell == code) for code in np.unique(cell)]


def rates_at(
    scores: Floats,
    thresholds: Floats,
    targets: NDArray[np.int64],
    groups: NDArray[np.int64],
    weights: Floats,
) -> Rates:
    """Count the rows that every threshold selects, in one pass over the rows.

    A row is selected if its score is above the threshold. Rows are sorted
    into the intervals between thresholds, counted by (group, class, interval)
    and summed from the top.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    thresholds : ndarray of shape (n_thresholds,), increasing
    targets, groups : ndarray of shape (n,)
        Codes: 0 and 1; 0 to n_groups - 1.
    weights : ndarray of shape (n_draws, n)
        How often each row occurs in each resample.
    """
    n_groups, n_bins = int(groups.max()) + 1, len(thresholds) + 1
    interval = np.searchsorted(thresholds, scores, side="left")
    cell = (groups * 2 + targets) * n_bins + interval
    size = n_groups * 2 * n_bins
    counts = np.stack([np.bincount(cell, weights=w, minlength=size) for w in weights])
    counts = counts.reshape(len(weights), n_groups, 2, n_bins)
    selected = counts[..., ::-1].cumsum(-1)[..., ::-1][..., 1:]
    total = counts.sum(-1, keepdims=True)
    return Rates(tp=selected[:, :, 1], fp=selected[:, :, 0], p=total[:, :, 1], n=total[:, :, 0])

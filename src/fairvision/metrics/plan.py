"""Which numbers to compute, all at once, for a sample as for each of its bootstrap draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.metrics.aggregates import AGGREGATES, Context, Disparity
from fairvision.metrics.catalog import SCORE_DISPARITIES
from fairvision.metrics.rates import RATES, Confusion, Floats
from fairvision.metrics.scores import SCORE_RATES, ScoreCells, score_kl

__all__ = ["CountPlan", "Key", "ScorePlan"]

# The table that shows a number ("overall", "group", "disparity"), the group code or -1, the metric.
Key = tuple[str, int, str]


@dataclass(frozen=True, eq=False)
class CountPlan:
    """The numbers that a table of counts gives.

    Attributes
    ----------
    rates : list of str
        For everyone and for every group.
    disparities : dict of str to Disparity
    labels : list
        Of the groups, for the notes.
    classes : ndarray
        Labels of the target, for the notes.
    positive : int or None
    present : ndarray of int
        Classes that occur in the true labels.
    keep : ndarray of shape (n_groups,), bool
        Groups that disparities are taken over.
    context : Context
        For the kept groups.
    """

    rates: list[str]
    disparities: dict[str, Disparity]
    labels: list[Any]
    classes: NDArray[Any]
    positive: int | None
    present: NDArray[np.int64]
    keep: NDArray[np.bool_]
    context: Context

    @property
    def keys(self) -> list[Key]:
        groups = range(len(self.labels))
        return [
            *(("overall", -1, rate) for rate in self.rates),
            *(("group", group, rate) for rate in self.rates for group in groups),
            *((d.part, -1, name) for name, d in self.disparities.items()),
        ]

    def __call__(self, table: Floats) -> Floats:
        """Numbers of tables (..., n_groups, n_classes, n_classes), shape (..., len(keys))."""
        everyone = self._confusion(table.sum(-3, keepdims=True))
        groups, kept = self._confusion(table), self._kept(table)
        parts = [np.zeros((*table.shape[:-3], 0))]
        parts += [RATES[rate].compute(everyone) for rate in self.rates]
        parts += [RATES[rate].compute(groups) for rate in self.rates]
        for d in self.disparities.values():
            # A gap over one group would be 0 whatever the model does.
            if self.keep.sum() >= d.min_groups:
                value = np.asarray(d.compute(kept, self.context))
            else:
                value = np.full(table.shape[:-3], np.nan)
            parts.append(value[..., None])
        return np.concatenate(parts, axis=-1)

    def notes(self, table: Floats, value: Floats) -> list[str]:
        """Why a number is undefined in `table`, for each of `keys`; empty where it is not."""
        kept = self._kept(table)
        notes = []
        for (_, _, name), number in zip(self.keys, value, strict=True):
            if not np.isnan(number):
                notes.append("")
            elif name in self.disparities:
                notes.append(self._why(self.disparities[name], kept))
            else:
                notes.append(RATES[name].support)
        return notes

    def _confusion(self, table: Floats) -> Confusion:
        return Confusion(table, self.positive, self.present)

    def _kept(self, table: Floats) -> Confusion:
        return self._confusion(table if self.keep.all() else table[..., self.keep, :, :])

    def _why(self, disparity: Disparity, kept: Confusion) -> str:
        if self.keep.sum() < disparity.min_groups:
            return f"needs {disparity.min_groups} groups, got {int(self.keep.sum())}"
        labels = [label for label, keep in zip(self.labels, self.keep, strict=True) if keep]
        reasons = []
        for name in disparity.uses:
            if name == "recall":
                for g, k in np.argwhere(np.isnan(kept.recalls)):
                    label = self.classes[self.present[k]]
                    reasons.append(f"no rows of class {label} in group {labels[g]}")
            elif self.positive is not None or not RATES[name].needs_positive:
                lacking = np.flatnonzero(np.isnan(RATES[name].compute(kept)))
                reasons += [f"{RATES[name].support} in group {labels[g]}" for g in lacking]
        return "; ".join(dict.fromkeys(reasons)) or disparity.undefined


@dataclass(frozen=True, eq=False)
class ScorePlan:
    """The numbers that sorted scores give.

    Attributes
    ----------
    cells : ScoreCells
    rates, disparities : list of str
    labels : list
    keep : ndarray of shape (n_groups,), bool
    """

    cells: ScoreCells
    rates: list[str]
    disparities: list[str]
    labels: list[Any]
    keep: NDArray[np.bool_]

    @property
    def keys(self) -> list[Key]:
        groups = range(len(self.labels))
        return [
            *(("overall", -1, rate) for rate in self.rates),
            *(("group", group, rate) for rate in self.rates for group in groups),
            *(("disparity", -1, name) for name in self.disparities),
        ]

    def __call__(self, amounts: Floats) -> Floats:
        """Numbers of weights (..., n_kinds), shape (..., len(keys))."""
        wanted = [SCORE_DISPARITIES[n][0] for n in self.disparities if n in SCORE_DISPARITIES]
        names = list(dict.fromkeys([*self.rates, *wanted]))
        ranked = [self.cells.of_group(g, amounts) for g in range(len(self.labels))]
        by_group = {
            name: np.stack([self._rate(name, r) for r in ranked], axis=-1) for name in names
        }
        everyone = self.cells.everyone(amounts) if self.rates else None
        parts = [np.zeros((*amounts.shape[:-1], 0))]
        parts += [self._rate(name, everyone)[..., None] for name in self.rates]
        parts += [by_group[name] for name in self.rates]
        parts += [self._disparity(n, by_group, amounts)[..., None] for n in self.disparities]
        return np.concatenate(parts, axis=-1)

    def _rate(self, name: str, ranked: Any) -> Floats:
        rate = SCORE_RATES[name]
        if rate.probabilities and not self.cells.probabilities:
            return np.full(ranked.amounts.shape[:-1], np.nan)
        return np.asarray(rate.compute(ranked))

    def _disparity(self, name: str, by_group: dict[str, Floats], amounts: Floats) -> Floats:
        if name not in SCORE_DISPARITIES:
            return np.asarray(score_kl(self.cells, self.keep, amounts))
        rate, aggregate = SCORE_DISPARITIES[name]
        reduce, _, min_groups = AGGREGATES[aggregate]
        if self.keep.sum() < min_groups:
            return np.full(amounts.shape[:-1], np.nan)
        return np.asarray(reduce(by_group[rate][..., self.keep]))

    def notes(self, value: Floats) -> list[str]:
        """Why a number is undefined, for each of `keys`; empty where it is not."""
        return [
            "" if not np.isnan(number) else self._why(name)
            for (_, _, name), number in zip(self.keys, value, strict=True)
        ]

    def _why(self, name: str) -> str:
        if name in SCORE_RATES:
            rate = SCORE_RATES[name]
        elif name in SCORE_DISPARITIES:
            rate = SCORE_RATES[SCORE_DISPARITIES[name][0]]
        else:
            return "no rows of a class in a group, or a single group"
        if rate.probabilities and not self.cells.probabilities:
            return "scores outside [0, 1] are no probabilities"
        return rate.support if name in SCORE_RATES else f"{rate.support} in a group, or one group"

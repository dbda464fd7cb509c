"""Computes the wanted metrics all at once, for a sample as for each of its bootstrap draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.metrics.catalog import RECALL
from fairvision.metrics.confusion import Confusion, Floats, Pairs
from fairvision.metrics.scores import GroupScores, ScoreRows
from fairvision.metrics.spec import MetricSpec

__all__ = ["Calculator", "CountSource", "Key", "ScoreSource"]

# Reasons that a note spells out: of a thousand classes, hundreds may have no rows in a group.
MOST_REASONS = 20
# The table that shows a number ("overall", "group", "disparity"), the group code or -1, the metric.
Key = tuple[str, int, str]


@dataclass(frozen=True, eq=False)
class CountSource:
    """Reads tables of counts, shape (..., n_groups, n_classes, n_classes).

    Attributes
    ----------
    labels : list
        Of the groups.
    keep : ndarray of shape (n_groups,), bool
        The groups that are compared.
    classes : ndarray
        Labels of the target.
    positive : int or None
    present : ndarray of int
        Classes that occur in the true labels.
    privileged, directions : ndarray or None
        Of the compared groups, see `Confusion`.
    pairs : Pairs or None
        As of `Confusion`.
    """

    labels: list[Any]
    keep: NDArray[np.bool_]
    classes: NDArray[Any]
    positive: int | None
    present: NDArray[np.int64]
    privileged: NDArray[np.bool_] | None
    directions: Floats | None
    pairs: Pairs | None = None

    def everyone(self, table: Floats) -> Confusion:
        return self.groups(table.sum(-3, keepdims=True))

    def groups(self, table: Floats) -> Confusion:
        return Confusion(table, self.positive, self.present, pairs=self.pairs)

    def compared(self, groups: Confusion) -> Confusion:
        table = groups.table if self.keep.all() else groups.table[..., self.keep, :, :]
        sides = self.privileged, self.directions
        return Confusion(table, self.positive, self.present, *sides, pairs=self.pairs)

    def undefined(self, spec: MetricSpec) -> str:
        return ""

    def reasons(self, rate: MetricSpec, compared: Confusion, labels: list[Any]) -> list[str]:
        """Why a rate is undefined, for each group where it is."""
        if rate is RECALL:
            return [
                f"no rows of class {self.classes[self.present[k]]} in group {labels[g]}"
                for g, k in np.argwhere(np.isnan(compared.recalls))
            ]
        if rate.needs_positive and self.positive is None:
            return []
        return _in_groups(rate, compared, labels)


@dataclass(frozen=True, eq=False)
class ScoreSource:
    """Reads weights of sorted scores, shape (..., n_kinds).

    Attributes
    ----------
    labels, keep
        As of `CountSource`.
    rows : ScoreRows
    """

    labels: list[Any]
    keep: NDArray[np.bool_]
    rows: ScoreRows

    def everyone(self, amounts: Floats) -> GroupScores:
        return GroupScores(self.rows, amounts, [self.rows.everyone(amounts)])

    def groups(self, amounts: Floats) -> GroupScores:
        ranked = [self.rows.of_group(group, amounts) for group in range(len(self.labels))]
        return GroupScores(self.rows, amounts, ranked)

    def compared(self, groups: GroupScores) -> GroupScores:
        return replace(groups, keep=self.keep)  # shares the rates that are computed already

    def undefined(self, spec: MetricSpec) -> str:
        """Why a metric is undefined whatever the groups."""
        unfit = any(s.needs_probabilities for s in (spec, *spec.uses)) and (
            not self.rows.probabilities
        )
        return "scores outside [0, 1] are no probabilities" if unfit else ""

    def reasons(self, rate: MetricSpec, compared: GroupScores, labels: list[Any]) -> list[str]:
        return _in_groups(rate, compared, labels)


def _in_groups(rate: MetricSpec, compared: Any, labels: list[Any]) -> list[str]:
    undefined = np.flatnonzero(np.isnan(compared.rate(rate)))
    return [f"{rate.undefined} in group {labels[group]}" for group in undefined]


@dataclass(frozen=True, eq=False)
class Calculator:
    """The wanted metrics as one function of counts or of weights.

    Attributes
    ----------
    source : CountSource or ScoreSource
    specs : list of MetricSpec
        All of them read this source.
    shift : ndarray of shape (n_numbers,) or None
        Added to the numbers: what binned scores leave out.
    """

    source: Any
    specs: list[MetricSpec]
    shift: Floats | None = None

    @property
    def _columns(self) -> list[tuple[Key, MetricSpec]]:
        rates = [spec for spec in self.specs if spec.by_group]
        groups = range(len(self.source.labels))
        return [
            *((("overall", -1, spec.name), spec) for spec in rates),
            *((("group", group, spec.name), spec) for spec in rates for group in groups),
            *(((s.table, -1, s.name), s) for s in self.specs if not s.by_group),
        ]

    @property
    def keys(self) -> list[Key]:
        return [key for key, _ in self._columns]

    def __call__(self, data: Floats) -> Floats:
        """Numbers of what the source reads, shape (..., len(keys))."""
        groups, rates = self.source.groups(data), [spec for spec in self.specs if spec.by_group]
        compared = self.source.compared(groups)
        columns = [np.zeros((*groups.draws, 0))]
        if rates:
            everyone = self.source.everyone(data)
            columns += [everyone.rate(spec) for spec in rates]
            columns += [groups.rate(spec) for spec in rates]
        for spec in self.specs:
            # A gap over one group would be 0 whatever the model does.
            if not spec.by_group and self.source.keep.sum() >= spec.min_groups:
                columns.append(np.asarray(spec.compute(compared))[..., None])
            elif not spec.by_group:
                columns.append(np.full((*groups.draws, 1), np.nan))
        numbers = np.concatenate(columns, axis=-1)
        if self.shift is None:
            return numbers
        # Shares and their differences stay what they can be; a divergence has no upper end.
        highest = [np.inf if name == "score_kl" else 1.0 for _, _, name in self.keys]
        return np.clip(numbers + self.shift, 0.0, highest)

    def binned(self, value: Floats) -> Calculator:
        """The same metrics of binned scores, to draw from; `value` are those of the sample."""
        rows = self.source.rows
        bins = rows.binned()
        if bins is rows:
            return self
        binned = Calculator(replace(self.source, rows=bins), self.specs)
        shift = np.nan_to_num(value - binned(bins.rows * bins.weight))
        return replace(binned, shift=shift)

    def notes(self, data: Floats, value: Floats) -> list[str]:
        """Why a number is undefined in `data`, for each of `keys`; empty where it is not."""
        compared = self.source.compared(self.source.groups(data))
        return [
            self._reason(spec, compared) if np.isnan(number) else ""
            for (_, spec), number in zip(self._columns, value, strict=True)
        ]

    def _reason(self, spec: MetricSpec, compared: Any) -> str:
        n_groups, general = int(self.source.keep.sum()), self.source.undefined(spec)
        if general or spec.by_group:
            return general or spec.undefined
        if n_groups < spec.min_groups:
            return f"needs {spec.min_groups} groups, got {n_groups}"
        labels = [
            label for label, keep in zip(self.source.labels, self.source.keep, strict=True) if keep
        ]
        reasons = [r for rate in spec.uses for r in self.source.reasons(rate, compared, labels)]
        reasons = list(dict.fromkeys(reasons))
        if len(reasons) > MOST_REASONS:
            reasons[MOST_REASONS:] = [f"and {len(reasons) - MOST_REASONS} more"]
        return "; ".join(reasons) or spec.undefined

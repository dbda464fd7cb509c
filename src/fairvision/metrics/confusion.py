"""Sums over tables of counts. A quotient over nothing is NaN, never 0."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Confusion", "Floats", "Pairs", "add_by_place", "divide", "run_starts"]

Floats = NDArray[np.float64]


def divide(numerator: Any, denominator: Any) -> Floats:
    """Quotient; NaN where the denominator is 0."""
    out = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def run_starts(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """Where sorted rows, whose values are in the columns, differ from the row before."""
    new = np.ones(len(columns[0]), dtype=bool)
    new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.flatnonzero(new)


def add_by_place(
    amounts: NDArray[np.floating], place: NDArray[np.int64], shape: tuple[int, ...]
) -> Floats:
    """Add up amounts, (..., n), by their place in a flattened table of this shape."""
    tables = np.zeros((*amounts.shape[:-1], int(np.prod(shape))))
    if len(place):
        order = np.argsort(place, kind="stable")
        ordered = place[order]
        starts = run_starts(ordered)
        tables[..., ordered[starts]] = np.add.reduceat(
            amounts[..., order], starts, axis=-1, dtype=np.float64
        )
    return tables.reshape(*amounts.shape[:-1], *shape)


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of true and predicted label that occur, in the place of a table of all of them.

    A thousand classes have a million pairs, of which a few thousand occur.

    Attributes
    ----------
    true, predicted : ndarray of shape (n_pairs,)
        Class indices, sorted by `true`, then `predicted`.
    n_classes : int
    """

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    n_classes: int

    def by_class(self, amounts: Floats, classes: NDArray[np.int64]) -> Floats:
        """Add up amounts of the pairs, (..., n_pairs), by one of their classes."""
        return add_by_place(amounts, classes, (self.n_classes,))


class Confusion:
    """Sums over tables of shape (..., n_groups, n_classes, n_classes).

    Parameters
    ----------
    table : ndarray
        True labels on the last axis but one, predicted labels on the last; with `pairs`, of
        shape (..., n_groups, 1, n_pairs).
    positive : int or None
        Index of the positive class; without it there are no sums from `tp` on.
    present : ndarray of int
        The classes that occur in the true labels of the whole data.
    privileged : ndarray of shape (n_groups,), bool, or None
    directions : ndarray of shape (n_groups, n_classes) or None
        Signs of the association of group and class in the training data.
    pairs : Pairs or None
        What the last axis of `table` holds, if not every pair of labels.

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
        pairs: Pairs | None = None,
    ) -> None:
        self.table, self.positive, self.present = table, positive, present
        self.privileged, self.directions, self.pairs = privileged, directions, pairs
        self.draws = table.shape[:-3]
        self.total = table.sum((-2, -1))
        if pairs is None:  # each (..., n_groups, n_classes)
            self.of_class, self.predicted = table.sum(-1), table.sum(-2)
            self.hits = np.einsum("...ii->...i", table)
            self.accuracy = divide(np.einsum("...ii->...", table), self.total)
        else:
            amounts, right = table[..., 0, :], pairs.true == pairs.predicted
            self.of_class = pairs.by_class(amounts, pairs.true)
            self.predicted = pairs.by_class(amounts, pairs.predicted)
            self.hits = pairs.by_class(amounts[..., right], pairs.true[right])
            self.accuracy = divide(self.hits.sum(-1), self.total)
        if positive is not None:
            self._binary(positive)

    def _binary(self, positive: int) -> None:
        """Sums for one class against the rest, each of shape (..., n_groups)."""
        classes = np.arange(self.of_class.shape[-1])
        others = classes[classes != positive]
        if self.pairs is None:
            self.tp = self.table[..., positive, positive]
            self.fp = self.table[..., others, positive].sum(-1)
            self.fn = self.table[..., positive, others].sum(-1)
            self.tn = self.table[..., others, :][..., others].sum((-2, -1))
        else:
            true, selected = self.pairs.true == positive, self.pairs.predicted == positive
            kinds = (true & selected, ~true & selected, true & ~selected, ~true & ~selected)
            sums = (self.table[..., 0, kind].sum(-1) for kind in kinds)
            self.tp, self.fp, self.fn, self.tn = sums
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

    def shares(self, given_truth: bool) -> Floats:
        """P(predicted | true, group) of every pair, or P(predicted | group) of every class.

        Returns
        -------
        ndarray of shape (..., n_pairs or n_classes, n_groups)
            Without the pairs that never occur, where `pairs` says which do.
        """
        if not given_truth:
            shares = divide(self.predicted, self.total[..., None])
        elif self.pairs is None:
            every = divide(self.table, self.of_class[..., None])[..., self.present, :]
            shares = every.reshape(*every.shape[:-2], -1)
        else:
            shares = divide(self.table[..., 0, :], self.of_class[..., self.pairs.true])
        return np.moveaxis(shares, -2, -1)

    def rate(self, spec: Any) -> Floats:
        """A rate of every group, shape (..., n_groups)."""
        return np.asarray(spec.compute(self))

    def pooled(self) -> Confusion:
        """Two groups in place of all: unprivileged, privileged."""
        assert self.privileged is not None  # needs_privileged
        sides = [
            self.table[..., side, :, :].sum(-3) for side in (~self.privileged, self.privileged)
        ]
        table = np.stack(sides, axis=-3)
        return Confusion(table, self.positive, self.present, pairs=self.pairs)

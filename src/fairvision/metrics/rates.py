"""By-group rates from tables of counts; a rate without support is NaN, never 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RATES", "Confusion", "Rate", "divide"]

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

    Notes
    -----
    Complements are summed, never subtracted: with weights like 0.1 a
    difference leaves 1e-17 where there is nothing, and a rate over it.
    """

    def __init__(self, table: Floats, positive: int | None, present: NDArray[np.int64]) -> None:
        self.table = table
        self.positive = positive
        self.present = present

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


@dataclass(frozen=True)
class Rate:
    """A number that every group has by itself.

    Attributes
    ----------
    name : str
    compute : callable
        From a `Confusion` to an array of shape (..., n_groups).
    support : str
        What a group lacks when its rate is undefined.
    needs_positive : bool
        Whether a positive class must be known.
    greater_is_better : bool
    """

    name: str
    compute: Callable[[Confusion], Floats]
    support: str
    needs_positive: bool = True
    greater_is_better: bool = True


_ALL = (
    Rate("accuracy", lambda c: divide(c.correct, c.total), "no rows", False),
    Rate("balanced_accuracy", lambda c: c.recalls.mean(-1), "no rows of one class", False),
    Rate("base_rate", lambda c: divide(c.positives, c.total), "no rows"),
    Rate("selection_rate", lambda c: divide(c.selected, c.total), "no rows"),
    Rate("true_positive_rate", lambda c: divide(c.tp, c.positives), "no positives"),
    Rate("false_positive_rate", lambda c: divide(c.fp, c.negatives), "no negatives", True, False),
    Rate("true_negative_rate", lambda c: divide(c.tn, c.negatives), "no negatives"),
    Rate("false_negative_rate", lambda c: divide(c.fn, c.positives), "no positives", True, False),
    Rate("precision", lambda c: divide(c.tp, c.selected), "no positive predictions"),
)

RATES: dict[str, Rate] = {rate.name: rate for rate in _ALL}

"""What a number over the groups is, and the six ways to make one of any rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairvision.metrics.rates import RATES, Confusion, Floats, divide

__all__ = ["AGGREGATES", "Context", "Disparity", "aggregate", "ratio", "span"]


@dataclass(frozen=True, eq=False)
class Context:
    """What a disparity may read beside the counts.

    Attributes
    ----------
    privileged : ndarray of shape (n_groups,), bool, or None
    directions : ndarray of shape (n_groups, n_classes) or None
        Signs of the association of group and class in the training data.
    """

    privileged: NDArray[np.bool_] | None = None
    directions: Floats | None = None


@dataclass(frozen=True)
class Disparity:
    """A number over the groups.

    Attributes
    ----------
    name, summary : str
    compute : callable
        ``compute(confusion, context)`` -> array of shape (...).
    uses : tuple of str
        The rates it is made of, which tell why it is undefined.
    undefined : str
        Why it can be undefined although every rate is defined.
    needs_positive, needs_privileged : bool
    min_groups : int
    greater_is_better : bool
    part : {"disparity", "overall"}
        The table of an evaluation that shows it.
    """

    name: str
    summary: str
    compute: Callable[[Confusion, Context], Floats]
    uses: tuple[str, ...] = ()
    undefined: str = "a ratio over 0"
    needs_positive: bool = True
    needs_privileged: bool = False
    min_groups: int = 2
    greater_is_better: bool = False
    part: str = "disparity"


def span(values: Floats) -> Floats:
    """Largest minus smallest group, groups on the last axis; NaN in any group gives NaN."""
    return values.max(-1) - values.min(-1)


def ratio(values: Floats) -> Floats:
    """Smallest over largest group."""
    return divide(values.min(-1), values.max(-1))


AGGREGATES: dict[str, tuple[Callable[[Floats], Floats], str, int]] = {
    "difference": (span, "Largest minus smallest", 2),
    "ratio": (ratio, "Smallest over largest", 2),
    "group_min": (lambda v: v.min(-1), "Smallest", 1),
    "group_max": (lambda v: v.max(-1), "Largest", 1),
    "group_mean": (lambda v: v.mean(-1), "Mean over groups of the", 1),
    "group_variance": (lambda v: v.var(-1), "Population variance over groups of the", 2),
}


def aggregate(rate_name: str, how: str, name: str | None = None) -> Disparity:
    """The disparity that one of `AGGREGATES` makes of a rate, ``<rate>_<how>`` unless named."""
    rate = RATES[rate_name]
    reduce, words, min_groups = AGGREGATES[how]
    spread = how in ("difference", "group_variance")
    return Disparity(
        name=name or f"{rate_name}_{how}",
        summary=f"{words} {rate_name} of the groups.",
        compute=lambda c, _: reduce(rate.compute(c)),
        uses=(rate_name,),
        needs_positive=rate.needs_positive,
        min_groups=min_groups,
        greater_is_better=not spread and (how == "ratio" or rate.greater_is_better),
    )

"""What a metric is, and the six ways to reduce a rate of every group to one number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fairvision.metrics.confusion import Floats, divide

__all__ = ["AGGREGATES", "MetricSpec", "aggregate", "family", "ratio", "span"]


@dataclass(frozen=True)
class MetricSpec:
    """One metric: what it reads, how it is computed, when it is undefined.

    Attributes
    ----------
    name, summary : str
    compute : callable
        A rate (`by_group`) takes a `Confusion` and returns shape (..., n_groups), or takes a
        `Ranked`, the scores of one group, and returns shape (...). Any other metric takes the
        `Confusion` or `GroupScores` of the compared groups and returns shape (...).
    reads : {"counts", "scores", "calibrated"}
        Counts of predicted labels, scores, or counts at the calibrated threshold.
    by_group : bool
        Whether it is a rate: given for all rows and for every group.
    uses : tuple of MetricSpec
        The rates that it is made of. Where one is undefined, so is the metric.
    undefined : str
        The reason why it can be undefined although every rate in `uses` is defined.
    needs_positive, needs_privileged, needs_probabilities : bool
        Whether it needs a positive class, a privileged group, scores between 0 and 1.
    min_groups : int
    better : {"higher", "lower", "near 0", "near 1"}
    table : {"disparity", "overall"}
        The table of an evaluation that shows a metric that is no rate.
    default : bool
        Whether ``metrics="default"`` includes it.
    default_aggregates : tuple of str
        For a rate: those of its `AGGREGATES` that ``metrics="default"`` includes.
    """

    name: str
    summary: str
    compute: Callable[[Any], Floats]
    reads: str = "counts"
    by_group: bool = False
    uses: tuple[MetricSpec, ...] = ()
    undefined: str = "a ratio over 0"
    needs_positive: bool = True
    needs_privileged: bool = False
    needs_probabilities: bool = False
    min_groups: int = 2
    better: str = "lower"
    table: str = "disparity"
    default: bool = True
    default_aggregates: tuple[str, ...] = ()

    @property
    def needs_scores(self) -> bool:
        return self.reads != "counts"

    @property
    def needs(self) -> str:
        """The arguments of an evaluation without which it is not defined."""
        arguments = {
            "y_score": self.needs_scores,
            "pos_label": self.needs_positive,
            "privileged": self.needs_privileged,
        }
        return ", ".join(argument for argument, needed in arguments.items() if needed)


def span(values: Floats) -> Floats:
    """Largest minus smallest group, groups on the last axis; NaN in any group gives NaN."""
    return values.max(-1) - values.min(-1)


def ratio(values: Floats) -> Floats:
    """Smallest over largest group."""
    return divide(values.min(-1), values.max(-1))


# Suffix: reduction, its words, the number of groups that it needs.
AGGREGATES: dict[str, tuple[Callable[[Floats], Floats], str, int]] = {
    "difference": (span, "Largest minus smallest", 2),
    "ratio": (ratio, "Smallest over largest", 2),
    "group_min": (lambda v: v.min(-1), "Smallest", 1),
    "group_max": (lambda v: v.max(-1), "Largest", 1),
    "group_mean": (lambda v: v.mean(-1), "Mean over groups of the", 1),
    "group_variance": (lambda v: v.var(-1), "Population variance over groups of the", 2),
}


def aggregate(rate: MetricSpec, suffix: str, name: str | None = None) -> MetricSpec:
    """The metric that one of `AGGREGATES` makes of a rate, ``<rate>_<suffix>`` unless named."""
    reduce, words, min_groups = AGGREGATES[suffix]
    better = {"difference": "lower", "group_variance": "lower", "ratio": "higher"}
    return MetricSpec(
        name=name or f"{rate.name}_{suffix}",
        summary=f"{words} {rate.name} of the groups.",
        compute=lambda groups: reduce(groups.rate(rate)),
        reads=rate.reads,
        uses=(rate,),
        needs_positive=rate.needs_positive,
        min_groups=min_groups,
        better=better.get(suffix, rate.better),
        default=name is not None or suffix in rate.default_aggregates,
    )


def family(spec: MetricSpec) -> Iterator[MetricSpec]:
    """A metric and, if it is a rate, its aggregates over the groups."""
    yield spec
    if spec.by_group:
        yield from (aggregate(spec, suffix) for suffix in AGGREGATES)

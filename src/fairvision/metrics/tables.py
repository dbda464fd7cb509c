"""From counted rows to tables of numbers, with intervals and the reasons for every gap in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.metrics.aggregates import Context, Disparity
from fairvision.metrics.bootstrap import Bootstrap, Estimate, estimate
from fairvision.metrics.catalog import Chosen
from fairvision.metrics.cells import Cells, count_cells
from fairvision.metrics.grouping import Grouping, privileged_of
from fairvision.metrics.inputs import Predictions
from fairvision.metrics.papers import at_threshold
from fairvision.metrics.plan import CountPlan, Key, ScorePlan
from fairvision.metrics.rates import Floats
from fairvision.metrics.scores import sort_scores
from fairvision.metrics.training import Training

__all__ = ["Job", "count_tables", "score_table", "tabulate"]


@dataclass(frozen=True, eq=False)
class Job:
    """Everything that one evaluation reads; nothing here is computed twice."""

    data: Predictions
    scores: tuple[NDArray[np.bool_], Floats] | None
    group: NDArray[np.int64]
    groupings: list[Grouping]
    chosen: Chosen
    how: Bootstrap
    rng: np.random.Generator
    privileged: Any = None
    min_support: int = 1
    train: Training | None = None
    threshold: float | None = None

    @cached_property
    def cells(self) -> Cells:
        return count_cells(self.data, self.group, len(self.groupings[0]))

    def rows(self, which: int) -> Floats:
        """Rows by group, true and predicted label of one grouping."""
        return self.groupings[which].merged(self.cells.counted())

    def keep(self, which: int) -> NDArray[np.bool_]:
        """Groups with enough rows to be compared."""
        return self.rows(which).sum((1, 2)) >= self.min_support

    def favoured(self, which: int) -> NDArray[np.bool_] | None:
        """Privileged groups of one grouping."""
        return privileged_of(self.groupings[which], self.privileged)

    def calibrated(self) -> Job:
        """The same rows, predicted at the calibrated threshold, with the metrics read there."""
        assert self.scores is not None
        return replace(
            self,
            data=at_threshold(self.data, self.scores[1], self.threshold),
            chosen=Chosen(disparities=self.chosen.calibrated),
        )


def _directions(job: Job, which: int) -> Floats | None:
    if job.train is None:
        return None
    classes = [[label] for label in job.data.classes.tolist()]
    positive = job.data.positive
    if len(classes) == 2 and positive is not None:
        # "not x" joins all training labels but x.
        label = classes[positive][0]
        classes[1 - positive] = [c for c in job.train.classes if c != label]
    return job.train.directions(which, job.groupings[which], classes)


def count_plan(job: Job, which: int) -> CountPlan:
    """What to compute from the counts of one grouping."""
    grouping, favoured, keep = job.groupings[which], job.favoured(which), job.keep(which)
    directions = _directions(job, which)
    disparities: dict[str, Disparity] = job.chosen.disparities
    if favoured is None:  # nobody said for this column, though for another
        disparities = {n: d for n, d in disparities.items() if not d.needs_privileged}
    return CountPlan(
        rates=job.chosen.rates,
        disparities=disparities,
        labels=grouping.labels,
        classes=job.data.classes,
        positive=job.data.positive,
        present=np.flatnonzero(job.cells.weighted().sum((0, 2)) > 0),
        keep=keep,
        context=Context(
            None if favoured is None else favoured[keep],
            None if directions is None else directions[keep],
        ),
    )


def count_tables(job: Job) -> list[pd.DataFrame]:
    """Every grouping's numbers from counts, all on the same draws."""
    plans = [count_plan(job, which) for which in range(len(job.groupings))]
    paired = list(zip(plans, job.groupings, strict=True))

    def measure(amounts: Floats) -> Floats:
        table = job.cells.table(amounts)
        return np.concatenate([p(g.merged(table)) for p, g in paired], axis=-1)

    width = int(np.prod(job.cells.shape))
    found = estimate(measure, job.cells.rows, job.cells.weight, job.how, job.rng, width=width)
    weights, tables, start = job.cells.weighted(), [], 0
    for plan, grouping in paired:
        part = slice(start, start + len(plan.keys))
        notes = plan.notes(grouping.merged(weights), found.value[part])
        tables.append(tabulate(plan.keys, found, part, notes, job.how))
        start = part.stop
    return tables


def score_table(job: Job, which: int) -> pd.DataFrame:
    """One grouping's numbers from scores, on draws of the rows."""
    assert job.scores is not None
    grouping, (target, score) = job.groupings[which], job.scores
    group = grouping.merge[job.group]
    cells = sort_scores(group, len(grouping), target, score, job.data.weight)
    plan = ScorePlan(
        cells,
        job.chosen.score_rates,
        job.chosen.score_disparities,
        grouping.labels,
        job.keep(which),
    )
    found = estimate(plan, cells.rows, cells.weight, job.how, job.rng)
    return tabulate(plan.keys, found, slice(None), plan.notes(found.value), job.how)


def tabulate(
    keys: list[Key], found: Estimate, part: slice, notes: list[str], how: Bootstrap
) -> pd.DataFrame:
    """Numbers in long form: part, group, metric, value, lower, upper, note."""
    undefined = np.rint(found.undefined[part] * how.n_boot).astype(int)
    value = found.value[part]
    outside = (value < found.lower[part]) | (value > found.upper[part])
    notes = [
        note
        or "; ".join(
            [f"undefined in {times} of {how.n_boot} draws"] * bool(times)
            # Spans and divergences grow with sampling noise, so that draws exceed the sample.
            + ["the sample's value is outside: biased in small samples"] * bool(out)
        )
        for note, times, out in zip(notes, undefined, outside, strict=True)
    ]
    table = pd.DataFrame(keys, columns=["part", "group", "metric"])
    ends = {"value": found.value, "lower": found.lower, "upper": found.upper}
    return table.assign(**{name: values[part] for name, values in ends.items()}, note=notes)

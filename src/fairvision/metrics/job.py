"""One evaluation: what it reads, checked, and the tables of numbers that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fairvision.base import as_generator
from fairvision.metrics.bootstrap import Bootstrap, Estimate, estimate
from fairvision.metrics.calculator import Calculator, CountSource, Key, ScoreSource
from fairvision.metrics.calibration import at_thresholds
from fairvision.metrics.cells import Cells, count_cells
from fairvision.metrics.confusion import Floats
from fairvision.metrics.grouping import Grouping, groupings, privileged_of
from fairvision.metrics.inputs import Options, Predictions, Target, read_predictions, read_scores
from fairvision.metrics.scores import sort_scores
from fairvision.metrics.selection import Selection, select_metrics
from fairvision.metrics.training import Training, read_training

__all__ = ["Job", "count_tables", "read_job", "score_table", "tabulate"]


@dataclass(frozen=True, eq=False)
class Job:
    """Everything that one evaluation reads. `index` is a place in `groupings`.

    `scores` and `thresholds` have one entry for each set of predictions in `data`.
    """

    data: Predictions
    scores: Sequence[Target | None]
    group: NDArray[np.int64]
    groupings: list[Grouping]
    selection: Selection
    bootstrap: Bootstrap
    rng: np.random.Generator
    privileged: Any
    min_support: int
    train: Training | None
    thresholds: Sequence[float | None]

    @cached_property
    def cells(self) -> Cells:
        return count_cells(self.data, self.group, len(self.groupings[0]))

    @property
    def row_weights(self) -> Floats:
        weight = self.data.weight
        return np.ones(len(self.data)) if weight is None else weight

    def rows(self, index: int) -> Floats:
        """Rows by group, true and predicted label of one grouping."""
        return self.groupings[index].merged(self.cells.counted())

    def keep(self, index: int) -> NDArray[np.bool_]:
        """Whether each group has enough rows to be compared."""
        return self.rows(index).sum((1, 2)) >= self.min_support

    def privileged_groups(self, index: int) -> NDArray[np.bool_] | None:
        return privileged_of(self.groupings[index], self.privileged)

    def calibrated(self) -> Job:
        """The same rows, predicted at the calibrated threshold."""
        scores = [target[1] for target in self.scores if target is not None]
        return replace(self, data=at_thresholds(self.data, scores, self.thresholds))

    def directions(self, index: int) -> Floats | None:
        """Signs of the association of group and class in the training data."""
        if self.train is None:
            return None
        classes = [[label] for label in self.data.classes.tolist()]
        positive = self.data.positive
        if len(classes) == 2 and positive is not None:
            # "not x" joins all training labels but x.
            label = classes[positive][0]
            classes[1 - positive] = [c for c in self.train.classes if c != label]
        return self.train.directions(index, self.groupings[index], classes)

    def count_calculator(self, index: int, reads: str = "counts") -> Calculator:
        """What to compute from the counts of one grouping."""
        keep, privileged = self.keep(index), self.privileged_groups(index)
        directions, specs = self.directions(index), self.selection.reading(reads)
        if privileged is None:  # it may be given for another column
            specs = [spec for spec in specs if not spec.needs_privileged]
        source = CountSource(
            labels=self.groupings[index].labels,
            keep=keep,
            classes=self.data.classes,
            positive=self.data.positive,
            present=np.flatnonzero(self.cells.weighted().sum((0, 2)) > 0),
            privileged=None if privileged is None else privileged[keep],
            directions=None if directions is None else directions[keep],
            pairs=self.cells.pairs,
        )
        return Calculator(source, specs)

    def score_calculator(self, index: int, target: Target) -> Calculator:
        """What to compute from scores in one grouping."""
        grouping = self.groupings[index]
        rows = sort_scores(
            grouping.merge[self.group], len(grouping), *target, weight=self.data.weight
        )
        source = ScoreSource(grouping.labels, self.keep(index), rows)
        return Calculator(source, self.selection.reading("scores"))


def read_job(
    y_true: ArrayLike,
    y_preds: Sequence[ArrayLike],
    y_scores: Sequence[ArrayLike | None],
    thresholds: Sequence[float | None],
    options: Options,
) -> Job:
    """Check the arguments of an evaluation of one or several sets of predictions."""
    data = read_predictions(y_true, y_preds, options)
    group, finest_first = groupings(data.groups)
    scores = [
        read_scores(score, options.score_labels, data, predicted)
        for score, predicted in zip(y_scores, data.y_pred, strict=True)
    ]
    return Job(
        data=data,
        scores=scores,
        thresholds=thresholds,
        group=group,
        groupings=finest_first,
        selection=select_metrics(
            options.metrics,
            positive=data.positive is not None,
            privileged=options.privileged is not None,
            scores=scores[0] is not None,
        ),
        bootstrap=Bootstrap(options.n_boot, options.level, options.interval),
        rng=as_generator(options.random_state),
        privileged=options.privileged,
        min_support=options.min_support,
        train=read_training(options.train, data.groups.names, options.missing),
    )


def count_tables(job: Job, reads: str = "counts") -> list[pd.DataFrame]:
    """Every grouping's numbers from counts, all on the same draws."""
    calculators = [job.count_calculator(index, reads) for index in range(len(job.groupings))]
    pairs = list(zip(calculators, job.groupings, strict=True))

    def measure(amounts: Floats) -> Floats:
        table = job.cells.drawn(amounts)
        return np.concatenate([c(grouping.merged(table)) for c, grouping in pairs], axis=-1)

    width = int(np.prod(job.cells.drawn_shape)) + 3 * int(np.prod(job.cells.shape[:2]))
    numbers = estimate(
        measure, job.cells.rows, job.cells.weight, job.bootstrap, job.rng, width=width
    )
    weights, tables, start = job.cells.drawn(job.cells.rows * job.cells.weight), [], 0
    for calculator, grouping in pairs:
        columns = slice(start, start + len(calculator.keys))
        own = Estimate(*(values[columns] for values in numbers))
        notes = calculator.notes(grouping.merged(weights), own.value)
        tables.append(tabulate(calculator.keys, own, notes, job.bootstrap.n_boot))
        start = columns.stop
    return tables


def score_table(job: Job, index: int) -> pd.DataFrame:
    """One grouping's numbers from scores, on draws of the rows."""
    assert job.scores[0] is not None
    calculator = job.score_calculator(index, job.scores[0])
    rows = calculator.source.rows
    value = calculator(rows.rows * rows.weight)
    binned = calculator.binned(value)
    bins = binned.source.rows
    if bins is rows or job.data.weight is None:
        numbers = estimate(binned, bins.rows, bins.weight, job.bootstrap, job.rng)
    else:  # rows of one bin have different weights: each row is drawn, in the order of the bins
        ones, weight = np.ones(len(job.data), dtype=np.int64), job.row_weights[bins.order_of_rows]
        numbers = estimate(
            binned, ones, weight, job.bootstrap, job.rng, width=len(bins), gather=bins.join
        )
    numbers = numbers._replace(value=value)
    notes = calculator.notes(rows.rows * rows.weight, value)
    return tabulate(calculator.keys, numbers, notes, job.bootstrap.n_boot)


def tabulate(keys: list[Key], numbers: Estimate, notes: list[str], n_boot: int) -> pd.DataFrame:
    """Numbers in long form: table, group, metric, value, lower, upper, note."""
    value, lower, upper, undefined = numbers
    undefined = np.rint(undefined * n_boot).astype(int)
    outside = (value < lower) | (value > upper)
    notes = [
        note
        or "; ".join(
            [f"undefined in {times} of {n_boot} draws"] * bool(times)
            # Spans and divergences grow with sampling noise, so that draws exceed the sample.
            + ["the sample's value is outside: biased in small samples"] * bool(out)
        )
        for note, times, out in zip(notes, undefined, outside, strict=True)
    ]
    table = pd.DataFrame(keys, columns=["table", "group", "metric"])
    return table.assign(value=value, lower=lower, upper=upper, note=notes)

"""`evaluate` and `evaluate_predictions`: read, count once, compute, wrap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fairvision.exceptions import InputError
from fairvision.metrics.bootstrap import Bootstrap, Estimate, as_generator, estimate
from fairvision.metrics.catalog import Chosen, choose
from fairvision.metrics.cells import Cells, count_cells
from fairvision.metrics.disparities import Context, association
from fairvision.metrics.evaluation import Evaluation
from fairvision.metrics.grouping import Grouping, groupings, privileged_of
from fairvision.metrics.inputs import Predictions, read_groups, read_predictions
from fairvision.metrics.plan import CountPlan, Key
from fairvision.metrics.rates import Floats

__all__ = ["evaluate", "evaluate_predictions"]

# Fewer rows than this in a group and class: one row moves a rate by ten points or more.
SMALL_CELL = 10


def evaluate_predictions(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: Any,
    y_score: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    metrics: str | Iterable[str] = "default",
    n_boot: int = 1000,
    random_state: Any = None,
    level: float = 0.95,
    interval: str = "percentile",
    pos_label: Any = None,
    labels: ArrayLike | None = None,
    privileged: Any = None,
    min_support: int = 1,
    missing: str = "raise",
    train: tuple[ArrayLike, Any] | None = None,
) -> Evaluation:
    """Evaluate predictions that were made elsewhere."""
    data = read_predictions(
        y_true,
        [y_pred],
        sensitive_features=sensitive_features,
        sample_weight=sample_weight,
        pos_label=pos_label,
        labels=labels,
        missing=missing,
    )
    how, rng = Bootstrap(n_boot, level, interval), as_generator(random_state)
    codes, all_groupings = groupings(data.groups)
    cells = count_cells(data, codes, len(all_groupings[0]))
    chosen = choose(
        metrics,
        positive=data.positive is not None,
        privileged=privileged is not None,
        scores=y_score is not None,
    )
    plans = [
        _count_plan(data, cells, grouping, chosen, privileged, min_support)
        for grouping in all_groupings
    ]
    tables = _estimate_counts(plans, all_groupings, cells, how, rng)
    evaluations = [
        _wrap(data, cells, grouping, plan, table, how)
        for grouping, plan, table in zip(all_groupings, plans, tables, strict=True)
    ]
    first = evaluations[0]
    columns = evaluations[1:] or [first]
    first.by_attribute = dict(zip(data.groups.names, columns, strict=True))
    return first


def _count_plan(
    data: Predictions,
    cells: Cells,
    grouping: Grouping,
    chosen: Chosen,
    privileged: Any,
    min_support: int,
) -> CountPlan:
    rows = grouping.merged(cells.counted()).sum((-2, -1))
    weights = grouping.merged(cells.weighted())
    keep = rows >= min_support
    favoured = privileged_of(grouping, privileged)
    disparities = dict(chosen.disparities)
    if favoured is None:  # nobody said for this column
        disparities = {n: d for n, d in disparities.items() if not d.needs_privileged}
    return CountPlan(
        rates=chosen.rates,
        disparities=disparities,
        labels=grouping.labels,
        classes=data.classes,
        positive=data.positive,
        present=np.flatnonzero(weights.sum((0, 2)) > 0),
        keep=keep,
        context=Context(None if favoured is None else favoured[keep]),
    )


def _estimate_counts(
    plans: list[CountPlan],
    all_groupings: list[Grouping],
    cells: Cells,
    how: Bootstrap,
    rng: np.random.Generator,
) -> list[pd.DataFrame]:
    """Every grouping's numbers, on the same draws."""

    def measure(amounts: Floats) -> Floats:
        table = cells.table(amounts)
        parts = [p(g.merged(table)) for p, g in zip(plans, all_groupings, strict=True)]
        return np.concatenate(parts, axis=-1)

    found = estimate(measure, cells.rows, cells.weight, how, rng, width=int(np.prod(cells.shape)))
    weights, tables, start = cells.weighted(), [], 0
    for plan, grouping in zip(plans, all_groupings, strict=True):
        part = slice(start, start + len(plan.keys))
        notes = plan.notes(grouping.merged(weights), found.value[part])
        tables.append(tabulate(plan.keys, found, part, notes, how))
        start = part.stop
    return tables


def tabulate(
    keys: list[Key], found: Estimate, part: slice, notes: list[str], how: Bootstrap
) -> pd.DataFrame:
    """Numbers in long form: part, group, metric, value, lower, upper, note."""
    undefined = np.rint(found.undefined[part] * how.n_boot).astype(int)
    notes = [
        note or (f"undefined in {times} of {how.n_boot} draws" if times else "")
        for note, times in zip(notes, undefined, strict=True)
    ]
    table = pd.DataFrame(keys, columns=["part", "group", "metric"])
    ends = {"value": found.value, "lower": found.lower, "upper": found.upper}
    return table.assign(**{name: values[part] for name, values in ends.items()}, note=notes)


def _wrap(
    data: Predictions,
    cells: Cells,
    grouping: Grouping,
    plan: CountPlan,
    table: pd.DataFrame,
    how: Bootstrap,
) -> Evaluation:
    counts = grouping.merged(cells.counted())
    left_out = [label for label, keep in zip(grouping.labels, plan.keep, strict=True) if not keep]
    notes = [f"left out of the gaps, too few rows: {left_out}"] if left_out else []
    return Evaluation(
        grouping=grouping,
        classes=data.classes,
        pos_label=None if data.positive is None else data.classes[data.positive],
        counts=counts,
        weights=grouping.merged(cells.weighted()),
        estimates=table,
        privileged=privileged_mask(plan, grouping),
        keep=plan.keep,
        flags=["" for _ in grouping.labels],
        notes=notes,
        settings={"n_boot": how.n_boot, "level": how.level, "interval": how.kind},
    )


def privileged_mask(plan: CountPlan, grouping: Grouping) -> NDArray[np.bool_] | None:
    if plan.context.privileged is None:
        return None
    mask = np.zeros(len(grouping), dtype=bool)
    mask[plan.keep] = plan.context.privileged
    return mask


def evaluate(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    sensitive_features: Any,
    metrics: str | Iterable[str] = "default",
    n_boot: int = 1000,
    random_state: Any = None,
) -> Evaluation:
    """Evaluate a fitted estimator."""
    y_pred = estimator.predict(X)
    score = estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else None
    return evaluate_predictions(
        y,
        y_pred,
        sensitive_features=sensitive_features,
        y_score=score,
        metrics=metrics,
        n_boot=n_boot,
        random_state=random_state,
    )

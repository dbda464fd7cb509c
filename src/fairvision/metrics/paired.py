"""Two sets of predictions on the same rows: their difference, drawn together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fairvision.base import as_generator
from fairvision.exceptions import InputError
from fairvision.metrics.bootstrap import Bootstrap, estimate
from fairvision.metrics.catalog import Chosen, choose
from fairvision.metrics.grouping import groupings
from fairvision.metrics.inputs import read_predictions
from fairvision.metrics.papers import at_threshold, read_scores
from fairvision.metrics.plan import Key, ScorePlan
from fairvision.metrics.rates import Floats
from fairvision.metrics.scores import sort_scores
from fairvision.metrics.tables import Job, count_plan

__all__ = ["paired_difference"]


def paired_difference(
    y_true: ArrayLike,
    y_pred_a: ArrayLike,
    y_pred_b: ArrayLike,
    *,
    sensitive_features: Any,
    y_score_a: ArrayLike | None = None,
    y_score_b: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    metrics: str | Iterable[str] = "default",
    n_boot: int = 1000,
    random_state: Any = None,
    level: float = 0.95,
    interval: str = "percentile",
    pos_label: Any = None,
    labels: ArrayLike | None = None,
    score_labels: ArrayLike | None = None,
    privileged: Any = None,
    min_support: int = 1,
    missing: str = "raise",
    thresholds: tuple[float | None, float | None] = (None, None),
) -> pd.DataFrame:
    """Metrics of method A minus those of method B on the same rows.

    Both methods are drawn on the same bootstrap rows, so what makes a row
    hard for both cancels out, and the interval is narrower than that of two
    separate evaluations.

    Parameters
    ----------
    y_true, y_pred_a, y_pred_b : array-like of shape (n_samples,)
    y_score_a, y_score_b : array-like of shape (n_samples,) or (n_samples, n_classes) or None
        Both, for metrics that read scores; those at the calibrated threshold
        take each method at its own.
    thresholds : (float or None, float or None)
        The calibrated ones, from :func:`calibrated_threshold` on validation data; else
        from this data.
    sensitive_features, sample_weight, metrics, n_boot, random_state, level, interval, \
pos_label, labels, score_labels, privileged, min_support, missing
        As in :func:`evaluate_predictions`. Several sensitive columns are crossed.

    Returns
    -------
    DataFrame
        Indexed by metric: `a` and `b`, `value` (a minus b) with `lower` and
        `upper`, and a `note` where it is undefined. Rates are those of all rows.

    Raises
    ------
    InputError
        As :func:`evaluate_predictions` does.

    Examples
    --------
    >>> from fairvision.metrics import paired_difference
    >>> table = paired_difference(
    ...     [0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 1, 1], sensitive_features=["a", "a", "b", "b"]
    ... )
    >>> float(table.loc["accuracy", "value"])
    0.25
    """
    data = read_predictions(
        y_true,
        [y_pred_a, y_pred_b],
        sensitive_features=sensitive_features,
        sample_weight=sample_weight,
        pos_label=pos_label,
        labels=labels,
        missing=missing,
    )
    if (y_score_a is None) != (y_score_b is None):
        raise InputError("only one of y_score_a and y_score_b is given. Pass both, or neither.")
    scores = [
        read_scores(score, score_labels, replace(data, y_pred=(predicted,)))
        for score, predicted in zip((y_score_a, y_score_b), data.y_pred, strict=True)
    ]
    group, found = groupings(data.groups)
    chosen = choose(
        metrics,
        positive=data.positive is not None,
        privileged=privileged is not None,
        scores=y_score_a is not None,
    )
    asked = {metrics} if isinstance(metrics, str) else set(metrics)
    refused = [name for name in chosen.plugins if name in asked]
    if refused:
        raise InputError(f"plugin metrics have no paired difference: {refused}. Leave them out.")
    how, rng = Bootstrap(n_boot, level, interval), as_generator(random_state)
    job = Job(data, None, group, found[:1], chosen, how, rng, privileged, min_support)
    tables = [_by_counts(job)]
    if chosen.score_rates or chosen.score_disparities:
        tables.append(_by_scores(job, [pair for pair in scores if pair is not None]))
    if chosen.calibrated:
        at = [
            at_threshold(data, pair[1], threshold)
            for pair, threshold in zip(scores, thresholds, strict=True)
            if pair is not None
        ]
        both = replace(at[0], y_pred=(at[0].y_pred[0], at[1].y_pred[0]))
        read_there = Chosen(disparities=chosen.calibrated)
        tables.append(_by_counts(replace(job, data=both, chosen=read_there)))
    return pd.concat(tables)


def _by_counts(job: Job) -> pd.DataFrame:
    """Metrics of the table of counts, on one set of draws of the joint cells."""
    plan, cells = count_plan(job, 0), job.cells
    tables = [cells.weighted(which) for which in (0, 1)]
    return _differences(
        plan.keys,
        lambda amounts: [plan(cells.table(amounts, which)) for which in (0, 1)],
        [plan.notes(table, plan(table)) for table in tables],
        job,
        (cells.rows, cells.weight, 2 * int(np.prod(cells.shape))),
    )


def _by_scores(job: Job, scores: list[tuple[NDArray[np.bool_], Floats]]) -> pd.DataFrame:
    """Metrics of the sorted scores, on one set of draws of the rows."""
    data, grouping = job.data, job.groupings[0]
    group = grouping.merge[job.group]
    plans = [
        ScorePlan(
            sort_scores(group, len(grouping), target, score, data.weight),
            job.chosen.score_rates,
            job.chosen.score_disparities,
            grouping.labels,
            job.keep(0),
        )
        for target, score in scores
    ]
    rows = np.ones(len(data), dtype=np.int64)
    weight = np.ones(len(data)) if data.weight is None else data.weight

    def measure(amounts: Floats) -> list[Floats]:
        return [plan(plan.cells.gather(amounts)) for plan in plans]

    notes = [plan.notes(value) for plan, value in zip(plans, measure(rows * weight), strict=True)]
    return _differences(plans[0].keys, measure, notes, job, (rows, weight, len(data)))


def _differences(
    keys: list[Key],
    measure: Callable[[Floats], list[Floats]],
    notes: list[list[str]],
    job: Job,
    drawn: tuple[NDArray[np.int64], Floats, int],
) -> pd.DataFrame:
    """Both methods' numbers from the same draws, and their differences."""
    shown = np.array([part != "group" for part, _, _ in keys], dtype=bool)

    def both(amounts: Floats) -> Floats:
        a, b = (numbers[..., shown] for numbers in measure(amounts))
        return np.concatenate([a, b, a - b], axis=-1)

    rows, weight, width = drawn
    result = estimate(both, rows, weight, job.how, job.rng, width=width)
    a, b, value = np.split(result.value, 3)
    why = [
        "; ".join(f"{name}: {reason}" for name, reason in zip("ab", pair, strict=True) if reason)
        for pair in zip(*notes, strict=True)
    ]
    return pd.DataFrame(
        {
            "a": a,
            "b": b,
            "value": value,
            "lower": np.split(result.lower, 3)[2],
            "upper": np.split(result.upper, 3)[2],
            "note": [reason for reason, s in zip(why, shown, strict=True) if s],
        },
        index=pd.Index([key[2] for key, s in zip(keys, shown, strict=True) if s], name="metric"),
    )

"""Two sets of predictions on the same rows: their difference, drawn together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fairvision.exceptions import InputError
from fairvision.metrics.bootstrap import Bootstrap, as_generator, estimate
from fairvision.metrics.catalog import choose
from fairvision.metrics.grouping import groupings
from fairvision.metrics.inputs import read_predictions
from fairvision.metrics.rates import Floats
from fairvision.metrics.tables import Job, count_plan

__all__ = ["paired_difference"]


def paired_difference(
    y_true: ArrayLike,
    y_pred_a: ArrayLike,
    y_pred_b: ArrayLike,
    *,
    sensitive_features: Any,
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
) -> pd.DataFrame:
    """Metrics of method A minus those of method B on the same rows.

    Both methods are drawn on the same bootstrap rows, so what makes a row
    hard for both cancels out, and the interval is narrower than that of two
    separate evaluations.

    Parameters
    ----------
    y_true, y_pred_a, y_pred_b : array-like of shape (n_samples,)
    sensitive_features, sample_weight, metrics, n_boot, random_state, level, interval, \
pos_label, labels, privileged, min_support, missing
        As in :func:`evaluate_predictions`. Metrics that read scores are refused.
        Several sensitive columns are crossed.

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
    group, found = groupings(data.groups)
    chosen = choose(
        metrics,
        positive=data.positive is not None,
        privileged=privileged is not None,
        scores=False,
    )
    asked = {metrics} if isinstance(metrics, str) else set(metrics)
    refused = [name for name in chosen.plugins if name in asked]
    if refused:
        raise InputError(f"plugin metrics have no paired difference: {refused}. Leave them out.")
    how, rng = Bootstrap(n_boot, level, interval), as_generator(random_state)
    job = Job(data, None, group, found[:1], chosen, how, rng, privileged, min_support)
    return _compare(job)


def _compare(job: Job) -> pd.DataFrame:
    plan, cells = count_plan(job, 0), job.cells
    shown = np.array([part != "group" for part, _, _ in plan.keys])

    def measure(amounts: Floats) -> Floats:
        a, b = (plan(cells.table(amounts, which))[..., shown] for which in (0, 1))
        return np.concatenate([a, b, a - b], axis=-1)

    width = 2 * int(np.prod(cells.shape))
    result = estimate(measure, cells.rows, cells.weight, job.how, job.rng, width=width)
    a, b, value = np.split(result.value, 3)
    notes = []
    for which in (0, 1):
        table = cells.weighted(which)
        reasons = np.array(plan.notes(table, plan(table)), dtype=object)[shown]
        notes.append([f"{'ab'[which]}: {reason}" if reason else "" for reason in reasons])
    return pd.DataFrame(
        {
            "a": a,
            "b": b,
            "value": value,
            "lower": np.split(result.lower, 3)[2],
            "upper": np.split(result.upper, 3)[2],
            "note": ["; ".join(filter(None, pair)) for pair in zip(*notes, strict=True)],
        },
        index=pd.Index(
            [key[2] for key, s in zip(plan.keys, shown, strict=True) if s], name="metric"
        ),
    )

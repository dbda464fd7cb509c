"""The difference of two sets of predictions, on the same rows or on different ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fairvision.exceptions import InputError
from fairvision.metrics.bootstrap import estimate
from fairvision.metrics.calculator import Key
from fairvision.metrics.confusion import Floats
from fairvision.metrics.evaluation import Evaluation
from fairvision.metrics.inputs import Options
from fairvision.metrics.job import Job, read_job
from fairvision.metrics.selection import metric_names

__all__ = ["paired_difference", "unpaired_difference"]

_COLUMNS = ["value", "lower", "upper", "note"]


def paired_difference(
    y_true: ArrayLike,
    y_pred_a: ArrayLike,
    y_pred_b: ArrayLike,
    *,
    sensitive_features: Any,
    y_score_a: ArrayLike | None = None,
    y_score_b: ArrayLike | None = None,
    thresholds: tuple[float | None, float | None] = (None, None),
    by_group: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Metrics of method A minus those of method B on the same rows.

    Both methods are evaluated on the same bootstrap draws, so the difficulty that a row has for
    both cancels out. The interval is narrower than that of two separate evaluations.

    Parameters
    ----------
    y_true, y_pred_a, y_pred_b : array-like of shape (n_samples,)
    y_score_a, y_score_b : array-like of shape (n_samples,) or (n_samples, n_classes) or None
        Pass both for metrics that read scores. Metrics at the calibrated threshold use each
        method's own threshold.
    thresholds : (float or None, float or None)
        Calibrated thresholds from :func:`calibrated_threshold` on validation data; None
        calibrates on this data.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
        Several columns are crossed.
    by_group : bool, default=False
        Whether to compare the rates of each group, too.
    **options
        `sample_weight`, `metrics`, `n_boot`, `random_state`, `level`, `interval`, `pos_label`,
        `labels`, `score_labels`, `privileged`, `min_support` and `missing`, as in
        :func:`evaluate_predictions`.

    Returns
    -------
    DataFrame
        Indexed by metric: `a` and `b`, `value` (a minus b) with `lower` and
        `upper`, and a `note` where it is undefined. Rates are those of all rows; with
        `by_group`, the index is group and metric, and the group of all rows is "".

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
    if (y_score_a is None) != (y_score_b is None):
        raise InputError("only one of y_score_a and y_score_b is given. Pass both, or neither.")
    settings = Options(sensitive_features, **options)
    predictions, scores = [y_pred_a, y_pred_b], [y_score_a, y_score_b]
    job = read_job(y_true, predictions, scores, thresholds, settings)
    named = metric_names(settings.metrics)
    refused = [name for name in job.selection.plugins if name in named]
    if refused:
        raise InputError(
            f"metrics of plugins have no paired difference: {refused}. Leave them out."
        )
    tables = [_by_counts(job, by_group)]
    if job.selection.reading("scores"):
        tables.append(_by_scores(job, by_group))
    if job.selection.reading("calibrated"):
        tables.append(_by_counts(job.calibrated(), by_group, "calibrated"))
    table = pd.concat(tables)
    return table if by_group else table.droplevel("group")


def unpaired_difference(a: Evaluation, b: Evaluation) -> pd.DataFrame:
    """Metrics of one evaluation minus those of another, on different rows.

    Parameters
    ----------
    a, b : Evaluation
        By the same sensitive columns, with intervals.

    Returns
    -------
    DataFrame
        As :func:`paired_difference` returns with `by_group`.

    Notes
    -----
    The interval comes from the two intervals: its lower end lies below the difference by the root
    of the squared distances from `a` to its lower and from `b` to its upper end, and likewise the
    upper end.

    References
    ----------
    Zou, Donner, "Construction of confidence limits about effect measures: a general approach",
    Statistics in Medicine 2008.
    """
    tables = [one.estimates.assign(group=_group_names(one)) for one in (a, b)]
    keyed = [table.set_index(["group", "metric"])[_COLUMNS] for table in tables]
    index = keyed[0].index.append(keyed[1].index.difference(keyed[0].index, sort=False))
    left, right = (table.reindex(index) for table in keyed)
    value = left["value"] - right["value"]
    distance = {
        (name, end): (table[end] - table["value"]).abs()
        for name, table in (("a", left), ("b", right))
        for end in ("lower", "upper")
    }
    lower = value - np.hypot(distance["a", "lower"], distance["b", "upper"])
    upper = value + np.hypot(distance["a", "upper"], distance["b", "lower"])
    undefined = [
        n.fillna("no such group").where(value.isna(), "") for n in (left["note"], right["note"])
    ]
    return pd.DataFrame(
        {"a": left["value"], "b": right["value"], "value": value, "lower": lower, "upper": upper,
         "note": _reasons(*undefined)},
        index=index,
    )  # fmt: skip


def _group_names(evaluation: Evaluation) -> list[str]:
    """The group of each estimate in words; "" of all rows."""
    words = [_words(label) for label in evaluation.groups]
    in_group = evaluation.estimates["table"] == "group"
    return [
        words[int(group)] if own else ""
        for group, own in zip(evaluation.estimates["group"], in_group, strict=True)
    ]


def _words(label: Any) -> str:
    return " x ".join(map(str, label)) if isinstance(label, tuple) else str(label)


def _reasons(a: Iterable[str], b: Iterable[str]) -> list[str]:
    return [
        "; ".join(f"{name}: {reason}" for name, reason in zip("ab", pair, strict=True) if reason)
        for pair in zip(a, b, strict=True)
    ]


def _by_counts(job: Job, by_group: bool, reads: str = "counts") -> pd.DataFrame:
    """Metrics of the table of counts, on one set of draws of the joint cells."""
    calculator, cells = job.count_calculator(0, reads), job.cells
    tables = [cells.drawn(cells.rows * cells.weight, index) for index in (0, 1)]
    return _differences(
        calculator.keys,
        lambda amounts: [calculator(cells.drawn(amounts, index)) for index in (0, 1)],
        [calculator.notes(table, calculator(table)) for table in tables],
        job,
        by_group,
        (cells.rows, cells.weight, 2 * int(np.prod(cells.drawn_shape))),
    )


def _by_scores(job: Job, by_group: bool) -> pd.DataFrame:
    """Metrics of the sorted scores, on one set of draws of the rows."""
    calculators = [job.score_calculator(0, target) for target in job.scores if target is not None]
    rows, weight = np.ones(len(job.data), dtype=np.int64), job.row_weights
    own = [c.source.rows.gather(rows * weight) for c in calculators]
    values = [c(amounts) for c, amounts in zip(calculators, own, strict=True)]
    notes = [c.notes(*pair) for c, *pair in zip(calculators, own, values, strict=True)]
    binned = [c.binned(value) for c, value in zip(calculators, values, strict=True)]
    sizes = [len(c.source.rows) for c in binned]

    def gather(amounts: Floats) -> Floats:
        return np.concatenate([c.source.rows.gather(amounts) for c in binned], axis=-1)

    def measure(amounts: Floats) -> list[Floats]:
        parts = np.split(amounts, [sizes[0]], axis=-1)
        return [c(values) for c, values in zip(binned, parts, strict=True)]

    drawn = (rows, weight, sum(sizes))
    return _differences(calculators[0].keys, measure, notes, job, by_group, drawn, gather)


def _differences(
    keys: list[Key],
    measure: Callable[[Floats], list[Floats]],
    notes: list[list[str]],
    job: Job,
    by_group: bool,
    drawn: tuple[NDArray[np.int64], Floats, int],
    gather: Callable[[Floats], Floats] | None = None,
) -> pd.DataFrame:
    """Both methods' numbers from the same draws, and their differences."""
    kept = np.array([by_group or table != "group" for table, _, _ in keys], dtype=bool)
    names = [_words(label) for label in job.groupings[0].labels]
    pairs = [(names[group] if table == "group" else "", name) for table, group, name in keys]

    def both(amounts: Floats) -> Floats:
        a, b = (numbers[..., kept] for numbers in measure(amounts))
        return np.concatenate([a, b, a - b], axis=-1)

    rows, weight, width = drawn
    result = estimate(both, rows, weight, job.bootstrap, job.rng, width=width, gather=gather)
    a, b, value = np.split(result.value, 3)
    return pd.DataFrame(
        {
            "a": a,
            "b": b,
            "value": value,
            "lower": np.split(result.lower, 3)[2],
            "upper": np.split(result.upper, 3)[2],
            "note": _reasons(*([n for n, s in zip(own, kept, strict=True) if s] for own in notes)),
        },
        index=pd.MultiIndex.from_tuples(
            [pair for pair, s in zip(pairs, kept, strict=True) if s], names=["group", "metric"]
        ),
    )

"""Evaluate predictions, wherever they were made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fairvision.metrics.calibration import reliability_curves
from fairvision.metrics.evaluation import Evaluation
from fairvision.metrics.inputs import Options
from fairvision.metrics.job import Job, count_tables, read_job, score_table
from fairvision.metrics.plugin_metrics import plugin_table

__all__ = ["evaluate_predictions"]

# Fewer rows than this of a class in a group: one row moves a rate by ten points or more.
SMALL_CELL = 10
# An AUC below this is worse than no model: the scores are those of another class.
LOW_AUC = 0.4


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
    score_labels: ArrayLike | None = None,
    privileged: Any = None,
    min_support: int = 1,
    missing: str = "raise",
    train: Any = None,
    threshold: float | None = None,
) -> Evaluation:
    """Evaluate predictions, wherever they were made.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Class labels of any type.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
        Group labels. Several columns are evaluated one by one, and crossed.
    y_score : array-like of shape (n_samples,) or (n_samples, n_classes) or None
        Scores of the positive class or of every class. Without a positive class, only the
        calibration of the largest score is evaluated.
    sample_weight : array-like of shape (n_samples,) or None
        Finite weights of 0 or more.
    metrics : str or iterable of str
        Names of :func:`available_metrics` or of plugins' metrics. "default" and "all" leave out
        metrics that are not defined on the data; naming such a metric raises an error.
    n_boot : int
        Bootstrap draws; 0 for no intervals.
    random_state : int, Generator, RandomState or None
    level : float
        Coverage of the intervals.
    interval : {"percentile", "bca"}
    pos_label : object
        The positive class. Default: the second of two classes in sorted order, none of more
        classes. If given, it is compared with the rest.
    labels : array-like or None
        All classes, where some may be absent from the data.
    score_labels : array-like or None
        Class of each column of `y_score`; the sorted classes unless given.
    privileged : label, list of labels, or dict of column to those, or None
        For aif360's signed differences.
    min_support : int
        Groups with fewer rows are shown, but left out of the numbers over groups.
    missing : {"raise", "group"}
        What to do with missing group labels: refuse, or name a group for them.
    train : tuple (y, sensitive_features), Groups, or None
        Training labels. They give the direction of bias amplification, and groups unseen in them
        are reported.
    threshold : float or None
        Threshold of the metrics at the calibrated threshold, from :func:`calibrated_threshold` on
        validation data; None calibrates on this data. It is fixed in the bootstrap draws.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If labels or groups are missing, lengths differ, or a metric that was
        asked for is not defined on this data.

    Examples
    --------
    >>> from fairvision.metrics import evaluate_predictions
    >>> evaluation = evaluate_predictions(
    ...     [0, 1, 1, 0], [0, 1, 0, 0], sensitive_features=["a", "a", "b", "b"], n_boot=0
    ... )
    >>> float(evaluation.disparities.loc["accuracy_gap", "value"])
    0.5
    """
    options = Options(
        sensitive_features=sensitive_features,
        sample_weight=sample_weight,
        metrics=metrics,
        n_boot=n_boot,
        random_state=random_state,
        level=level,
        interval=interval,
        pos_label=pos_label,
        labels=labels,
        score_labels=score_labels,
        privileged=privileged,
        min_support=min_support,
        missing=missing,
        train=train,
    )
    return _evaluate(read_job(y_true, [y_pred], [y_score], [threshold], options), y_score)


def _evaluate(job: Job, y_score: ArrayLike | None) -> Evaluation:
    tables = [[table] for table in count_tables(job)]
    if job.selection.reading("calibrated"):
        for own, table in zip(tables, count_tables(job.calibrated(), "calibrated"), strict=True):
            own.append(table)
    for index, own in enumerate(tables):
        if job.selection.reading("scores"):
            own.append(score_table(job, index))
        if job.selection.plugins:
            own.append(plugin_table(job, index, y_score))
    evaluations = [
        _evaluation(job, index, pd.concat(own, ignore_index=True))
        for index, own in enumerate(tables)
    ]
    columns = evaluations[1:] or evaluations
    evaluations[0].by_attribute = dict(zip(job.data.groups.names, columns, strict=True))
    return evaluations[0]


def _flags(job: Job, index: int, unseen: Any) -> list[str]:
    """Remarks on each group: small cells, too few rows, unseen at fit."""
    rows, keep = job.rows(index), job.keep(index)
    present = rows.sum((0, 2)) > 0
    flags = []
    for group, counts in enumerate(rows.sum(-1)):
        small_cells = [
            f"{int(n)} rows of class {label}"
            for n, label, occurs in zip(counts, job.data.classes, present, strict=True)
            if occurs and n < SMALL_CELL
        ]
        reasons = ["only " + ", ".join(small_cells)] if small_cells else []
        reasons += [] if keep[group] else ["left out of the numbers over groups"]
        reasons += ["unseen at fit"] if unseen[group] else []
        flags.append("; ".join(reasons))
    return flags


def unseen_classes(present: Iterable[Any], known: Iterable[Any]) -> list[str]:
    """A note of the classes that the training rows lacked; none where those are not known."""
    unseen = [label for label in present if label not in set(known)] if known else []
    gap = "no row of these classes can be predicted correctly, so their gaps are 0 and mean nothing"
    return [f"classes unseen at fit: {unseen}; {gap}"] if unseen else []


def _score_notes(job: Job, table: pd.DataFrame) -> list[str]:
    """Scores that rank the positive class low are mostly those of another class."""
    rows = table[(table["table"] == "overall") & (table["metric"] == "roc_auc")]
    if rows.empty or not rows["value"].iloc[0] < LOW_AUC or rows["upper"].iloc[0] >= 0.5:
        return []
    label = job.data.classes.tolist()[job.data.positive]
    return [
        f"roc_auc is {rows['value'].iloc[0]:.2f}, far below 0.5: y_score ranks the positive class "
        f"{label!r} low. If these are scores of another class, pass that class as pos_label."
    ]


def _evaluation(job: Job, index: int, table: pd.DataFrame) -> Evaluation:
    grouping, keep, data = job.groupings[index], job.keep(index), job.data
    labels = np.empty(len(grouping), dtype=object)
    labels[:] = grouping.labels
    notes = [] if index else [*data.notes, *_score_notes(job, table)]
    if not keep.all():
        small_groups = f"groups with fewer than {job.min_support} rows"
        notes.append(
            f"{small_groups}, left out of the numbers over groups: {labels[~keep].tolist()}"
        )
    unseen = np.zeros(len(grouping), dtype=bool)
    if job.train is not None:
        unseen = job.train.unseen(index, grouping)
        if unseen.any():
            notes.append(f"groups unseen at fit: {labels[unseen].tolist()}")
        present = data.classes[job.rows(index).sum((0, 2)) > 0].tolist()
        notes += unseen_classes(present, job.train.classes)
    curves = None
    if job.scores[0] is not None:
        curves = reliability_curves(grouping, job.group, *job.scores[0], data.weight)
    bootstrap = job.bootstrap
    return Evaluation(
        grouping=grouping,
        classes=data.classes,
        pos_label=None if data.positive is None else data.classes[data.positive],
        counts=job.rows(index),
        weights=grouping.merged(job.cells.weighted()),
        estimates=table,
        privileged=job.privileged_groups(index),
        keep=keep,
        flags=_flags(job, index, unseen),
        notes=notes,
        settings={
            "n_boot": bootstrap.n_boot,
            "level": bootstrap.level,
            "interval": bootstrap.kind,
        },
        curves=curves,
    )

"""`evaluate_predictions`: read, count once, compute, wrap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fairvision.base import as_generator
from fairvision.metrics.bootstrap import Bootstrap
from fairvision.metrics.catalog import choose
from fairvision.metrics.evaluation import Evaluation
from fairvision.metrics.foreign import foreign_table
from fairvision.metrics.grouping import groupings
from fairvision.metrics.inputs import read_predictions
from fairvision.metrics.papers import read_scores, reliability_curves
from fairvision.metrics.tables import Job, count_tables, score_table
from fairvision.metrics.training import read_training

__all__ = ["evaluate_predictions"]

# Fewer rows than this of a class in a group: one row moves a rate by ten points or more.
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
        Group labels. Several columns are evaluated each, and crossed.
    y_score : array-like of shape (n_samples,) or (n_samples, n_classes) or None
        Scores of the positive class or of every class. Without a positive
        class only the calibration of the largest is evaluated.
    sample_weight : array-like of shape (n_samples,) or None
        Finite weights of 0 or more.
    metrics : str or iterable of str
        Names of :func:`available_metrics` or of plugins' metrics. "default"
        and "all" leave out what the data cannot define; any other name is
        refused then.
    n_boot : int
        Bootstrap draws; 0 for no intervals.
    random_state : int, Generator, RandomState or None
    level : float
        Coverage of the intervals.
    interval : {"percentile", "bca"}
    pos_label : object
        The positive class; with two classes the second in sorted order unless
        given, with more none unless given (then it is compared with the rest).
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
        Training labels: the direction of bias amplification is taken from
        them, and groups that they lack are reported.
    threshold : float or None
        Of the metrics at the calibrated threshold, from
        :func:`calibrated_threshold` on validation data; else from this data.
        Either way it is held fixed in the draws.

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
    >>> found = evaluate_predictions(
    ...     [0, 1, 1, 0], [0, 1, 0, 0], sensitive_features=["a", "a", "b", "b"], n_boot=0
    ... )
    >>> float(found.disparities.loc["accuracy_gap", "value"])
    0.5
    """
    data = read_predictions(
        y_true,
        [y_pred],
        sensitive_features=sensitive_features,
        sample_weight=sample_weight,
        pos_label=pos_label,
        labels=labels,
        missing=missing,
    )
    group, found = groupings(data.groups)
    job = Job(
        data=data,
        scores=read_scores(y_score, score_labels, data),
        group=group,
        groupings=found,
        chosen=choose(
            metrics,
            positive=data.positive is not None,
            privileged=privileged is not None,
            scores=y_score is not None,
        ),
        how=Bootstrap(n_boot, level, interval),
        rng=as_generator(random_state),
        privileged=privileged,
        min_support=min_support,
        train=read_training(train, data.groups.names, missing),
        threshold=threshold,
    )
    return _evaluate(job, y_score)


def _evaluate(job: Job, y_score: ArrayLike | None) -> Evaluation:
    tables = [[table] for table in count_tables(job)]
    if job.chosen.calibrated:
        for parts, table in zip(tables, count_tables(job.calibrated()), strict=True):
            parts.append(table)
    for which, parts in enumerate(tables):
        if job.chosen.score_rates or job.chosen.score_disparities:
            parts.append(score_table(job, which))
        if job.chosen.plugins:
            parts.append(foreign_table(job, which, y_score))
    wrapped = [_wrap(job, which, pd.concat(t, ignore_index=True)) for which, t in enumerate(tables)]
    columns = wrapped[1:] or wrapped
    wrapped[0].by_attribute = dict(zip(job.data.groups.names, columns, strict=True))
    return wrapped[0]


def _flags(job: Job, which: int, unseen: Any) -> list[str]:
    """What to know of each group: small cells, too few rows, unseen at fit."""
    of_class, keep = job.rows(which).sum(-1), job.keep(which)
    present = job.rows(which).sum((0, 2)) > 0
    flags = []
    for group, counts in enumerate(of_class):
        few = [
            f"{int(n)} rows of class {label}"
            for n, label, here in zip(counts, job.data.classes, present, strict=True)
            if here and n < SMALL_CELL
        ]
        parts = ["only " + ", ".join(few)] if few else []
        parts += [] if keep[group] else ["left out of the numbers over groups"]
        parts += ["unseen at fit"] if unseen[group] else []
        flags.append("; ".join(parts))
    return flags


def _wrap(job: Job, which: int, table: pd.DataFrame) -> Evaluation:
    grouping, keep, data = job.groupings[which], job.keep(which), job.data
    labels = np.empty(len(grouping), dtype=object)
    labels[:] = grouping.labels
    notes = []
    if not keep.all():
        few = f"groups with fewer than {job.min_support} rows"
        notes.append(f"{few}, left out of the numbers over groups: {labels[~keep].tolist()}")
    unseen = np.zeros(len(grouping), dtype=bool)
    if job.train is not None:
        unseen = job.train.unseen(which, grouping)
        if unseen.any():
            notes.append(f"groups unseen at fit: {labels[unseen].tolist()}")
    curves = None
    if job.scores is not None:
        curves = reliability_curves(grouping, job.group, *job.scores, data.weight)
    return Evaluation(
        grouping=grouping,
        classes=data.classes,
        pos_label=None if data.positive is None else data.classes[data.positive],
        counts=job.rows(which),
        weights=grouping.merged(job.cells.weighted()),
        estimates=table,
        privileged=job.favoured(which),
        keep=keep,
        flags=_flags(job, which, unseen),
        notes=notes,
        settings={"n_boot": job.how.n_boot, "level": job.how.level, "interval": job.how.kind},
        curves=curves,
    )

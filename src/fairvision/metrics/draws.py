"""Metrics of bootstrap draws that the caller makes: several models on the same draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fairvision.exceptions import InputError
from fairvision.metrics.confusion import Floats
from fairvision.metrics.inputs import Options
from fairvision.metrics.job import Job, read_job
from fairvision.metrics.selection import resolve_name

__all__ = ["drawn_metrics"]


def drawn_metrics(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    draws: Floats,
    *,
    sensitive_features: Any,
    metrics: Sequence[str],
    y_score: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    threshold: float | None = None,
) -> Floats:
    """Measure every draw of the rows.

    Parameters
    ----------
    y_true, y_pred, y_score, sensitive_features, labels, threshold
        As in :func:`evaluate_predictions`.
    draws : ndarray of shape (n_draws, n_samples)
        How often a draw holds each row.
    metrics : sequence of str

    Returns
    -------
    ndarray of shape (n_draws, n_metrics)
        NaN where a draw leaves a metric undefined.

    Raises
    ------
    InputError
        As :func:`evaluate_predictions` does, and for metrics of plugins.
    """
    options = Options(sensitive_features, metrics=list(metrics), n_boot=0, labels=labels)
    job = read_job(y_true, [y_pred], [y_score], [threshold], options)
    if job.selection.plugins:
        raise InputError(
            f"metrics of plugins cannot be drawn: {', '.join(job.selection.plugins)}. Pass a "
            "metric of fairvision.metrics.available_metrics()."
        )
    columns: dict[str, Floats] = {}
    for reads, of_draws in (("counts", _counts), ("calibrated", _counts), ("scores", _scores)):
        if job.selection.reading(reads):
            source_job = job.calibrated() if reads == "calibrated" else job
            columns |= of_draws(source_job, draws, reads)
    return np.stack([columns[resolve_name(name)] for name in metrics], axis=-1)


def _counts(job: Job, draws: Floats, reads: str) -> dict[str, Floats]:
    calculator, data = job.count_calculator(0, reads), job.data
    place = np.ravel_multi_index((job.group, data.y_true, data.y_pred[0]), job.cells.shape)
    ones = np.ones(len(data))
    cells = replace(job.cells, place=(place,), rows=ones.astype(np.int64), weight=ones)
    return _named(calculator, calculator(cells.drawn(np.asarray(draws, dtype=np.float64))))


def _scores(job: Job, draws: Floats, reads: str) -> dict[str, Floats]:
    assert job.scores[0] is not None
    calculator = job.score_calculator(0, job.scores[0])
    return _named(calculator, calculator(calculator.source.rows.gather(draws)))


def _named(calculator: Any, numbers: Floats) -> dict[str, Floats]:
    """The numbers of all rows, by the metric's name."""
    keys = enumerate(calculator.keys)
    return {name: numbers[..., i] for i, (table, _, name) in keys if table != "group"}

"""Metrics of plugins, called with plain arrays. If one fails, only its own value is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fairvision.exceptions import PluginError, UndefinedMetricError
from fairvision.metrics.bootstrap import estimate
from fairvision.metrics.confusion import Floats
from fairvision.metrics.job import Job, tabulate
from fairvision.metrics.selection import plugin_function

__all__ = ["plugin_table"]


class _PluginMetric:
    """One plugin metric as a function of the weights of the kinds of rows."""

    def __init__(self, offered: Any, columns: dict[str, Any]) -> None:
        self.offered, self.columns, self.reason = offered, columns, ""

    def __call__(self, amounts: Floats) -> Floats:
        rows = amounts.reshape(-1, amounts.shape[-1])
        return np.array([self._value(row) for row in rows]).reshape(*amounts.shape[:-1], 1)

    def _value(self, weight: Floats) -> float:
        used = weight > 0
        columns = {name: None if v is None else v[used] for name, v in self.columns.items()}
        true, predicted = columns.pop("y_true"), columns.pop("y_pred")
        try:
            function = plugin_function(self.offered)
            return float(function(true, predicted, **columns, sample_weight=weight[used]))
        except (PluginError, UndefinedMetricError) as error:
            self.reason = self.reason or str(error)
        except Exception as error:  # the plugin's fault must not end the evaluation
            self.reason = self.reason or f"{type(error).__name__}: {error}"
        return float("nan")


def _columns(job: Job, index: int, y_score: Any) -> tuple[dict[str, Any], Any, Floats]:
    """Arrays to call with, how many rows each entry stands for, and the weight of one."""
    grouping = job.groupings[index]
    if y_score is None:  # the distinct rows are enough
        cells = job.cells
        group, true, predicted = np.unravel_index(cells.place[0], cells.shape)
        rows, weight = cells.rows, cells.weight
    else:
        group, true, predicted = job.group, job.data.y_true, job.data.y_pred[0]
        rows, weight = np.ones(len(job.data), dtype=np.int64), job.row_weights
    labels = grouping.columns().to_numpy()[grouping.merge[group]]
    columns = {
        "y_true": job.data.classes[true],
        "y_pred": job.data.classes[predicted],
        "sensitive_features": labels[:, 0] if labels.shape[1] == 1 else labels,
        "y_score": None if y_score is None else np.asarray(y_score),
    }
    return columns, rows, weight


def plugin_table(job: Job, index: int, y_score: Any) -> pd.DataFrame:
    """Numbers of the selected plugin metrics, with the same kind of intervals as ours."""
    tables = []
    for name, offered in job.selection.plugins.items():
        scores = y_score if offered.descriptor.needs_scores else None
        columns, rows, weight = _columns(job, index, scores)
        metric = _PluginMetric(offered, columns)
        undefined = np.isnan(metric(rows * weight)).all()
        bootstrap = replace(job.bootstrap, n_boot=0) if undefined else job.bootstrap
        numbers = estimate(metric, rows, weight, bootstrap, job.rng)
        notes = [metric.reason if undefined else ""]
        tables.append(tabulate([("disparity", -1, name)], numbers, notes, bootstrap.n_boot))
    return pd.concat(tables, ignore_index=True)

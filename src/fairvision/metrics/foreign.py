"""Metrics of plugins: called with plain arrays, at their own risk only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fairvision.exceptions import UndefinedMetricError
from fairvision.metrics.bootstrap import estimate
from fairvision.metrics.catalog import plugin_function
from fairvision.metrics.rates import Floats
from fairvision.metrics.tables import Job, tabulate

__all__ = ["foreign_table"]


class _Called:
    """One plugin metric as a function of the weights of the kinds of rows."""

    def __init__(self, function: Any, columns: dict[str, Any]) -> None:
        self.function, self.columns, self.reason = function, columns, ""

    def __call__(self, amounts: Floats) -> Floats:
        rows = amounts.reshape(-1, amounts.shape[-1])
        values = [self._one(row) for row in rows]
        return np.array(values).reshape(*amounts.shape[:-1], 1)

    def _one(self, weight: Floats) -> float:
        used = weight > 0
        columns = {name: None if v is None else v[used] for name, v in self.columns.items()}
        try:
            return float(
                self.function(
                    columns["y_true"],
                    columns["y_pred"],
                    sensitive_features=columns["sensitive_features"],
                    y_score=columns["y_score"],
                    sample_weight=weight[used],
                )
            )
        except UndefinedMetricError as error:
            self.reason = self.reason or str(error)
        except Exception as error:  # someone else's code costs its own number only
            self.reason = self.reason or f"{type(error).__name__}: {error}"
        return float("nan")


def _columns(job: Job, which: int, y_score: Any) -> tuple[dict[str, Any], Any, Floats]:
    """Arrays to call with, and how many rows each entry stands for, of which weight."""
    grouping = job.groupings[which]
    if y_score is None:  # the distinct rows tell everything
        cells = job.cells
        group, true, predicted = np.unravel_index(cells.place[0], cells.shape)
        rows, weight = cells.rows, cells.weight
    else:
        group, true, predicted = job.group, job.data.y_true, job.data.y_pred[0]
        rows = np.ones(len(job.data), dtype=np.int64)
        weight = np.ones(len(rows)) if job.data.weight is None else job.data.weight
    labels = grouping.columns().to_numpy()[grouping.merge[group]]
    columns = {
        "y_true": job.data.classes[true],
        "y_pred": job.data.classes[predicted],
        "sensitive_features": labels[:, 0] if labels.shape[1] == 1 else labels,
        "y_score": None if y_score is None else np.asarray(y_score),
    }
    return columns, rows, weight


def foreign_table(job: Job, which: int, y_score: Any) -> pd.DataFrame:
    """Numbers of the chosen plugin metrics, with the same kind of intervals as ours."""
    tables = []
    for name, offered in job.chosen.plugins.items():
        scores = y_score if offered.descriptor.needs_scores else None
        columns, rows, weight = _columns(job, which, scores)
        called = _Called(plugin_function(offered), columns)
        undefined = np.isnan(called(rows * weight)).all()
        how = replace(job.how, n_boot=0) if undefined else job.how
        found = estimate(called, rows, weight, how, job.rng)
        note = called.reason if undefined else ""
        key = [("disparity", -1, name)]
        tables.append(tabulate(key, found, slice(None), [note], how))
    return pd.concat(tables, ignore_index=True)

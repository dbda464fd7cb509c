"""Validation of a run that was read from disk.

A folder may come from anybody, or from a damaged disk. An invalid run is done again; it must not
stop the comparison that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from fairvision.comparison.run import Predictions, Run
from fairvision.comparison.summary import group_rates, measures

__all__ = ["check_run"]


def check_run(run: Run) -> None:
    """Check everything that tables and pages read of a run.

    Raises
    ------
    Exception
        Of any kind, if the run is not as `run_method` makes it.
    """
    _need(isinstance(run.request, dict))
    _check_numbers(run)
    _need(run.rows.shape == (run.n_test,))
    for predictions in (run, run.validation):
        if predictions is not None:
            _check_rows(predictions, run.evaluation["classes"])
    _need(isinstance(run.model_note, str | None))
    measures(run)
    for group, n, _ in group_rates(run):
        _need(isinstance(group, str) and isinstance(n, Integral))
    for name, entry in {**run.evaluation["overall"], **run.evaluation["disparities"]}.items():
        _need(isinstance(name, str) and isinstance(entry.get("note", ""), str))
    _need(all(isinstance(note, str) for note in run.evaluation.get("notes") or ()))
    for epoch in run.history:
        _need(all(isinstance(k, str) and isinstance(v, Real | None) for k, v in epoch.items()))
    if run.worst_group is not None:
        _need(isinstance(run.worst_group["class"], str))
        _need(all(isinstance(label, str) for label in run.worst_group["group"]))
    for probe in (run.leakage or {}).values():
        _check_probe(probe)


def _check_numbers(run: Run) -> None:
    for count in (run.seed, run.n_train, run.n_test):
        _need(isinstance(count, Integral) and 0 <= count < 2**63)
    _need(isinstance(run.n_steps, Integral | None))
    _need(isinstance(run.train_seconds, Real) and np.isfinite(run.train_seconds))
    _need(isinstance(run.threshold, Real | None) and np.isfinite(run.threshold or 0.0))


def _check_rows(run: Run | Predictions, known: list[Any]) -> None:
    """Rows, what was predicted for them, and nothing of another kind."""
    _need(run.rows.ndim == 1 and run.rows.shape == run.y_true.shape == run.y_pred.shape)
    _need(np.issubdtype(run.rows.dtype, np.integer) and run.rows.min(initial=0) >= 0)
    label_names = {str(label) for label in known}  # labels of rare types are stored as text
    for label in {*run.y_true.tolist(), *run.y_pred.tolist()}:
        _need(label in known or str(label) in label_names)
    if run.y_score is not None:
        _need(run.y_score.ndim in (1, 2) and len(run.y_score) == len(run.rows))
        _need(bool(np.isfinite(run.y_score).all()))


def _check_probe(probe: Mapping[str, Any]) -> None:
    """One attribute's leakage: numbers with a chance level, or why there are none."""
    _need(isinstance(probe.get("note", ""), str))
    row = probe.get("target_balanced_accuracy", {"chance": 0.0})
    _need(isinstance(row["chance"], Real))


def _need(fact: bool) -> None:
    if not fact:
        raise ValueError("this file is not a run that fairvision wrote")

"""Runs of several seeds as one table: means, intervals, differences to plain training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from fairvision.comparison.execute import Run
from fairvision.metrics import paired_difference

__all__ = ["MIN_SEEDS", "differences", "measures", "summarize"]

#: Fewer seeds say too little of the noise of training: the test rows' interval is shown instead.
MIN_SEEDS = 3

_OVERALL = ("accuracy", "balanced_accuracy")


def measures(run: Run) -> dict[str, tuple[float, float, float]]:
    """Value and interval over the test rows of every measure of a run."""
    found = {name: _triple(run.evaluation["overall"][name]) for name in _OVERALL}
    for name, entry in run.evaluation["disparities"].items():
        found[name] = _triple(entry)
    for table in (run.leakage or {}).values():
        entry = table["target_balanced_accuracy"]
        # Of several attributes, the one that leaks most.
        found["leakage"] = max(found.get("leakage", (-np.inf,) * 3), _triple(entry))
    return found


def _triple(entry: Any) -> tuple[float, float, float]:
    values = (entry.get(key) for key in ("value", "lower", "upper"))
    value, lower, upper = (np.nan if v is None else float(v) for v in values)
    return value, lower, upper


def _interval(triples: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Mean over seeds with its 95 % interval.

    From `MIN_SEEDS` seeds on, Student's t over the seeds, which covers training
    and sampling noise alike. Below, the mean of the seeds' bootstrap intervals,
    which covers the sampling of test rows only.
    """
    values = np.array([t[0] for t in triples], dtype=np.float64)
    mean = float(values.mean())
    if len(values) < MIN_SEEDS:
        return (
            mean,
            float(np.mean([t[1] for t in triples])),
            float(np.mean([t[2] for t in triples])),
        )
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return mean, float(mean - half), float(mean + half)


def summarize(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a method and measure: mean over seeds, interval, number of seeds.

    Returns
    -------
    DataFrame
        Indexed by (method, metric); columns value, lower, upper, n_seeds.
    """
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        by_method.setdefault(run.method, []).append(run)
    rows = []
    for method, own in by_method.items():
        each = [measures(run) for run in own]
        for metric in each[0]:
            triples = [m[metric] for m in each if metric in m]
            rows.append((method, metric, *_interval(triples), len(triples)))
    columns = ["method", "metric", "value", "lower", "upper", "n_seeds"]
    return pd.DataFrame(rows, columns=columns).set_index(["method", "metric"])


def differences(runs: Iterable[Run], groups: Any, baseline: str, n_boot: int) -> pd.DataFrame:
    """Each method minus the baseline, seed by seed, on the same test rows.

    Parameters
    ----------
    runs : iterable of Run
    groups : DataFrame of all rows of the data
    baseline : str
        Label of the method to compare to.

    Returns
    -------
    DataFrame
        As :func:`summarize`; empty if the baseline was not run.
    """
    runs = list(runs)
    base = {run.seed: run for run in runs if run.method == baseline}
    rows = []
    for method in dict.fromkeys(run.method for run in runs if run.method != baseline):
        pairs = [(r, base[r.seed]) for r in runs if r.method == method and r.seed in base]
        if not pairs:
            continue
        each = [_paired(run, other, groups, n_boot) for run, other in pairs]
        for metric in each[0]:
            triples = [m[metric] for m in each if metric in m]
            rows.append((method, metric, *_interval(triples), len(triples)))
    columns = ["method", "metric", "value", "lower", "upper", "n_seeds"]
    return pd.DataFrame(rows, columns=columns).set_index(["method", "metric"])


def _paired(run: Run, other: Run, groups: Any, n_boot: int) -> dict[str, Any]:
    table = paired_difference(
        run.y_true,
        run.y_pred,
        other.y_pred,
        sensitive_features=groups.iloc[run.rows],
        labels=np.unique(np.concatenate([run.y_true, run.y_pred, other.y_pred])),
        n_boot=n_boot,
        random_state=run.seed,
    )
    found = {str(name): _triple(row) for name, row in table.to_dict(orient="index").items()}
    mine, others = measures(run), measures(other)
    if "leakage" in mine and "leakage" in others:
        found["leakage"] = (mine["leakage"][0] - others["leakage"][0], np.nan, np.nan)
    return found

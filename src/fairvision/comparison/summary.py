"""Runs of several seeds as one table: means, intervals, differences to the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from fairvision.comparison.run import Run

__all__ = [
    "COLUMNS",
    "MIN_SEEDS",
    "differences",
    "group_rates",
    "interval",
    "interval_text",
    "measures",
    "of_runs",
    "over_seeds",
    "summarize",
]

#: Fewer seeds cannot show the noise of training: the interval over test rows is shown instead.
MIN_SEEDS = 3

#: The measures of the short tables, and what their columns are called.
COLUMNS = {
    "accuracy": "accuracy",
    "worst_group_accuracy": "worst-group accuracy",
    "accuracy_gap": "accuracy gap",
    "equalized_odds_difference": "equalized odds difference",
    "leakage": "leakage",
}

_OVERALL = ("accuracy", "balanced_accuracy")

Triple = tuple[float, float, float]


def measures(run: Run) -> dict[str, Triple]:
    """Value and interval over the test rows of every measure of a run."""
    values = {name: _triple(run.evaluation["overall"][name]) for name in _OVERALL}
    for name, entry in run.evaluation["disparities"].items():
        values[name] = _triple(entry)
    if run.leakage:
        # Of several attributes, the one that leaks most; undefined if one of them is.
        probes = [_triple(t.get("target_balanced_accuracy", {})) for t in run.leakage.values()]
        values["leakage"] = probes[int(np.argmax([value for value, _, _ in probes]))]
    return values


def group_rates(run: Run) -> list[tuple[str, int, dict[str, Triple]]]:
    """Each group's name, its rows, and its rates with their intervals."""
    return [
        (
            " × ".join(map(str, entry["group"].values())),
            entry["n"],
            {metric: _triple(rate) for metric, rate in entry["rates"].items()},
        )
        for entry in run.evaluation["by_group"]
    ]


def _triple(entry: Any) -> Triple:
    values = (entry.get(key) for key in ("value", "lower", "upper"))
    value, lower, upper = (np.nan if v is None else float(v) for v in values)
    return value, lower, upper


def interval(triples: Sequence[Triple]) -> Triple:
    """Mean over seeds with its 95 % interval; all undefined if one seed's value is.

    From `MIN_SEEDS` seeds on, Student's t over the seeds, which covers training
    and sampling noise alike. Below, the mean of the seeds' bootstrap intervals,
    which covers the sampling of test rows only.
    """
    values, lower, upper = np.array(triples, dtype=np.float64).T
    mean = float(values.mean())
    if len(values) < MIN_SEEDS:
        return mean, float(lower.mean()), float(upper.mean())
    half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values))
    return mean, float(mean - half), float(mean + half)


def interval_text(triple: Iterable[float], sign: str = "", digits: int = 3) -> str:
    """``0.812 [0.790, 0.834]``; the bounds are left out where they are undefined."""
    value, lower, upper = triple
    if np.isnan(value):
        return "undefined"
    text = f"{value:{sign}.{digits}f}"
    if np.isnan([lower, upper]).any():
        return text
    return f"{text} [{lower:{sign}.{digits}f}, {upper:{sign}.{digits}f}]"


def _frame(each: dict[str, list[dict[str, Triple]]]) -> pd.DataFrame:
    """One row a method and measure, over the seeds that have it."""
    rows = []
    for method, seeds in each.items():
        for metric in dict.fromkeys(name for values in seeds for name in values):
            triples = [values[metric] for values in seeds if metric in values]
            rows.append((method, metric, *interval(triples), len(triples)))
    columns = ["method", "metric", "value", "lower", "upper", "n_seeds"]
    return pd.DataFrame(rows, columns=columns).set_index(["method", "metric"])


def _by_method(
    runs: Iterable[Run], measure: Callable[[Run], dict[str, Triple]]
) -> dict[str, list[dict[str, Triple]]]:
    values: dict[str, list[dict[str, Triple]]] = {}
    for run in runs:
        values.setdefault(run.method, []).append(measure(run))
    return values


def summarize(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a method and measure: mean over seeds, interval, number of seeds.

    Returns
    -------
    DataFrame
        Indexed by (method, metric); columns value, lower, upper, n_seeds. A
        value that is undefined in one seed is NaN.
    """
    return _frame(_by_method(runs, measures))


def differences(
    runs: Iterable[Run],
    groups: Any,
    baseline: str,
    n_boot: int,
    metrics: str | Sequence[str] = "default",
) -> pd.DataFrame:
    """Each method minus the baseline, seed by seed, on the same test rows.

    Parameters
    ----------
    runs : iterable of Run
    groups : DataFrame of all rows of the data
    baseline : str
        Label of the method to compare to.
    n_boot : int
    metrics : str or sequence of str

    Returns
    -------
    DataFrame
        As :func:`summarize`, over the seeds that both have; empty if the
        baseline was not run.
    """
    runs = list(runs)
    base = {run.seed: run for run in runs if run.method == baseline}
    compared = [run for run in runs if run.method != baseline and run.seed in base]
    options = {"n_boot": n_boot, "metrics": metrics}
    return _frame(_by_method(compared, lambda run: _paired(run, base[run.seed], groups, options)))


def of_runs(runs: Iterable[Run], groups: Any, metrics: Sequence[str], n_boot: int) -> pd.DataFrame:
    """Any metrics of each run, read from the predictions of its test rows.

    Returns
    -------
    DataFrame
        Indexed by (method, seed, metric); columns value, lower, upper.
    """

    from fairvision.metrics import evaluate_predictions

    def measured(run: Run) -> dict[str, Triple]:
        known = measures(run)
        further = [name for name in metrics if name not in known]
        if further:
            evaluation = evaluate_predictions(
                run.y_true,
                run.y_pred,
                sensitive_features=groups.iloc[run.rows],
                y_score=run.y_score,
                labels=run.evaluation["classes"],
                metrics=further,
                n_boot=n_boot,
                random_state=run.seed,
                threshold=run.threshold,
            ).to_dict()
            for table in ("overall", "disparities"):
                known |= {name: _triple(entry) for name, entry in evaluation[table].items()}
        return {name: known[name] for name in metrics}

    rows = [
        (run.method, run.seed, name, *triple)
        for run in runs
        for name, triple in measured(run).items()
    ]
    index = ["method", "seed", "metric"]
    return (
        pd.DataFrame(rows, columns=[*index, "value", "lower", "upper"])
        .set_index(index)
        .astype(float)
    )


def over_seeds(each: pd.DataFrame) -> pd.DataFrame:
    """The table of `of_runs` over seeds, in the form of `summarize`."""
    seeds: dict[str, list[dict[str, Triple]]] = {}
    for (method, _), rows in each.groupby(level=["method", "seed"], sort=False):
        own = rows.droplevel(["method", "seed"]).itertuples(name=None)
        seeds.setdefault(str(method), []).append({name: triple for name, *triple in own})
    return _frame(seeds)


def _paired(run: Run, other: Run, groups: Any, options: dict[str, Any]) -> dict[str, Triple]:
    from fairvision.metrics import paired_difference

    both_score = run.y_score is not None and other.y_score is not None
    table = paired_difference(
        run.y_true,
        run.y_pred,
        other.y_pred,
        sensitive_features=groups.iloc[run.rows],
        y_score_a=run.y_score if both_score else None,
        y_score_b=other.y_score if both_score else None,
        labels=run.evaluation["classes"],
        random_state=run.seed,
        **options,
        thresholds=(run.threshold, other.threshold),
    )
    values = {str(name): _triple(row) for name, row in table.to_dict(orient="index").items()}
    mine, others = measures(run), measures(other)
    if "leakage" in mine and "leakage" in others:
        # The two probes have no bootstrap draws in common, so a single seed has no interval.
        values["leakage"] = (mine["leakage"][0] - others["leakage"][0], np.nan, np.nan)
    return values

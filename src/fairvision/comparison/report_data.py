"""The data of a report, as plain data: the same from memory and from a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from fairvision.comparison.command import command
from fairvision.comparison.plan import MethodPlan
from fairvision.comparison.run import Run
from fairvision.comparison.store import Store
from fairvision.comparison.summary import Triple, group_rates, interval
from fairvision.exceptions import PluginError, RunError
from fairvision.plugins import RegisteredMethod, default_registry, describe

__all__ = ["describe_methods", "read_report_data", "report_data"]


def describe_methods(methods: Iterable[MethodPlan]) -> dict[str, dict[str, Any]]:
    """Summary, reference and needs of each method, by its label."""
    return {method.label: _method(method) for method in methods}


def _method(method: MethodPlan) -> dict[str, Any]:
    try:
        registered = cast(RegisteredMethod, default_registry().find("method", method.name))
    except PluginError:  # no longer installed, or an estimator that was passed
        return {"summary": "", "reference": None, "needs": None}
    reference = registered.reference
    return {
        "summary": registered.descriptor.summary,
        "reference": None if reference is None else asdict(reference),
        "needs": asdict(registered.needs),
    }


def report_data(summary: Mapping[str, Any], runs: Iterable[Run]) -> dict[str, Any]:
    """Set a comparison's `to_dict` and its runs side by side.

    Parameters
    ----------
    summary : mapping
        Of `Comparison.to_dict`.
    runs : iterable of Run

    Returns
    -------
    dict
        Plain data: `fairvision.reports` needs nothing else.
    """
    runs = list(runs)
    return {
        **summary,
        "runs": [
            {name: getattr(run, name) for name in ("method", "seed", "history", "leakage")}
            for run in runs
        ],
        "by_group": _by_group(runs),
        "artifacts": {run.method: run.artifacts for run in runs if run.artifacts},
        "before_after": _before_after(summary, runs),
        "command": command(summary["plan"]),
    }


def _before_after(summary: Mapping[str, Any], runs: list[Run]) -> dict[str, Any] | None:
    """The worst cell of the baseline: rows and pictures right under it and the chosen method."""
    choice, base = summary.get("choice"), summary["baseline"]
    with_artifacts = {run.method: run for run in runs if run.artifacts}
    if (
        not choice
        or choice["method"] == base
        or not {choice["method"], base} <= with_artifacts.keys()
    ):
        return None
    pair = [with_artifacts[base], with_artifacts[choice["method"]]]
    worst = (pair[0].artifacts or {})["worst"]
    # A comparison that is older has no such pictures.
    if not worst or not worst.get("sample") or not np.array_equal(pair[0].rows, pair[1].rows):
        return None
    right = np.stack([run.y_pred == run.y_true for run in pair], axis=1)
    return {
        **{name: worst[name] for name in ("class", "group", "n")},
        "methods": [run.method for run in pair],
        "seed": pair[0].seed,
        "n_right": right[worst["rows"]].sum(0).tolist(),
        "pictures": [
            {"src": entry["src"], "right": right[entry["row"]].tolist()}
            for entry in worst["sample"]
        ],
    }


def read_report_data(folder: str | Path) -> dict[str, Any]:
    """The same of a comparison's folder.

    Raises
    ------
    RunError
        If the folder holds no finished comparison.
    """
    store = Store(folder)
    summary = store.summary()
    try:
        runs = (store.find(str(row["method"]), int(row["seed"])) for row in summary["results"])
        return {**report_data(summary, [run for run in runs if run]), "folder": str(folder)}
    except Exception as error:  # the files may hold anything
        raise RunError(
            f"{folder} holds no readable comparison ({describe(error)}). Run the same "
            "`fairvision compare` once more."
        ) from error


def _by_group(runs: list[Run]) -> list[dict[str, Any]]:
    """Each method's rates by group: mean over seeds, interval, rows of a seed."""
    cells: dict[tuple[str, str, str], list[Triple]] = {}
    rows: dict[tuple[str, str], set[int]] = {}
    for run in runs:
        for group, n, rates in group_rates(run):
            rows.setdefault((run.method, group), set()).add(n)
            for metric, triple in rates.items():
                cells.setdefault((run.method, group, metric), []).append(triple)
    return [
        {"method": method, "group": group, "metric": metric, "n": sorted(rows[method, group])}
        | dict(zip(("value", "lower", "upper"), interval(triples), strict=True))
        for (method, group, metric), triples in cells.items()
    ]

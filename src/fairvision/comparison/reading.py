"""A finished comparison, read from its folder."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from fairvision.comparison.plan import MethodPlan, Plan
from fairvision.comparison.result import Comparison
from fairvision.comparison.store import Store
from fairvision.exceptions import RunError
from fairvision.plugins import describe

__all__ = ["read_comparison"]


def read_comparison(folder: str | Path) -> Comparison:
    """Read the comparison that `fairvision compare --out FOLDER` wrote.

    Groups are read as text. An estimator that was passed is not in the folder.

    Raises
    ------
    RunError
        If the folder holds no finished comparison, or one without validation rows.
    """
    store = Store(folder)
    summary, groups = store.summary(), store.groups()
    try:
        plan = _plan(summary["plan"])
        stored = (store.find(str(row["method"]), int(row["seed"])) for row in summary["results"])
        runs = tuple(run for run in stored if run is not None)
        return Comparison(
            plan=plan,
            runs=runs,
            failures={(f["method"], f["seed"]): f["error"] for f in summary["failures"]},
            summary=_table(summary["summary"]),
            differences=_table(summary["differences"]),
            sensitive_features=pd.read_csv(io.StringIO(groups), dtype=str, keep_default_na=False),
            baseline=summary["baseline"],
            out=store.out,
            reused=len(runs),
            features_seconds=summary.get("features_seconds"),
        )
    except Exception as error:  # the files may hold anything
        raise RunError(
            f"{folder} holds no readable comparison ({describe(error)}). Run the same "
            "`fairvision compare` again."
        ) from error


def _plan(stored: Mapping[str, Any]) -> Plan:
    known = {name: stored[name] for name in (f.name for f in fields(Plan)) if name in stored}
    methods = tuple(_method(method) for method in stored["methods"])
    return Plan(**{**known, "methods": methods, "seeds": tuple(stored["seeds"])})


def _method(stored: Mapping[str, Any]) -> MethodPlan:
    known = {f.name: stored[f.name] for f in fields(MethodPlan) if f.name in stored}
    model = None if stored.get("model") is None else _method(stored["model"])
    # True stands for an estimator, None for a method that has a name.
    return MethodPlan(**{**known, "model": model, "estimator": stored.get("estimator") or None})


def _table(records: list[dict[str, Any]]) -> pd.DataFrame:
    columns = ["method", "metric", "value", "lower", "upper", "n_seeds"]
    table = pd.DataFrame(records, columns=columns).set_index(["method", "metric"])
    return table.astype(float)

"""What a comparison found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairvision.comparison.execute import Run
from fairvision.comparison.plan import Plan
from fairvision.comparison.summary import MIN_SEEDS, measures

__all__ = ["Comparison"]

#: The measures of the short table, and what its columns are called.
COLUMNS = {
    "accuracy": "accuracy",
    "worst_group_accuracy": "worst-group accuracy",
    "accuracy_gap": "accuracy gap",
    "equalized_odds_difference": "equalized odds difference",
    "leakage": "leakage",
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods by seeds on one data set.

    Attributes
    ----------
    plan : Plan
    runs : tuple of Run
        Finished runs, in the order of the plan.
    failures : mapping of (method, seed) to str
        The error of each run that failed.
    summary : DataFrame
        Indexed by (method, metric): mean over seeds, 95 % interval, number of seeds.
    differences : DataFrame
        The same for each method minus plain training, paired by seed and test row.
    out : Path or None
        The folder that holds it all.
    reused : int
        Runs found finished on disk and not done again.
    """

    plan: Plan
    runs: tuple[Run, ...]
    failures: Mapping[tuple[str, int], str]
    summary: pd.DataFrame
    differences: pd.DataFrame
    out: Path | None = None
    reused: int = 0

    @property
    def results(self) -> pd.DataFrame:
        """One row a run: method, seed, rows, steps, seconds, every measure with its interval."""
        rows = []
        for run in self.runs:
            row: dict[str, Any] = {
                "method": run.method,
                "seed": run.seed,
                "n_train": run.n_train,
                "n_test": run.n_test,
                "n_steps": run.n_steps,
                "train_seconds": run.train_seconds,
            }
            for name, (value, lower, upper) in measures(run).items():
                row |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
            rows.append(row)
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """The short table as text: a row a method, each measure with its interval."""
        rows: dict[str, dict[str, str]] = {}
        for method in self.plan.methods:
            own = [run for run in self.runs if run.method == method.label]
            row = {"groups seen": method.groups_seen}
            if not own:
                row |= dict.fromkeys(COLUMNS.values(), "failed")
            else:
                row |= {name: self._cell(method.label, key) for key, name in COLUMNS.items()}
                row["training s"] = f"{np.mean([run.train_seconds for run in own]):.1f}"
                row["steps"] = _steps(own)
            rows[method.label] = row
        return pd.DataFrame.from_dict(rows, orient="index").fillna("")

    def _cell(self, method: str, metric: str) -> str:
        if (method, metric) not in self.summary.index:
            return ""
        value, lower, upper = self.summary.loc[(method, metric), ["value", "lower", "upper"]]
        if np.isnan(value):
            return "undefined"
        return f"{value:.3f} [{lower:.3f}, {upper:.3f}]"

    def notes(self) -> list[str]:
        """What a reader of the table must know."""
        n = len(self.plan.seeds)
        if n >= MIN_SEEDS:
            how = f"Student's t over {n} seeds (training and sampling noise)"
        else:
            how = (
                f"bootstrap of the test rows, averaged over {n} seed(s): the noise of training is "
                f"not in it; {MIN_SEEDS} seeds or more give it"
            )
        notes = [f"Mean over seeds [95 % interval: {how}]."]
        if "leakage" in self.summary.index.get_level_values("metric"):
            notes.append(
                "Leakage: balanced accuracy of a fresh probe reading the group from the features "
                "of test images, within classes of the target."
            )
        steps = {run.n_steps for run in self.runs if run.n_steps is not None}
        if len(steps) > 1:
            notes.append(
                f"The methods took different numbers of optimisation steps ({min(steps)} to "
                f"{max(steps)}): see the column."
            )
        for (method, seed), error in self.failures.items():
            notes.append(f"{method}, seed {seed} failed: {error}")
        return notes

    def __str__(self) -> str:
        return "\n".join([self.table().to_string(), "", *self.notes()])

    def _repr_html_(self) -> str:
        from html import escape

        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return self.table().to_html(escape=True) + notes

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the plan, every run without its predictions, the summaries."""
        return {
            "plan": self.plan.to_dict(),
            "results": _records(self.results),
            "summary": _records(self.summary.reset_index()),
            "differences": _records(self.differences.reset_index()),
            "failures": [
                {"method": method, "seed": seed, "error": error}
                for (method, seed), error in self.failures.items()
            ],
            "notes": self.notes(),
        }


def _steps(runs: Sequence[Run]) -> str:
    counts = sorted({run.n_steps for run in runs if run.n_steps is not None})
    return "" if not counts else "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data, undefined numbers as None."""
    rows = table.astype(object).where(table.notna(), None)
    return [{str(k): v for k, v in row.items()} for row in rows.to_dict(orient="records")]

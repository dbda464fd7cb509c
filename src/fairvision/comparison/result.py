"""`Comparison`: the results of a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairvision.comparison.choice import Choice, choose
from fairvision.comparison.notes import notes_of, worst_group_name
from fairvision.comparison.plan import Plan
from fairvision.comparison.report_data import describe_methods, report_data
from fairvision.comparison.run import Run
from fairvision.comparison.serialization import plain
from fairvision.comparison.summary import COLUMNS, interval_text, measures, of_runs, over_seeds
from fairvision.exceptions import InputError
from fairvision.reports import comparison_page, plot_comparison, write_page

__all__ = ["Comparison"]


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
        The same for each method minus the baseline, paired by seed and test row.
    sensitive_features : DataFrame
        Groups of all rows of the data.
    data_notes : tuple of str
        What the data are, and which rows were left out.
    baseline : str
    out : Path or None
        Folder of the results.
    reused : int
        Number of runs read from the folder instead of done again.
    features_seconds : float or None
        What computing the features took, which all runs shared.
    extractor : FeatureExtractor or None
        Computed the features; None if the comparison was read from its folder.
    """

    plan: Plan
    runs: tuple[Run, ...]
    failures: Mapping[tuple[str, int], str]
    summary: pd.DataFrame
    differences: pd.DataFrame
    sensitive_features: pd.DataFrame
    data_notes: tuple[str, ...] = ()
    baseline: str = "erm"
    out: Path | None = None
    reused: int = 0
    features_seconds: float | None = None
    extractor: Any = None

    @property
    def results(self) -> pd.DataFrame:
        """One row a run: method, seed, rows, steps, seconds, every measure with its interval."""
        names = ("method", "seed", "n_train", "n_test", "n_steps", "train_seconds")
        rows = []
        for run in self.runs:
            row = {name: getattr(run, name) for name in names}
            row["worst_group"] = worst_group_name(run)
            for name, (value, lower, upper) in measures(run).items():
                row |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
            rows.append(row)
        return pd.DataFrame(rows, columns=None if rows else [*names, "worst_group"])

    def measure(self, metrics: Sequence[str], *, by_seed: bool = False) -> pd.DataFrame:
        """Compute further metrics from the predictions of the test rows.

        Parameters
        ----------
        metrics : sequence of str
            Of `summary`, `fairvision.metrics.available_metrics` or a plugin.
        by_seed : bool, default=False
            Whether to return each seed instead of the mean over seeds.

        Returns
        -------
        DataFrame
            As `summary`: a row a method and metric, with its interval. By seed: a row a
            method, seed and metric, with the interval over its test rows.

        Raises
        ------
        InputError
            If a metric is unknown, or not defined on these data.
        """
        each = of_runs(self.runs, self.sensitive_features, metrics, self.plan.n_boot)
        return each if by_seed else over_seeds(each)

    def choose(
        self,
        by: str = "worst_group_accuracy",
        at_least: str | Sequence[str] = (),
        *,
        n_boot: int = 1000,
    ) -> Choice:
        """Choose a method by validation rows; test rows are reported for the chosen method only.

        The choice is the first method whose `by` is within one standard error of the best, in the
        order of the plan with the baseline first. So list simpler methods first.

        Parameters
        ----------
        by : str, default="worst_group_accuracy"
            The metric that decides, its mean over the seeds, of
            `fairvision.metrics.available_metrics`.
        at_least : str or sequence of str
            Constraints that a method must also meet on validation rows: ``"accuracy>=0.9"``,
            ``"accuracy_gap<=0.05"``.
        n_boot : int, default=1000
            Bootstrap draws of rows and seeds that say how sure the choice is.

        Returns
        -------
        Choice

        Raises
        ------
        InputError
            If there are no validation rows, a metric is unknown or undefined, or no method meets
            `at_least`; the error names the nearest.
        """
        return choose(self, by, at_least, n_boot=n_boot)

    def table(self) -> pd.DataFrame:
        """The short table as text: a row a method, each measure with its interval."""
        rows: dict[str, dict[str, str]] = {}
        seconds = self.features_seconds
        once = {} if seconds is None else {"features s (once)": f"{seconds:.1f}"}
        for method in self.plan.methods:
            runs = [run for run in self.runs if run.method == method.label]
            row = {"groups seen": method.groups_seen}
            if runs:
                row |= self._cells(self.summary, method.label, "")
                row |= once
                row["training s"] = f"{np.mean([run.train_seconds for run in runs]):.1f}"
                row["steps"] = _steps(runs)
            else:
                failed = any(label == method.label for label, _ in self.failures)
                row |= dict.fromkeys(COLUMNS.values(), "failed" if failed else "not run")
            rows[method.label] = row
        return pd.DataFrame.from_dict(rows, orient="index").fillna("")

    def difference_table(self) -> pd.DataFrame:
        """The short table of each method minus the baseline; empty without a baseline."""
        methods = self.differences.index.get_level_values("method").unique()
        rows = {method: self._cells(self.differences, method, "+") for method in methods}
        return pd.DataFrame.from_dict(rows, orient="index")

    def _cells(self, summary: pd.DataFrame, method: str, sign: str) -> dict[str, str]:
        measured = summary.index.get_level_values("metric")
        own = summary.loc[method]
        return {
            name: _cell(own.loc[metric], len(self.plan.seeds), sign) if metric in own.index else ""
            for metric, name in COLUMNS.items()
            if metric in measured
        }

    @property
    def seeds_lacking(self) -> dict[str, int]:
        """The methods with fewer finished seeds than the others, and how many they have."""
        finished = Counter(run.method for run in self.runs)
        most = max(finished.values(), default=0)
        return {label: n for label, n in finished.items() if n < most}

    def notes(self) -> list[str]:
        """What a reader of the table must know, the most important first."""
        return notes_of(self)

    def __str__(self) -> str:
        parts = [self.table().to_string()]
        if len(self.differences):
            parts += ["", f"Minus {self.baseline}:", self.difference_table().to_string()]
        return "\n".join([*parts, "", *self.notes()])

    def _repr_html_(self) -> str:
        from html import escape

        tables = self.table().to_html(escape=True)
        if len(self.differences):
            tables += f"<p>Minus {escape(self.baseline)}:</p>"
            tables += self.difference_table().to_html(escape=True)
        return tables + "".join(f"<p>{escape(note)}</p>" for note in self.notes())

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the plan, every run without its predictions, the summaries."""
        return plain(
            {
                "plan": self.plan.to_dict(),
                "baseline": self.baseline,
                "seeds_lacking": self.seeds_lacking,
                "features_seconds": self.features_seconds,
                "columns": COLUMNS,
                "methods": describe_methods(self.plan.methods),
                "results": self.results.to_dict(orient="records"),
                "summary": self.summary.reset_index().to_dict(orient="records"),
                "differences": self.differences.reset_index().to_dict(orient="records"),
                "failures": [
                    {"method": method, "seed": seed, "error": error}
                    for (method, seed), error in self.failures.items()
                ],
                "notes": self.notes(),
                "choice": self._choice,
            }
        )

    @cached_property
    def _choice(self) -> dict[str, Any] | None:
        """The choice that the report begins with, where there are validation rows."""
        with suppress(InputError):
            return self.choose().to_dict()
        return None

    def report_data(self) -> dict[str, Any]:
        """The data of the report, as plain data."""
        folder = {} if self.out is None else {"folder": str(self.out)}
        return {**report_data(self.to_dict(), self.runs), **folder}

    def report(self, path: str | Path, *, pictures: bool = True) -> Path:
        """Write the results as one HTML file that loads nothing else.

        Parameters
        ----------
        path : str or Path
        pictures : bool, default=True
            Whether the file holds test pictures and figures of plugins.

        Returns
        -------
        Path

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        return write_page(path, comparison_page(self.report_data(), pictures=pictures))

    def plot(self, gap: str | None = None, *, ax: Any = None) -> Any:
        """Draw accuracy against a fairness gap, a point a method, with intervals.

        Parameters
        ----------
        gap : str or None, default=None
            A measure of `summary`; None takes the equalized odds difference where
            it is defined, and else the accuracy gap.
        ax : matplotlib axes or None

        Returns
        -------
        matplotlib axes

        Raises
        ------
        InputError
            If no method has that gap.
        """
        return plot_comparison(self.to_dict(), gap, ax)


def _cell(row: pd.Series, n_seeds: int, sign: str) -> str:
    text = interval_text(row[["value", "lower", "upper"]], sign)
    if text == "undefined" or row["n_seeds"] == n_seeds:
        return text
    return f"{text} ({row['n_seeds']:.0f} of {n_seeds})"


def _steps(runs: Sequence[Run]) -> str:
    counts = sorted({run.n_steps for run in runs if run.n_steps is not None})
    return "" if not counts else "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))

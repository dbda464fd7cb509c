"""Pictures and HTML of an evaluation."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fairvision.exceptions import InputError

if TYPE_CHECKING:
    from fairvision.metrics.evaluation import Evaluation

__all__ = ["plot", "to_html"]


def _rows(evaluation: Evaluation, metric: str) -> pd.DataFrame:
    """Labels, values and ends of what to draw, one row a line."""
    if metric == "disparities":
        return evaluation.disparities.dropna(subset="value")
    table = evaluation.by_group_intervals
    known = table.index.get_level_values("metric").unique().tolist()
    if metric not in known:
        raise InputError(f"cannot plot {metric!r}; expected 'disparities' or one of {known}.")
    return table.xs(metric, level="metric")


def plot(evaluation: Evaluation, metric: str, ax: Any) -> Any:
    """Draw one rate by group, or all numbers over the groups; see `Evaluation.plot`."""
    rows = _rows(evaluation, metric)
    if ax is None:
        import matplotlib.pyplot as plt

        # Of pyplot: what it makes, a notebook shows by itself.
        ax = plt.figure(figsize=(6.4, 1 + 0.4 * len(rows)), layout="constrained").add_subplot()
    place = np.arange(len(rows))
    value = rows["value"].to_numpy(dtype=float)
    ends = np.abs(rows[["lower", "upper"]].to_numpy(dtype=float).T - value)
    ax.errorbar(value, place, xerr=np.nan_to_num(ends), fmt="o", capsize=3, color="C0")
    for y in place[np.isnan(value)]:
        ax.text(0.02, y, "undefined", transform=ax.get_yaxis_transform(), va="center", alpha=0.6)
    labels = [" ".join(map(str, g)) if isinstance(g, tuple) else str(g) for g in rows.index]
    ax.set_yticks(place, labels)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    if metric in evaluation.overall.index:
        ax.axvline(evaluation.overall[metric], color="0.6", linewidth=1, zorder=0)
    level = evaluation.settings["level"]
    ax.set_xlabel(f"{metric.replace('_', ' ')} ({level:.0%} interval)")
    ax.set_ylabel("" if metric == "disparities" else " x ".join(evaluation.grouping.names))
    return ax


def _table(table: pd.DataFrame) -> str:
    return str(table.to_html(float_format="{:.4g}".format, na_rep="undefined", border=0))


def to_html(evaluation: Evaluation) -> str:
    """The three tables and the notes; everything from the data is escaped."""
    names = html.escape(" × ".join(evaluation.grouping.names))
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in evaluation.notes)
    return (
        f"<div class='fairvision-evaluation'><h4>Overall</h4>{_table(evaluation.overall_intervals)}"
        f"<h4>By {names}</h4>{_table(evaluation.by_group)}"
        f"<h4>Over the groups</h4>{_table(evaluation.disparities)}"
        f"{'<ul>' + notes + '</ul>' if notes else ''}</div>"
    )

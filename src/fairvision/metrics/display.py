"""Pictures and HTML of an evaluation."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["plot_intervals", "to_html"]


def plot_intervals(
    rows: pd.DataFrame, xlabel: str, ylabel: str, overall: float | None, ax: Any
) -> Any:
    """Draw value, lower and upper of each row as a dot with its interval.

    `overall` is drawn as a vertical line. Without `ax`, pyplot makes a figure.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        # A notebook shows by itself what pyplot makes.
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
    if overall is not None:
        ax.axvline(overall, color="0.6", linewidth=1, zorder=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax


def to_html(tables: Mapping[str, pd.DataFrame], notes: Sequence[str]) -> str:
    """Titled tables and a list of notes. Everything from the data is escaped."""
    sections = "".join(
        f"<h4>{html.escape(title)}</h4>"
        + table.to_html(float_format="{:.4g}".format, na_rep="undefined", border=0)
        for title, table in tables.items()
    )
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    listed = f"<ul>{items}</ul>" if items else ""
    return f"<div class='fairvision-evaluation'>{sections}{listed}</div>"

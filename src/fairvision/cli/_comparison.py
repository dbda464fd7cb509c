"""A comparison on the terminal: one table of 100 columns, and five lines of notes."""

from __future__ import annotations

import textwrap
from typing import Any

import click
import numpy as np

from fairvision.plugins import clean

#: The columns of the table: metric, heading, and whether higher is better.
_MEASURES = (
    ("worst_group_accuracy", "worst group", True),
    ("accuracy", "accuracy", True),
    ("equalized_odds_difference", "eq. odds diff.", False),
)
_WIDTHS = (29, 19, 19, 19, 5)
_ROOM = sum(_WIDTHS) + 2 * (len(_WIDTHS) - 1)
_N_LINES = 5


def print_comparison(result: Any, *, notes: bool = True) -> None:
    """Print the controls, then the methods from the best to the worst, then notes.

    Parameters
    ----------
    result : Comparison
    notes : bool, default=True
        Whether to print the notes.
    """
    controls, methods = _in_order(result)
    whole = [label for label in methods if label not in result.seeds_lacking]
    best = whole[0] if whole and _value(result, whole[0]) > -1 else None
    _print_line(["method", *(name for _, name, _ in _MEASURES), "s"])
    for label in controls:
        _print_line(_cells(result, label))
    click.echo("-" * _ROOM)
    for label in methods:
        _print_line(_cells(result, label), bold=label == best)
    if notes:
        click.echo("\n" + "\n".join(_notes(result)))
    for (method, seed), error in result.failures.items():
        click.echo(clean(f"{method}, seed {seed} failed: {error}", limit=4000))


def marks_note(baseline: str) -> str:
    """A note that explains the marks + and -."""
    return f"+ and -: better and worse than {baseline}; the interval of the difference excludes 0."


def _in_order(result: Any) -> tuple[list[str], list[str]]:
    """The labels of the controls, and those of the methods, the best worst group first."""
    controls = [m.label for m in result.plan.methods if m.balanced or m.label == result.baseline]
    methods = [m.label for m in result.plan.methods if m.label not in controls]
    return controls, sorted(methods, key=lambda label: -_value(result, label))


def _value(result: Any, label: str) -> float:
    key = (label, _MEASURES[0][0])
    value = result.summary.value.get(key, -1.0) if len(result.summary) else -1.0
    return -1.0 if np.isnan(value) else value


def _cells(result: Any, label: str) -> list[str]:
    runs = [run for run in result.runs if run.method == label]
    if not runs:
        failed = any(label == method for method, _ in result.failures)
        return [label, *["failed" if failed else "not run"] * len(_MEASURES), ""]
    cells = [_cell(result, label, metric, more) for metric, _, more in _MEASURES]
    if label in result.seeds_lacking:
        room = _WIDTHS[0] - len(seeds := f" ({len(runs)} seed{'s' * (len(runs) > 1)})")
        label = (label if len(label) <= room else label[: room - 3] + "...") + seeds
    return [label, *cells, f"{np.mean([run.train_seconds for run in runs]):.0f}"]


def _cell(result: Any, label: str, metric: str, more: bool) -> str:
    from fairvision.comparison.summary import interval_text  # late: it imports pandas

    if (label, metric) not in result.summary.index:
        return ""
    interval = result.summary.loc[(label, metric), ["value", "lower", "upper"]]
    return interval_text(interval, digits=2) + _mark(result, label, metric, more)


def _mark(result: Any, label: str, metric: str, more: bool) -> str:
    """+ if the interval shows the method better than the baseline, - if worse, else nothing."""
    if not len(result.differences) or (label, metric) not in result.differences.index:
        return ""
    lower, upper = result.differences.loc[(label, metric), ["lower", "upper"]]
    if lower > 0 or upper < 0:
        return " +" if (lower > 0) == more else " -"
    return ""


def _print_line(cells: list[str], *, bold: bool = False) -> None:
    """Print a row; the method's name is cut where it is too long, intervals are dimmed."""
    parts = []
    for cell, width in zip(cells, _WIDTHS, strict=True):
        text = clean(cell, limit=4000)
        text = text if len(text) <= width else text[: width - 3] + "..."
        value, bracket, interval = text.partition(" [")
        styled = click.style(value, bold=True) if bold else value
        styled += click.style(bracket + interval, dim=True) if bracket else ""
        parts.append(styled + " " * (width - len(text)))
    click.echo("  ".join(parts).rstrip())


def _notes(result: Any) -> list[str]:
    """The first notes in a few lines, and how many are left."""
    # The failures stand below, each of them, however many.
    notes = result.notes()[: -len(result.failures) or None]
    if len(result.differences):
        notes.insert(1, marks_note(result.baseline))
    lines: list[str] = []
    for i, note in enumerate(notes):
        more = textwrap.wrap(clean(note, limit=4000), _ROOM)
        last = i == len(notes) - 1
        if lines and len(lines) + len(more) > _N_LINES - (not last):
            return [*lines, f"{len(notes) - i} more notes, and all measures: --full."]
        lines += more
    return lines

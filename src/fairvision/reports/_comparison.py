"""The page of a comparison, from its report data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairvision.exceptions import InputError, RunError
from fairvision.reports._comparison_parts import faces_part, groups_part, methods_part, models_part
from fairvision.reports._draw import Point, tradeoff
from fairvision.reports._page import LIMIT, Album, render
from fairvision.reports._svg import Picture, picture
from fairvision.reports._words import Estimate, estimate, metric_name, short

__all__ = ["comparison_page", "plot_comparison"]

#: The better direction of each metric; a metric that is not listed is not judged.
BETTER = {
    "accuracy": 1,
    "worst_group_accuracy": 1,
    "accuracy_gap": -1,
    "equalized_odds_difference": -1,
    "leakage": -1,
}
#: The gap of the first picture. Where groups are balanced a bias may cost all of them the same
#: accuracy, so the difference of error rates comes first.
GAPS = ("equalized_odds_difference", "accuracy_gap")
_MOST_NAMES = 6

Table = Mapping[tuple[str, str], Estimate]


def comparison_page(data: Mapping[str, Any], *, pictures: bool = True) -> str:
    """Draw a comparison as one HTML page.

    Parameters
    ----------
    data : mapping
        Of `Comparison.report_data` or `fairvision.comparison.read_report_data`.
    pictures : bool, default=True
        Whether the page holds test pictures, and figures of plugins, that were stored.

    Returns
    -------
    str

    Raises
    ------
    RunError
        If the data are not of that form.
    """
    try:
        return render("comparison.html", _content(data, Album(LIMIT if pictures else 0)))
    except Exception as error:
        raise RunError(
            f"the comparison cannot be drawn ({type(error).__name__}: {error}). If its folder was "
            "not changed after `fairvision compare`, this is a bug in fairvision: please report "
            "it."
        ) from error


def _content(data: Mapping[str, Any], album: Album) -> dict[str, Any]:
    """What the template shows."""
    summary, differences = table_of(data["summary"]), table_of(data["differences"])
    gap = _gap(summary)
    content = {
        "title": f"{len(_labels(data)) - len(_controls(data))} methods on {_dataset(data)}",
        "sentence": _sentence(data, summary, differences, gap),
        "hero": _hero(data, summary, gap),
        "faces": faces_part(data, album),
        "key": _labels(data) if _crowded(data) else [],
        "unplaced": [m for m in _labels(data) if not summary.get((m, gap)) or m in _lacking(data)],
        "gap": metric_name(gap),
        "baseline": data["baseline"],
        "control": next(iter(_controls(data)), None),
        "has_differences": bool(data["differences"]),
        "columns": [{"name": name, "better": BETTER.get(k, 0)} for k, name in _columns(data)],
        "rows": _rows(data, summary, differences),
        "notes": data["notes"],
        "failures": data["failures"],
        **groups_part(data, summary),
        **methods_part(data),
        **models_part(data, album),
        "versions": data["plan"]["versions"],
        "command": data["command"],
    }
    return content | {"album": album}


def plot_comparison(data: Mapping[str, Any], gap: str | None = None, ax: Any = None) -> Any:
    """Draw accuracy against a gap on matplotlib axes; see `Comparison.plot`."""
    summary = table_of(data["summary"])
    gap = gap or _gap(summary)
    points = _points(data, summary, gap)
    if not points:
        known = sorted({metric for _, metric in summary})
        raise InputError(
            f"gap {gap!r} is not defined for any method; there are {', '.join(known)}."
        )
    if ax is None:
        import matplotlib.pyplot as plt

        # Of pyplot: what it makes, a notebook shows by itself.
        ax = plt.figure(layout="constrained").add_subplot()
    tradeoff(ax, points, metric_name(gap))
    return ax


def table_of(records: Sequence[Mapping[str, Any]]) -> Table:
    """Records as (method, metric) -> number with interval."""
    return {(record["method"], record["metric"]): estimate(record) for record in records}


def _labels(data: Mapping[str, Any]) -> list[str]:
    return [method["label"] for method in data["plan"]["methods"]]


def _controls(data: Mapping[str, Any]) -> set[str]:
    """The balanced baseline: plain training on rows without the bias, not a method."""
    return {method["label"] for method in data["plan"]["methods"] if method.get("balanced")}


def _lacking(data: Mapping[str, Any]) -> Mapping[str, int]:
    """Methods with fewer finished seeds than others; a folder that is older does not say."""
    return data.get("seeds_lacking") or {}


def _judged(data: Mapping[str, Any], differences: Table) -> list[str]:
    """Candidates for the best method: all seeds, and an accuracy not below the baseline's."""
    left_out = _controls(data) | set(_lacking(data))
    for label in _labels(data):
        cost = differences.get((label, "accuracy"), Estimate())
        if cost.excludes_zero and cost.value < 0:
            left_out.add(label)
    return [label for label in _labels(data) if label not in left_out]


def _crowded(data: Mapping[str, Any]) -> bool:
    """Whether the first picture has numbers and a key, since names would cover each other."""
    return len(_labels(data)) > _MOST_NAMES


def _dataset(data: Mapping[str, Any]) -> str:
    dataset = data["plan"]["dataset"]
    return f"{dataset['n']:,} rows" if dataset["name"] == "given" else f"“{short(dataset['name'])}”"


def _columns(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    measured = {record["metric"] for record in data["summary"]}
    return [(key, name) for key, name in data["columns"].items() if key in measured]


def _gap(summary: Table) -> str:
    """The first gap that is defined for some method."""
    return next((g for g in GAPS if any(v for (_, k), v in summary.items() if k == g)), GAPS[0])


def _points(data: Mapping[str, Any], summary: Table, gap: str) -> list[Point]:
    points = [
        Point(
            label,
            summary[label, gap],
            summary[label, "accuracy"],
            baseline=label == data["baseline"],
            control=label in _controls(data),
        )
        for label in _labels(data)
        if (label, gap) in summary and label not in _lacking(data)
    ]
    return [point for point in points if point.gap and point.accuracy]


def _hero(data: Mapping[str, Any], summary: Table, gap: str) -> Picture | None:
    points = _points(data, summary, gap)
    if not points:
        return None
    name = metric_name(gap)
    places = {label: str(place) for place, label in enumerate(_labels(data), 1)}
    names = [places[p.label] for p in points] if _crowded(data) else None
    words = [f"{p.label}: accuracy {p.accuracy.text()}, gap {p.gap.text()}" for p in points]
    alt = f"Accuracy against {name}, smaller gap to the left. {'; '.join(map(short, words))}."
    return picture(lambda ax: tradeoff(ax, points, name, names), alt, (4.2, 3.5))


def _sentence(data: Mapping[str, Any], summary: Table, differences: Table, gap: str) -> str:
    """The result in one sentence; a difference counts only if its interval excludes 0."""
    if data.get("choice"):
        return str(data["choice"]["sentence"])
    points, name, base = _points(data, summary, gap), metric_name(gap), data["baseline"]
    if not points:
        return "No method has a gap that is defined: the notes say why."
    known, judged = {p.label for p in points}, _judged(data, differences)
    points = [p for p in points if p.label in judged] or points
    best = min(points, key=lambda p: p.gap.value)
    keeps = " that keeps its accuracy" if known - _controls(data) - set(judged) else ""
    if base not in known or len(known) == 1:
        return (
            f"The {name} of {best.label} is {best.gap.text()}, its accuracy {best.accuracy.text()}."
        )
    if best.label == base:
        return (
            f"No method{keeps} has a smaller {name} than plain training ({base}): "
            f"{best.gap.text()}."
        )
    by, cost = (differences.get((best.label, key), Estimate()) for key in (gap, "accuracy"))
    values = f"{best.gap.value:.3f} against {summary[base, gap].value:.3f}"
    change = f"difference {by.text('+')}; its accuracy differs by {cost.text('+')}"
    if by.excludes_zero:
        of = " of the methods that keep its accuracy" if keeps else ""
        return (
            f"{best.label} has the smallest {name}{of}, {values} of plain training ({base}): "
            f"{change}."
        )
    return (
        f"The {name} of no method{keeps} is below that of plain training ({base}) by more than "
        "its interval; "
        f"lowest is {best.label}, {values}: {change}."
    )


def _rows(data: Mapping[str, Any], summary: Table, differences: Table) -> list[dict[str, Any]]:
    """The lines of the table."""
    keys = [key for key, _ in _columns(data)]
    judged = _judged(data, differences)
    best = {key: _best(summary, key, judged) for key in keys}
    controls = _controls(data)
    errors = {failure["method"]: failure["error"] for failure in data["failures"]}
    rows = []
    for method in data["plan"]["methods"]:
        label = method["label"]
        runs = [row for row in data["results"] if row["method"] == label]
        rows.append(
            {
                "label": label,
                "baseline": label == data["baseline"],
                "control": label in controls,
                "harmful": _is_harmful(differences, label),
                "n_seeds": _lacking(data).get(label),
                "cells": [
                    _cell(summary, differences, label, key, best[key] if label in judged else None)
                    for key in keys
                ],
                "seconds": sum(r["train_seconds"] for r in runs) / len(runs) if runs else None,
                "error": errors.get(label) if not runs else None,
            }
        )
    return rows


def _is_harmful(differences: Table, label: str) -> bool:
    """Whether the worst group is worse off than with plain training, beyond the interval."""
    change = differences.get((label, "worst_group_accuracy"), Estimate())
    return change.excludes_zero and change.value < 0


def _best(summary: Table, key: str, labels: Sequence[str]) -> float | None:
    values = [number.value for label in labels if (number := summary.get((label, key)))]
    if key not in BETTER or len(values) < 2:
        return None
    return max(values) if BETTER[key] > 0 else min(values)


def _cell(
    summary: Table, differences: Table, label: str, key: str, best: float | None
) -> dict[str, Any]:
    number, other = summary.get((label, key)), differences.get((label, key))
    return {
        "value": number.value if number else None,
        "text": number.text() if number is not None else "",
        "best": bool(number and number.value == best),
        "difference": other.text("+") if other else "",
        "apart": bool(other and other.excludes_zero),
    }

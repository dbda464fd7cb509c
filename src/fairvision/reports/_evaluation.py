"""The page of an evaluation: predictions made anywhere, by group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fairvision.reports import _draw
from fairvision.reports._page import render
from fairvision.reports._svg import picture
from fairvision.reports._words import RATES, Estimate, estimate, metric_name, short

if TYPE_CHECKING:
    import pandas as pd

    from fairvision.metrics import Evaluation

__all__ = ["evaluation_page"]

_MOST_GROUPS = 24
_VERSIONS = ("fairvision", "fairlearn", "aif360", "scikit-learn", "numpy")


def evaluation_page(
    evaluation: Evaluation,
    *,
    source: str = "",
    command: str = "",
    failed: Sequence[str] = (),
    changes: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """Draw an evaluation as one HTML page.

    Parameters
    ----------
    evaluation : Evaluation
    source : str
        Where the predictions come from, for the title.
    command : str
        What makes the page again.
    failed : sequence of str
        Conditions of an audit that were not met.
    changes : mapping of str to DataFrame
        By grouping, what changed since an earlier evaluation `a`, in the form of
        :func:`~fairvision.metrics.paired_difference` with `by_group`.

    Returns
    -------
    str
    """
    evaluations = {id(e): e for e in (evaluation, *evaluation.by_attribute.values())}
    content = {
        "title": f"Audit of {source}" if source else "Audit of predictions",
        "sentence": _sentence(evaluation),
        "failed": failed,
        "level": f"{evaluation.settings['level']:.0%}",
        "groupings": [_grouping(one) for one in evaluations.values()],
        "overall": _numbers(evaluation.to_dict()["overall"]),
        "changes": {short(name): _changes(table) for name, table in (changes or {}).items()},
        "notes": evaluation.notes,
        "versions": {name: version(name) for name in _VERSIONS},
        "command": command,
    }
    return render("evaluation.html", content)


def _label(entry: Mapping[str, Any]) -> str:
    return " × ".join(str(label) for label in entry["group"].values())


def _sentence(evaluation: Evaluation) -> str:
    rows, names = int(evaluation.counts.sum()), " × ".join(evaluation.grouping.names)
    data = evaluation.to_dict()
    rates = {_label(e): estimate(e["rates"].get("accuracy")) for e in data["by_group"]}
    rates = {label: rate for label, rate in rates.items() if rate}
    overall = estimate(data["overall"].get("accuracy"))
    start = f"{rows:,} predictions in {len(evaluation.groups)} groups of {names}"
    positive = data["pos_label"]
    end = "" if positive is None else f" The positive class is {str(positive)!r}."
    if not overall or not rates:
        return f"{start}.{end}"
    low, high = (f(rates, key=lambda g: rates[g].value) for f in (min, max))
    return (
        f"{start}: accuracy is {overall.text()} over all, lowest for {low} "
        f"({rates[low].text()}) and highest for {high} ({rates[high].text()}).{end}"
    )


def _grouping(evaluation: Evaluation) -> dict[str, Any]:
    """Pictures and tables of one grouping."""
    data = evaluation.to_dict()
    entries = data["by_group"]
    known = [rate for rate in RATES if any(rate in e["rates"] for e in entries)]
    overall = {name: estimate(entry) for name, entry in data["overall"].items()}
    return {
        "name": " × ".join(evaluation.grouping.names),
        "pictures": [(metric_name(rate), _bars(entries, rate, overall)) for rate in known],
        "n_hidden": max(len(entries) - _MOST_GROUPS, 0),
        "calibration": _calibration(evaluation),
        "groups": [_label(entry) for entry in entries[:_MOST_GROUPS]],
        "rate_names": [metric_name(rate) for rate in known],
        "rows": [
            {
                "group": _label(entry),
                "n": entry["n"],
                "rates": [_cell(entry["rates"].get(rate)) for rate in known],
                "note": entry["note"],
            }
            for entry in entries
        ],
        "gaps": _numbers(data["disparities"]),
    }


def _cell(entry: Mapping[str, Any] | None) -> dict[str, Any]:
    number = estimate(entry)
    return {"value": number.value if number else None, "text": number.text()}


def _numbers(table: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": metric_name(name), "note": entry["note"], **_cell(entry)}
        for name, entry in table.items()
    ]


def _changes(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "name": metric_name(row["metric"]),
            "group": row["group"] or "all",
            "ends": [estimate({"value": row[end]}).text() for end in ("a", "b")],
            "note": row["note"],
            "value": row["value"],
            "text": estimate(row).text("+"),
        }
        for row in table.reset_index().to_dict("records")
        if not row["group"] or row["metric"] in RATES
    ]


def _bars(entries: Sequence[Mapping[str, Any]], rate: str, overall: Mapping[str, Estimate]) -> Any:
    # Of very many groups, draw the lowest only.
    entries_shown = entries
    if len(entries) > _MOST_GROUPS:
        entries_shown = sorted(entries, key=lambda e: e["rates"][rate]["value"] or 0.0)[
            :_MOST_GROUPS
        ]
    rows = [
        (f"{short(_label(e), 22)} (n={e['n']})", estimate(e["rates"].get(rate)))
        for e in entries_shown
    ]
    everyone = overall.get(rate, Estimate(math.nan)).value
    words = "; ".join(f"{label} {number.text()}" for label, number in rows)
    draw = partial(_draw.bars, rows=rows, overall=everyone)
    return picture(draw, f"{metric_name(rate)} by group: {words}.", (3.6, 0.55 + 0.3 * len(rows)))


def _calibration(evaluation: Evaluation) -> Any:
    if evaluation.curves is None:
        return None
    names = list(evaluation.grouping.names)
    curves: dict[str, list[dict[str, Any]]] = {}
    for row in evaluation.curves.to_dict(orient="records"):
        curves.setdefault(" × ".join(str(row[n]) for n in names), []).append(row)
    curves = dict(list(curves.items())[:_MOST_GROUPS])
    words = "; ".join(f"{short(g)}: {len(own)} bins" for g, own in curves.items())
    alt = f"Share of positives by mean score. {words}; the numbers: Evaluation.reliability()."
    return picture(partial(_draw.calibration, curves=curves), alt, (3.6, 3.2))

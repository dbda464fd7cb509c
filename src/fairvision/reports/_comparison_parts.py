"""Sections of a comparison's page: by group, by method, and of the fitted models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from fairvision.reports import _draw
from fairvision.reports._page import Album
from fairvision.reports._svg import picture
from fairvision.reports._words import RATES, Estimate, cite, estimate, metric_name, short

__all__ = ["faces_part", "groups_part", "methods_part", "models_part"]

_MOST_GROUPS = 12
_MOST_CURVES = 4
_NOT_CURVES = ("epoch", "dur", "train_batch_count", "valid_batch_count")

ReportData = Mapping[str, Any]


def groups_part(data: ReportData, summary: Mapping[tuple[str, str], Estimate]) -> dict[str, Any]:
    """Bars and a table of rates by group."""
    entries, groups = data["by_group"], group_names(data)
    rates = {(e["method"], e["group"], e["metric"]): estimate(e) for e in entries}
    rows = {(e["method"], e["group"]): _span(e["n"]) for e in entries}
    methods = list(dict.fromkeys(e["method"] for e in entries))
    known = [rate for rate in RATES if any(e["metric"] == rate for e in entries)]
    return {
        "groups": groups,
        "n_groups": len({e["group"] for e in entries}),
        "bars": [{"method": m, "picture": _bars(m, groups, rates, rows, summary)} for m in methods],
        "rate_names": [metric_name(rate) for rate in known],
        "rate_rows": [
            {
                "method": method,
                "group": group,
                "n": rows[method, group],
                "rates": [rates[method, group, rate].text() for rate in known],
            }
            for method, group in rows
        ],
    }


def group_names(data: ReportData) -> list[str]:
    """The groups that pictures show: those with the lowest accuracy, if there are many."""
    entries = [e for e in data["by_group"] if e["metric"] == "accuracy"]
    names = list(dict.fromkeys(e["group"] for e in entries))
    if len(names) <= _MOST_GROUPS:
        return names
    lowest = {n: min(e["value"] or 0.0 for e in entries if e["group"] == n) for n in names}
    return sorted(names, key=lowest.__getitem__)[:_MOST_GROUPS]


def _span(numbers: Sequence[int]) -> str:
    return "–".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))


def _bars(
    method: str,
    groups: Sequence[str],
    rates: Mapping[tuple[str, str, str], Estimate],
    rows: Mapping[tuple[str, str], str],
    summary: Mapping[tuple[str, str], Estimate],
) -> Any:
    lines = [
        (f"{short(g, 18)} (n={rows[method, g]})", rates[method, g, "accuracy"])
        for g in groups
        if (method, g) in rows
    ]
    words = "; ".join(f"{label} {rate.text()}" for label, rate in lines)
    overall = summary[method, "accuracy"].value
    draw = partial(_draw.bars, rows=lines, overall=overall)
    alt = f"Accuracy of {short(method)} by group: {words}. All: {overall:.3f}."
    return picture(draw, alt, (3.4, 0.55 + 0.3 * len(lines)))


def faces_part(data: ReportData, album: Album) -> dict[str, Any] | None:
    """Pictures of the baseline's worst cell, those first that only the chosen method gets right."""
    cell = data.get("before_after")
    if not cell:
        return None
    cell_name = f"class {cell['class']}, group {cell['group']}"
    shown = [(album.admit(p["src"]), p["right"]) for p in cell["pictures"]]
    words = ("wrong", "right")
    pictures = [
        {"src": src, "right": right, "alt": f"A test picture ({cell_name}): {words[right[0]]} "
         f"before, {words[right[1]]} after"}
        for src, right in sorted(shown, key=lambda pair: (pair[1][0] - pair[1][1], pair[1][0]))
        if src
    ]  # fmt: skip
    return {**cell, "where": cell_name, "pictures": pictures} if pictures else None


def methods_part(data: ReportData) -> dict[str, Any]:
    """For each method: when it reads group labels, a summary, and its citation."""
    references: dict[str, dict[str, Any]] = {}
    lines = []
    for method in data["plan"]["methods"]:
        described = data["methods"].get(method["label"]) or {}
        lines.append(
            {
                "label": method["label"],
                "from": f"{method['name']} {method['version']}",
                "stage": {"pre": "before", "in": "in", "post": "after"}.get(method["stage"], ""),
                "summary": described.get("summary") or "",
                "needs": described.get("needs"),
            }
        )
        if described.get("reference"):
            citation = cite(described["reference"])
            references.setdefault(citation["text"], citation | {"methods": []})
            references[citation["text"]]["methods"].append(method["label"])
    return {"methods": lines, "references": list(references.values())}


def models_part(data: ReportData, album: Album) -> dict[str, Any]:
    """The stored artifacts of the fitted estimators, and their training curves."""
    artifacts, groups = data["artifacts"], group_names(data)
    labels = [m["label"] for m in data["plan"]["methods"]]
    with_artifacts = [(label, artifacts[label]) for label in labels if label in artifacts]
    return {
        "least_in_bin": _draw.LEAST_IN_BIN,
        "artifacts_seed": next((own["seed"] for _, own in with_artifacts), None),
        "worst": [
            _worst(label, own["worst"], album) for label, own in with_artifacts if own["worst"]
        ],
        "calibration": [
            {"method": label, "picture": _calibration(label, own["reliability"], groups)}
            for label, own in with_artifacts
            if own["reliability"]
        ],
        "embeddings": [
            _embedding(data, label, own, groups)
            for label, own in with_artifacts
            if own["embedding"]
        ],
        "sections": _sections(with_artifacts, album),
        "curves": [curves for label in labels if (curves := _curves(data, label))],
    }


def _worst(label: str, worst: Mapping[str, Any], album: Album) -> dict[str, Any]:
    pictures = [(album.admit(p["src"]), p["predicted"]) for p in worst["pictures"]]
    cell_name = f"class {worst['class']}, group {worst['group']}"
    return {
        "method": label,
        "where": cell_name,
        "n": worst["n"],
        "n_wrong": worst["n_wrong"],
        "pictures": [
            {"src": src, "predicted": word, "alt": f"A test picture ({cell_name}) taken for {word}"}
            for src, word in pictures
            if src
        ],
    }


def _calibration(label: str, bins: Sequence[Mapping[str, Any]], groups: Sequence[str]) -> Any:
    curves = {group: [b for b in bins if b["group"] == group] for group in groups}
    words = [
        f"{short(group)}: "
        + ", ".join(f"{b['observed']:.2f} at {b['mean_score']:.2f}" for b in own)
        for group, own in curves.items()
        if own
    ]
    alt = f"Share of positives by mean score, {short(label)}. {'; '.join(words)}."
    return picture(partial(_draw.calibration, curves=curves), alt, (3.2, 2.9))


def _embedding(
    data: ReportData, label: str, artifacts: Mapping[str, Any], groups: Sequence[str]
) -> dict[str, Any]:
    embedding = artifacts["embedding"]
    probe = _probe(data, label, artifacts["seed"])
    if "error" in embedding:
        return {"method": label, "picture": None, "error": embedding["error"], "probe": probe}
    alt = (
        f"Features of {len(embedding['x'])} test pictures by {short(label)} in two dimensions, "
        f"coloured by group. {probe}"
    )
    drawn = picture(partial(_draw.embedding, points=embedding, groups=groups), alt, (3.2, 2.9))
    return {"method": label, "picture": drawn, "error": None, "probe": probe}


def _probe(data: ReportData, label: str, seed: int) -> str:
    """The accuracy of a new probe that predicts each attribute from these features."""
    runs = (r for r in data["runs"] if (r["method"], r["seed"]) == (label, seed))
    leakage = next(runs, {"leakage": None})["leakage"] or {}
    words = []
    for name, table in leakage.items():
        row = table.get("target_balanced_accuracy") or {}
        if accuracy := estimate(row):
            words.append(
                f"probe reads {short(name)}: {accuracy.text()}, chance {row['chance']:.2f}"
            )
    return "; ".join(words)


def _sections(
    artifacts: Sequence[tuple[str, Mapping[str, Any]]], album: Album
) -> list[dict[str, Any]]:
    return [
        {
            "method": label,
            "title": section["title"],
            "src": album.admit(section["src"]),
            "error": section["error"],
            "alt": f"{section['title']}: figure drawn by the plugin of {label}",
        }
        for label, own in artifacts
        for section in own["sections"]
    ]


def _curves(data: ReportData, label: str) -> dict[str, Any] | None:
    """The training curves of a method's net, losses first."""
    seeds = [run["history"] for run in data["runs"] if run["method"] == label and run["history"]]
    names = dict.fromkeys(name for history in seeds for epoch in history for name in epoch)
    curves = [n for n in names if n not in _NOT_CURVES and not n.endswith("_best")]
    curves = sorted(curves, key=lambda n: (n != "train_loss", "loss" not in n))[:_MOST_CURVES]
    if not curves:
        return None
    last = [
        f"{n.replace('_', ' ')} ends at {seeds[0][-1].get(n, float('nan')):.3g}" for n in curves
    ]
    alt = f"Training of {short(label)}, a line a seed. {'; '.join(map(short, last))}."
    draw = partial(_draw.curves, names=curves, seeds=seeds)
    size = (3.2, 0.55 + 1.15 * len(curves))
    return {"method": label, "picture": picture(draw, alt, size, rows=len(curves))}

"""What a reader of a comparison's table must know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from fairvision.comparison.features import note
from fairvision.comparison.run import Run
from fairvision.comparison.summary import COLUMNS, MIN_SEEDS

__all__ = ["notes_of", "worst_group_name"]


def notes_of(comparison: Any) -> list[str]:
    """What a reader of a comparison's table must know, the most important first."""
    notes = [*_seeds_note(comparison), *comparison.data_notes]
    if comparison.plan.features is not None:
        notes.append(note(comparison.plan.features))
    notes += _rows_note(comparison)
    notes += [
        *_evaluation_notes(comparison),
        *_undefined_notes(comparison),
        *_idle_notes(comparison),
    ]
    notes.append(_interval_note(comparison))
    steps = {run.n_steps for run in comparison.runs if run.n_steps is not None}
    if len(steps) > 1:
        notes.append(
            f"The methods took different numbers of optimisation steps ({min(steps)} to "
            f"{max(steps)})."
        )
    if "leakage" in comparison.summary.index.get_level_values("metric"):
        notes.append(
            "Leakage: balanced accuracy of a fresh probe that reads the group from the "
            "features of test images, within classes of the target."
        )
    notes += [f"Worst group of {m}: {text}." for m, text in _worst_groups(comparison).items()]
    not_saved = {run.method: run.model_note for run in comparison.runs if run.model_note}
    notes += [f"No model of {method} is kept: {text}" for method, text in not_saved.items()]
    for (method, seed), error in comparison.failures.items():
        notes.append(f"{method}, seed {seed} failed: {error}")
    return notes


def _rows_note(comparison: Any) -> list[str]:
    sizes = zip(*((run.n_train, run.n_test) for run in comparison.runs), strict=True)
    n_rows = [" or ".join(map(str, sorted(set(n)))) for n in sizes]
    held_out = (
        "n_validation" not in comparison.plan.split
        and comparison.runs
        and comparison.runs[0].validation
    )
    further = f", {len(held_out.rows)} held out to choose a method" if held_out else ""
    return [f"{n_rows[0]} rows to train on, {n_rows[1]} to test on{further}."] if n_rows else []


def _interval_note(comparison: Any) -> str:
    finished = sorted(set(Counter(run.method for run in comparison.runs).values()))
    few, enough = ([n for n in finished if (n < MIN_SEEDS) == kind] for kind in (True, False))
    intervals = []
    if enough and comparison.plan.split["by"] == "column":
        intervals.append(
            f"Student's t over {_or(enough)} seeds: it covers training noise, but not "
            "sampling noise, since the test rows are the same for every seed"
        )
    elif enough:
        intervals.append(
            f"Student's t over {_or(enough)} seeds: it covers training noise and sampling "
            "noise, and may pass 0 or 1, which no value can"
        )
    if few:
        intervals.append(
            f"bootstrap of the test rows, averaged over {_or(few)} seed(s): it does not "
            f"cover training noise; {MIN_SEEDS} seeds or more do"
        )
    return f"Mean over seeds [95 % interval: {'; '.join(intervals) or 'none'}]."


def _seeds_note(comparison: Any) -> list[str]:
    """Say that means of unlike seeds must not be compared."""
    lacking = [f"{label} {n}" for label, n in comparison.seeds_lacking.items()]
    if not lacking:
        return []
    most = max(Counter(run.method for run in comparison.runs).values())
    return [
        f"Finished seeds of {most}: {', '.join(lacking)}. Their means are of other seeds than "
        f"those of the rest; only the differences to {comparison.baseline} compare like with like."
    ]


def _worst_groups(comparison: Any) -> dict[str, str]:
    """The worst group of each method: the one that is worst in most seeds."""
    worst = {}
    for method in comparison.plan.methods:
        own = [run for run in comparison.runs if run.method == method.label]
        counts = Counter(name for run in own if (name := worst_group_name(run)))
        if counts:
            name, times = counts.most_common(1)[0]
            worst[method.label] = f"{name} (in {times} of {len(own)} seed(s))"
    return worst


def _evaluation_notes(comparison: Any) -> list[str]:
    """The notes of the evaluations, with the methods that they are about."""
    methods: dict[str, list[str]] = {}
    for run in comparison.runs:
        for text in run.evaluation.get("notes") or ():
            methods.setdefault(text, []).append(run.method)
    everyone = len({run.method for run in comparison.runs})
    return [
        text if len(set(names)) == everyone else f"{', '.join(dict.fromkeys(names))}: {text}"
        for text, names in methods.items()
    ]


def _undefined_notes(comparison: Any) -> list[str]:
    """Why a measure of the short table has no value, each reason once."""
    reasons: dict[str, None] = {}
    for run in comparison.runs:
        tables = {**run.evaluation["overall"], **run.evaluation["disparities"]}
        for metric, name in COLUMNS.items():
            entry = tables.get(metric, {"value": 0})
            if entry["value"] is None:
                reasons[f"{name} is undefined in seed {run.seed}: {entry['note']}."] = None
        for column, entry in (run.leakage or {}).items():
            if "note" in entry:
                reasons[f"leakage of {column}, seed {run.seed}: {entry['note']}"] = None
    return list(reasons)


def _idle_notes(comparison: Any) -> list[str]:
    """Methods that predict as the baseline does; a difference of 0 alone does not say so."""
    seen = {(run.method, run.seed): run.y_pred for run in comparison.runs}
    same = Counter(
        method
        for (method, seed), labels in seen.items()
        if method != comparison.baseline
        and np.array_equal(labels, seen.get((comparison.baseline, seed), np.empty(0)))
    )
    return [
        f"{method} predicted every test row as {comparison.baseline} did in {n} of "
        f"{sum(run.method == method for run in comparison.runs)} seed(s)."
        for method, n in same.items()
    ]


def _or(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))


def worst_group_name(run: Run) -> str:
    """The worst group of a run in words; empty where it has none."""
    worst = run.worst_group
    return "" if worst is None else " x ".join([worst["class"], *worst["group"]])

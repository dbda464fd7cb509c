"""The table that `compare` prints: controls, methods, marks, notes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairvision.cli._comparison import print_comparison

METRICS = ("worst_group_accuracy", "accuracy", "equalized_odds_difference")


def frame(values: dict[str, tuple[float, ...]]) -> pd.DataFrame:
    """Each method's three measures, with an interval of .05 on either side."""
    rows = {
        (label, metric): (value, value - 0.05, value + 0.05)
        for label, own in values.items()
        for metric, value in zip(METRICS, own, strict=True)
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "lower", "upper"])
    return table.set_index(pd.MultiIndex.from_tuples(rows))


def comparison(
    values: dict[str, tuple[float, ...]],
    notes: list[str],
    failures: Any = None,
    seeds_lacking: dict[str, int] | None = None,
) -> SimpleNamespace:
    labels = [*values, *(label for label, _ in failures or {})]
    base = np.array(values["erm"])
    found = {label: tuple(np.array(own) - base) for label, own in values.items() if label != "erm"}
    told = [f"{m}, seed {s} failed: {text}" for (m, s), text in (failures or {}).items()]
    return SimpleNamespace(
        plan=SimpleNamespace(
            methods=[SimpleNamespace(label=m, balanced=m == "erm-balanced") for m in labels]
        ),
        runs=[SimpleNamespace(method=label, train_seconds=3.2) for label in values],
        summary=frame(values),
        differences=frame(found),
        baseline="erm",
        failures=failures or {},
        seeds_lacking=seeds_lacking or {},
        notes=lambda: [*notes, *told],
    )


VALUES = {
    "erm": (0.4, 0.8, 0.3),
    "mild": (0.42, 0.8, 0.3),
    "a-name-that-is-longer-than-its-column": (0.7, 0.7, 0.1),
    "harmful": (0.2, 0.8, 0.5),
    "erm-balanced": (0.9, 0.9, 0.0),
}


def test_controls_stand_apart_and_methods_go_from_best_to_worst(capsys: Any) -> None:
    print_comparison(comparison(VALUES, ["the data"]))
    lines = capsys.readouterr().out.splitlines()
    first = [line.split("  ")[0] for line in lines[:7]]
    assert first[:3] == ["method", "erm", "erm-balanced"]
    assert set(first[3]) == {"-"}
    assert first[4:] == ["a-name-that-is-longer-than...", "mild", "harmful"]
    assert max(map(len, lines)) <= 100


def test_a_method_of_fewer_seeds_says_so_and_is_not_the_best(capsys: Any) -> None:
    longest = "a-name-that-is-longer-than-its-column"
    print_comparison(comparison(VALUES, ["the data"], seeds_lacking={longest: 1, "mild": 1}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].startswith("a-name-that-is-lo... (1 seed)  0.70")
    assert lines[5].startswith("mild (1 seed)")
    assert max(map(len, lines)) <= 100


def test_marks_follow_the_paired_interval_and_the_direction(capsys: Any) -> None:
    print_comparison(comparison(VALUES, ["the data"]))
    rows = {line[:7].strip(): line for line in capsys.readouterr().out.splitlines()}
    assert rows["a-name-"].split("]")[1:4] == [
        " +  0.70 [0.65, 0.75", " -  0.10 [0.05, 0.15", " +  3"
    ]  # fmt: skip
    assert "] +" not in rows["mild"]
    assert "] -" not in rows["mild"]
    assert rows["harmful"].count("] -") == 2  # a worse worst group, and a larger gap


@pytest.mark.parametrize("n", [1, 4, 5, 30])
def test_notes_are_few_and_none_is_lost_without_a_word(capsys: Any, n: int) -> None:
    print_comparison(comparison(VALUES, [f"note {i}" for i in range(n)]))
    notes = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert len(notes) <= 5
    if n < 5:
        assert len(notes) == n + 1
    else:
        assert notes[-1] == f"{n + 1 - 4} more notes, and all measures: --full."


def test_every_failure_is_named(capsys: Any) -> None:
    failures = {("broken", seed): "no such net" for seed in range(8)}
    print_comparison(comparison(VALUES, ["the data"], failures))
    out = capsys.readouterr().out
    assert out.count("failed: no such net") == 8
    row = next(line for line in out.splitlines() if line.startswith("broken  "))
    assert row.split() == ["broken", "failed", "failed", "failed"]

"""A budget: seed by seed, until time is spent or a method cannot be best."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.comparison import Comparison, read_comparison
from fairvision.comparison.budget import AUTO, Budget, seconds_of
from fairvision.comparison.methods import plan_methods
from fairvision.comparison.plan import MethodPlan, Plan, versions
from fairvision.comparison.run import Run
from fairvision.comparison.scheduler import _work
from fairvision.exceptions import InputError
from fairvision.reports import comparison_page

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]
Make = Callable[..., Run]


@pytest.mark.parametrize(
    ("text", "seconds"), [(90, 90), (1.5, 1.5), ("90s", 90), ("20 m", 1200), ("1.5h", 5400)]
)
def test_a_duration_is_seconds_or_has_a_unit(text: Any, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["soon", "0", -3, "20 minutes", ""])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(InputError, match="write seconds, or 90s, 20m"):
        seconds_of(text)


def planned(*labels: str) -> Plan:
    methods = tuple(MethodPlan(label, label, "in", "1", None, {}) for label in labels)
    return Plan({"name": "given"}, {"by": "random"}, methods, (0, 1, 2), 1)


@pytest.fixture
def groups() -> pd.DataFrame:
    return pd.DataFrame({"g": np.random.default_rng(1).choice(["a", "b"], 800)})


def test_rounds_go_by_seed_and_give_up_what_cannot_be_best(
    groups: pd.DataFrame, make_run: Make
) -> None:
    plan, errors = planned("erm", "good", "poor"), {"erm": 0.4, "good": 0.1, "poor": 0.4}
    todo = [(method, seed) for method in plan.methods for seed in plan.seeds]
    runs: dict[Any, Any] = {}
    counted = Budget(100, clock=lambda: 0.0)
    seen = []
    for tasks in counted.rounds(plan, todo, runs, groups):
        seen.append([method.label for method, _ in tasks])
        for method, seed in tasks:
            share = errors[method.label]
            runs[method.label, seed] = make_run(method.label, seed, (share, 0.0), groups)
    assert seen == [["erm", "good", "poor"], ["erm", "good"], ["erm", "good"]]
    (note,) = counted.notes(plan, list(runs.values()), {})
    assert "worse on the validation rows: poor" in note
    test_rows = Budget(100, clock=lambda: 0.0)  # they give nothing up
    for run in runs.values():
        object.__setattr__(run, "validation", None)
    assert [len(tasks) for tasks in test_rows.rounds(plan, todo, runs, groups)] == [3, 3, 3]


def test_a_run_that_would_last_too_long_does_not_begin(
    groups: pd.DataFrame, make_run: Make
) -> None:
    plan = planned("erm", "slow")
    runs = {(m, 0): make_run(m, 0, (0.2, 0.0), groups) for m in ("erm", "slow")}
    object.__setattr__(runs["slow", 0], "train_seconds", 50.0)
    now = [0.0]
    counted = Budget(40, clock=lambda: now[0])
    todo = [(method, seed) for method in plan.methods for seed in (1, 2)]
    rounds = counted.rounds(plan, todo, runs, groups)
    assert next(rounds) == []
    assert [method.label for method, _ in next(rounds)] == ["erm"]
    now[0] = 40.0
    assert next(rounds) == []
    assert "40 s ended before all seeds of erm, slow" in counted.notes(plan, [], {})[0]


def test_auto_names_what_is_installed_the_cheapest_first() -> None:
    labels = [plan.label for plan in plan_methods("auto", preset="quick")]
    installed = {method.name for method in fv.methods()}
    assert labels == [name for name in AUTO if name in installed]
    assert labels[0] == "erm"
    assert not any(plan.groups_at_predict for plan in plan_methods("auto", preset="quick"))


def test_a_spent_budget_keeps_what_is_finished_and_more_time_goes_on(
    compare: Compare, methods: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"out": tmp_path / "out", "validation_fraction": 0.25}
    first = compare(methods, budget=0.001, **options)
    assert [(run.method, run.seed) for run in first.runs] == [("erm", 0)]
    assert "not run" in str(first)
    assert first.notes()[0].startswith("The budget of 0.001 s ended before all seeds of erm, slow")
    monkeypatch.setattr(Budget, "_give_up", lambda *_: None)  # as it may by chance
    rest = compare(methods, budget="1h", **options)
    assert (rest.reused, len(rest.runs)) == (1, 4)
    read = read_comparison(tmp_path / "out")
    pd.testing.assert_frame_equal(read.choose().table, rest.choose().table)


def test_means_of_unlike_seeds_are_not_ranked(compare: Compare, methods: Any) -> None:
    whole = compare(methods, seeds=3, max_epochs=1)
    kept = tuple(run for run in whole.runs if run.method == "erm" or run.seed == 0)
    part = replace(whole, runs=kept)
    assert (whole.seeds_lacking, part.seeds_lacking) == ({}, {"slow": 1})
    assert "Finished seeds of 3: slow 1." in part.notes()[0]
    intervals = [next(n for n in found.notes() if "95 %" in n) for found in (whole, part)]
    assert "Student's t over 3 seeds" in intervals[0]
    assert "bootstrap" not in intervals[0]
    assert "bootstrap of the test rows, averaged over 1 seed(s)" in intervals[1]
    page = comparison_page(part.report_data())
    assert "slow <small>(1 seed)</small>" in page
    assert "Not drawn, for want of a number or of seeds: slow" in page


def test_a_worker_begins_no_run_after_the_deadline() -> None:
    plan = replace(planned("erm"), versions=versions())
    assert _work(plan, Bunch(), ((plan.methods[0], 0), time.time() - 1, [])) is None

"""Means and intervals over seeds, against arithmetic by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.utils import Bunch

from fairvision.comparison import Comparison
from fairvision.comparison.data import data_notes
from fairvision.comparison.run import Run
from fairvision.comparison.run_method import fit_run
from fairvision.comparison.split import plan_split, split_rows
from fairvision.comparison.summary import differences, measures, summarize

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]


def with_accuracy(run: Run, seed: int, value: float | None, **changes: Any) -> Run:
    overall = {**run.evaluation["overall"], "accuracy": {"value": value, "lower": 0.1, "upper": 1}}
    return replace(run, seed=seed, evaluation={**run.evaluation, "overall": overall}, **changes)


@pytest.fixture(scope="module")
def run(faces: Any, small: Any) -> Run:
    import fairvision as fv

    return fv.compare(faces, "erm", **small | {"seeds": 1}).runs[0]


def test_three_seeds_get_students_t(run: Run) -> None:
    values = [0.5, 0.6, 0.85]
    table = summarize(with_accuracy(run, seed, value) for seed, value in enumerate(values))
    row = table.loc[("erm", "accuracy")]
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert row["value"] == pytest.approx(np.mean(values))
    assert (row["lower"], row["upper"]) == pytest.approx(tuple(interval))
    assert row["n_seeds"] == 3


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_fewer_seeds_get_the_averaged_bootstrap_interval(run: Run, n_seeds: int) -> None:
    table = summarize(with_accuracy(run, seed, 0.6 + seed / 10) for seed in range(n_seeds))
    row = table.loc[("erm", "accuracy")]
    assert row["value"] == pytest.approx(0.6 + (n_seeds - 1) / 20)
    assert (row["lower"], row["upper"]) == (pytest.approx(0.1), 1)


@pytest.mark.parametrize("n_seeds", [2, 4])
def test_undefined_in_one_seed_is_undefined_in_the_mean(run: Run, n_seeds: int) -> None:
    runs = [with_accuracy(run, seed, 0.5) for seed in range(n_seeds - 1)]
    table = summarize([*runs, with_accuracy(run, 9, None)])
    row = table.loc[("erm", "accuracy")]
    assert np.isnan(row["value"])
    assert row["n_seeds"] == n_seeds


def test_a_measure_that_some_seeds_lack_says_over_how_many_it_is(run: Run) -> None:
    without = replace(run, seed=1, leakage=None)
    for runs in ([run, without], [without, run]):
        row = summarize(runs).loc[("erm", "leakage")]
        assert row["value"] == measures(run)["leakage"][0]
        assert row["n_seeds"] == 1


def test_leakage_is_that_of_the_attribute_that_leaks_most(run: Run) -> None:
    def probe(value: float) -> dict[str, Any]:
        return {"target_balanced_accuracy": {"value": value, "lower": value, "upper": value}}

    three = replace(run, leakage={"a": probe(0.6), "b": probe(0.9), "c": probe(0.7)})
    assert measures(three)["leakage"] == (0.9, 0.9, 0.9)
    unknown = replace(run, leakage={"a": probe(0.6), "b": {"note": "too few"}})
    assert np.isnan(measures(unknown)["leakage"][0])


def test_differences_are_paired_by_seed(compare: Compare, methods: Any, faces: Any) -> None:
    found = compare(methods, seeds=3)
    by_method = found.results.set_index(["method", "seed"])
    own, base = by_method.loc["slow"], by_method.loc["erm"]
    for metric in ("accuracy", "worst_group_accuracy", "accuracy_gap", "leakage"):
        row = found.differences.loc[("slow", metric)]
        each = own[metric] - base[metric]
        assert row["value"] == pytest.approx(each.mean())
        half = stats.t.ppf(0.975, 2) * each.std() / np.sqrt(3)
        assert (row["lower"], row["upper"]) == pytest.approx(
            (each.mean() - half, each.mean() + half)
        )
    gone = [run for run in found.runs if (run.method, run.seed) != ("erm", 1)]
    two = differences(gone, faces.sensitive_features, "erm", 50)
    assert set(two["n_seeds"]) == {2}
    assert differences(found.runs, faces.sensitive_features, "jlu", 50).empty


def test_a_method_minus_itself_is_nothing(compare: Compare) -> None:
    found = compare({"erm": "erm", "twin": "erm"}, n_boot=200)
    rows = found.differences.loc["twin"]
    assert (rows["value"].dropna() == 0).all()
    accuracy = rows.loc["accuracy"]
    assert (accuracy["lower"], accuracy["upper"]) == (0, 0)  # the same rows are drawn for both


def test_one_baseline_may_be_another(compare: Compare, methods: Any) -> None:
    found = compare(methods, seeds=1, baseline="slow")
    assert list(found.difference_table().index) == ["erm"]
    assert "Minus slow" in str(found)


def test_without_draws_there_are_no_intervals(compare: Compare, methods: Any) -> None:
    found = compare(methods, seeds=1, n_boot=0)
    assert "[" not in found.table().loc["erm", "accuracy"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_notes_say_what_the_interval_covers(compare: Compare, faces: Any) -> None:
    assert "it does not cover training noise" in str(compare(seeds=2))
    assert "training noise and sampling noise" in str(compare(seeds=3))
    split = np.where(np.arange(500) % 3, "Train", "TEST").astype(object)
    split[:7] = "val"
    given = type(faces)(**{**faces, "split": split})
    fixed = compare(dataset=given, seeds=3, confounding=None, n_train=None, n_test=None)
    assert "the test rows are the same for every seed" in str(fixed)
    assert "Only to choose a method and a threshold: 7 rows of split 'val'." in str(fixed)
    assert {(run.n_train, run.n_test) for run in fixed.runs} == {(329, 164)}


def test_the_calibrated_threshold_is_of_validation_rows(
    compare: Compare, methods: Any, faces: Any
) -> None:
    split = np.array(["train", "test", "valid", "other"])[np.arange(500) % 4]
    given = type(faces)(**{**faces, "split": split})
    how = {"confounding": None, "n_train": None, "n_test": None}
    found = compare(methods, dataset=given, seeds=1, **how)
    assert "Not used: 125 rows of split 'other'." in str(found)
    plan, deo = found.plan, {}
    for run in found.runs:
        (method,) = [method for method in plan.methods if method.label == run.method]
        fitted = fit_run(plan, given, method, run.seed).estimator
        valid = np.flatnonzero(split == "valid")
        scores = fitted.predict_proba(faces.images[valid])[:, 1]
        n_positive = int(np.sum(faces.target[valid] == np.unique(faces.target)[1]))
        assert np.sum(scores >= run.threshold) == n_positive
        hat = faces.sensitive_features["hat"].to_numpy()[run.rows]
        missed = run.y_score < run.threshold
        positive = run.y_true == np.unique(faces.target)[1]
        rates = [missed[positive & (hat == group)].mean() for group in np.unique(hat)]
        deo[run.method] = abs(rates[0] - rates[1])
        assert measures(run)["deo"][0] == pytest.approx(deo[run.method])
        again = found.measure(["deo"]).loc[(run.method, "deo")]["value"]
        assert again == pytest.approx(deo[run.method])
    difference = found.differences.loc[("slow", "deo")]["value"]
    assert difference == pytest.approx(deo["slow"] - deo["erm"])


def test_labels_that_are_spelt_in_two_ways_are_noted() -> None:
    data = Bunch(
        images=np.zeros((4, 1, 2, 2), dtype=np.uint8),
        target=np.array(["Yes", "no", "yes", "no"]),
        target_name="smiles",
        sensitive_features=pd.DataFrame(
            {"sex": ["f", "m", "f ", "m"], "job": ["\u00e9", "e\u0301"] * 2}
        ),
    )
    notes = data_notes(data, {"by": "random"})
    assert "Near alike: smiles has 'Yes' and 'yes'; write them alike." in notes
    assert "Near alike: sex has 'f' and 'f '; write them alike." in notes
    assert "Near alike: job has" in str(notes)
    assert not any(note.startswith("Positive") for note in notes)  # of three classes none is


def test_the_group_that_goes_with_a_class_is_named_and_does() -> None:
    rng = np.random.default_rng(0)
    data = Bunch(
        images=np.zeros((800, 1, 2, 2), dtype=np.uint8),
        target=rng.choice(["no", "yes"], 800),
        target_name="smiles",
        sensitive_features=pd.DataFrame({"hair": rng.choice(["Blond Hair", "no Blond Hair"], 800)}),
    )
    hair = data.sensitive_features["hair"].to_numpy()
    for more, others in (({}, 25), ({"counterexamples": 0.5}, 50)):
        split = plan_split(data, confounding=0.75, **more)
        expected = (
            "Positive class: yes; 75 % of its training rows have hair = no Blond Hair, "
            f"{others} % of the others."
        )
        assert expected in data_notes(data, split)
        train, _ = split_rows(data, split, seed=0)
        for name, percent in (("yes", 75), ("no", others)):
            rows = train[data.target[train] == name]
            share = 100 * np.mean(hair[rows] == "no Blond Hair")
            assert share == pytest.approx(percent, abs=1)

"""Methods of all three stages, from a plugin that nobody told us of; odd targets and groups."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.base import Resampled
from fairvision.comparison import Comparison
from fairvision.comparison.run_method import build
from fairvision.nn import TorchClassifier

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]


@pytest.fixture
def plan(compare: Compare, third_party: ModuleType) -> Any:
    """The plan of a method of each stage, as it was run."""
    return compare(["even", "thresholds", "guess"], seeds=1, params={"even": {}}).plan


def test_every_stage_runs_and_says_what_it_saw(compare: Compare, third_party: ModuleType) -> None:
    found = compare(["erm", "even", "thresholds", "guess"], seeds=1)
    assert found.failures == {}
    seen = found.table()["groups seen"].to_dict()
    assert seen == {"erm": "never", "even": "fit", "thresholds": "fit, predict", "guess": "never"}
    runs = {run.method: run for run in found.runs}
    assert (runs["guess"].n_steps, runs["guess"].history) == (None, [])
    assert runs["guess"].leakage is None  # it has no features
    assert runs["even"].leakage is not None
    assert runs["thresholds"].y_score is None  # it predicts no probabilities
    # 72 rows in each large cell, so 4 x 72 after sampling: five batches of 64 in place of three.
    assert (runs["erm"].n_steps, runs["even"].n_steps, runs["thresholds"].n_steps) == (3, 5, 3)
    assert any("different numbers of optimisation steps (3 to 5)" in n for n in found.notes())


def test_who_declares_to_see_no_groups_is_shown_none(
    compare: Compare, third_party: ModuleType
) -> None:
    found = compare(["blind"], seeds=1)
    assert found.failures == {}
    # They are still evaluated by group.
    assert "accuracy_gap" in found.runs[0].evaluation["disparities"]


def test_a_sampler_is_put_before_plain_training(plan: Any) -> None:
    even, thresholds, guess = (build(method, plan, 7) for method in plan.methods)
    assert isinstance(even, Resampled)
    assert type(even.sampler).__name__ == "Even"
    assert type(thresholds).__name__ == "Thresholds"
    assert thresholds.constraint == "demographic_parity"  # of its preset
    for model in (even.classifier, thresholds.estimator):
        assert isinstance(model, TorchClassifier)
        assert (model.max_epochs, model.random_state) == (1, 7)
    assert (even.sampler.random_state, thresholds.random_state) == (7, 7)
    assert type(guess).__name__ == "Guess"


def test_what_is_inside_a_method_is_the_baseline_beside_it(
    compare: Compare, third_party: ModuleType
) -> None:
    slow = {"params": {"erm": {"lr": 1e-4}}, "seeds": 1}
    found = compare(["erm", "even"], **slow)
    assert build(found.plan.methods[1], found.plan, 0).classifier.lr == 1e-4
    usual = compare(["erm", "even"], seeds=1)
    even, other = (next(r for r in c.runs if r.method == "even") for c in (found, usual))
    assert even.request != other.request  # so that it is redone with its model


def test_callbacks_of_a_preset_or_of_the_caller_are_kept(compare: Compare) -> None:
    from skorch.callbacks import EarlyStopping

    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=10.0)
    found = compare({"erm": ("erm", {"callbacks": [stop]})}, seeds=1, max_epochs=9, progress=True)
    assert len(found.runs[0].history) < 9


def test_a_target_that_a_method_does_not_take_is_said_before_training(
    compare: Compare, third_party: ModuleType
) -> None:
    params = {"n_samples": 400, "image_size": 24, "target": "hair_colour", "sensitive": "hat"}
    found = compare(
        ["erm", "guess"],
        dataset="faces",
        dataset_params=params,
        confounding=None,
        n_train=None,
        n_test=None,
        seeds=1,
    )
    assert "guess takes binary targets; there are" in found.failures["guess", 0]
    assert [run.method for run in found.runs] == ["erm"]


def test_many_classes_and_several_sensitive_columns(compare: Compare, methods: Any) -> None:
    params = {
        "n_samples": 900,
        "image_size": 24,
        "target": "hair_colour",
        "sensitive": ["hat", "skin_group"],
    }
    data = fv.datasets.load("faces", **params)
    found = compare(methods, dataset=data, confounding=None, n_train=None, n_test=None)
    run = found.runs[0]
    n_classes = len(data.target_names)
    assert n_classes > 2
    assert run.y_score.shape == (270, n_classes)
    assert set(run.leakage) == {"hat", "skin_group"}
    probes = [run.leakage[name]["target_balanced_accuracy"]["value"] for name in run.leakage]
    assert found.results["leakage"][0] == max(probes)
    assert len(run.worst_group["group"]) == 2
    assert ("slow", "worst_group_accuracy") in found.differences.index
    assert np.isfinite(found.summary.loc[("erm", "worst_group_accuracy"), "value"])


def test_what_cannot_be_measured_is_undefined_with_its_reason(
    compare: Compare, faces: Bunch
) -> None:
    rare = np.where(faces.sensitive_features["hat"] == "hat", "a", "b").astype(object)
    rare[np.flatnonzero(faces.target == 1)[:2]] = "c"  # never with the other class
    data = Bunch(**{**faces, "sensitive_features": rare})
    found = compare(dataset=data, confounding=None, n_train=None, n_test=None, test_size=0.5)
    table = found.table()
    assert table.loc["erm", "worst-group accuracy"] == "undefined"
    assert table.loc["erm", "leakage"] == "undefined"
    assert table.loc["erm", "accuracy"] != "undefined"
    text = str(found)
    assert "worst-group accuracy is undefined in seed 0: " in text
    assert "leakage of sensitive_feature, seed 0: the smallest group" in text
    assert "Worst group of" not in text

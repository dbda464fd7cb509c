"""The choice of a method: by validation rows alone, with how sure it is, and its model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fairvision as fv
from fairvision.comparison import Choice, Comparison
from fairvision.comparison.plan import PLAIN_TRAINING, MethodPlan, Plan
from fairvision.comparison.run import Run
from fairvision.comparison.summary import differences, summarize
from fairvision.exceptions import InputError
from fairvision.metrics import drawn_metrics, evaluate_predictions

pytestmark = pytest.mark.cpu

N = 400  # validation rows, and as many test rows
Fake = Callable[..., Comparison]
#: Shares of wrong validation and test rows.
Errors = Mapping[str, tuple[float, float]]


@pytest.fixture
def fake(make_run: Callable[..., Run]) -> Callable[..., Comparison]:
    return partial(fake_comparison, make_run)


def fake_comparison(make_run: Callable[..., Run], errors: Errors, n_seeds: int = 3) -> Comparison:
    groups = pd.DataFrame({"g": np.random.default_rng(1).choice(["a", "b"], 2 * N)})
    names = dict.fromkeys(errors, "third:party") | {"erm": PLAIN_TRAINING}
    methods = tuple(MethodPlan(label, names[label], "in", "1", None, {}) for label in errors)
    plan = Plan({"name": "given"}, {"by": "random"}, methods, tuple(range(n_seeds)), 1, n_boot=50)
    runs = [make_run(m, s, errors[m], groups) for m in errors for s in plan.seeds]
    tables = summarize(runs), differences(runs, groups, "erm", 50)
    return Comparison(plan, tuple(runs), {}, *tables, groups)


def test_validation_rows_choose_and_test_rows_do_not(fake: Fake) -> None:
    choice = fake({"erm": (0.3, 0.1), "good": (0.1, 0.4)}).choose()
    assert (choice.method, choice.sureness, choice.distinguishable) == ("good", 1.0, True)
    assert choice.test.loc["worst_group_accuracy", "difference"] < -0.2
    assert list(choice.table.index) == ["erm", "good"]
    assert "good is chosen" in choice.sentence
    assert "differs from erm" in choice.sentence
    assert "there it does worse than erm" in choice.sentence
    assert choice.sentence in repr(choice)


def test_the_share_of_draws_is_said_of_a_choice_that_is_simpler_than_the_best(fake: Fake) -> None:
    choice = fake({"erm": (0.4, 0.4), "simple": (0.2, 0.2), "best": (0.199, 0.2)}).choose()
    assert (choice.method, choice.sureness < 1) == ("simple", True)
    assert f"simple is best in {choice.sureness:.0%} of the draws" in choice.sentence
    assert "does worse" not in choice.sentence


def test_no_label_of_a_test_row_changes_the_choice(fake: Fake) -> None:
    comparison = fake({"erm": (0.3, 0.3), "a": (0.2, 0.1), "b": (0.22, 0.1)})
    shuffled = np.random.default_rng(3).permutation(N)
    runs = [replace(run, y_true=run.y_true[shuffled]) for run in comparison.runs]
    before, after = comparison.choose(), replace(comparison, runs=tuple(runs)).choose()
    assert (before.method, before.seed, before.sureness) == (
        after.method, after.seed, after.sureness
    )  # fmt: skip
    pd.testing.assert_frame_equal(before.table, after.table)


def test_one_method_alone_beats_nobody(fake: Fake) -> None:
    sentence = fake({"erm": (0.3, 0.3)}).choose().sentence
    assert sentence.startswith("Only plain training (erm) was compared: worst group accuracy")
    assert "best in" not in sentence


def test_equal_methods_share_the_draws_and_the_simpler_is_chosen(fake: Fake) -> None:
    comparison = fake({"erm": (0.4, 0.4), "first": (0.2, 0.2), "second": (0.2, 0.2)}, 4)
    choice = comparison.choose("accuracy")
    shares = choice.table["share_best"]
    assert shares["erm"] == 0
    assert shares.sum() == pytest.approx(1)
    assert 0.05 < shares["first"] < 0.95
    same = tuple(
        replace(run, validation=other.validation)
        for run, other in zip(comparison.runs[4:8], comparison.runs[8:], strict=True)
    )
    tied = replace(comparison, runs=(*comparison.runs[:4], *same, *comparison.runs[8:])).choose()
    assert (tied.method, tied.sureness) == ("first", 0.5)


def test_what_is_within_the_noise_goes_to_plain_training(fake: Fake) -> None:
    choice = fake({"other": (0.2, 0.2), "erm": (0.2, 0.2)}).choose("accuracy")
    assert choice.method == "erm"
    assert choice.sentence.startswith("Nothing beat plain training (erm)")
    assert choice.distinguishable is None
    assert choice.test["difference"].isna().all()


@pytest.mark.parametrize("by", ["accuracy", "accuracy_gap", "false-positive-rate"])
def test_the_direction_of_the_metric_counts(fake: Fake, by: str) -> None:
    comparison = fake({"erm": (0.4, 0.4), "good": (0.05, 0.05)})
    if by == "accuracy_gap":  # errors in one group only
        rows = [np.array(comparison.sensitive_features["g"].iloc[:N] == "a")] * 6
        runs = [
            replace(run, validation=replace(run.validation, y_pred=np.where(
                mask & (run.method == "erm"), 1 - run.validation.y_true, run.validation.y_true)))
            for run, mask in zip(comparison.runs, rows, strict=True)
        ]  # fmt: skip
        comparison = replace(comparison, runs=tuple(runs))
    assert comparison.choose(by).method == "good"


def test_a_bound_is_judged_on_validation_rows(fake: Fake) -> None:
    comparison = fake({"erm": (0.4, 0.0), "fine": (0.15, 0.5), "best": (0.05, 0.0)})
    table = comparison.choose(at_least="accuracy <= 0.9").table
    assert list(table["meets"]) == [True, True, False]
    choice = comparison.choose(at_least=("accuracy<=0.9", "accuracy>0.7"))
    assert (choice.method, choice.sureness) == ("fine", 1.0)
    assert "of the methods that meet the constraints" in choice.sentence


def test_a_bound_that_nothing_meets_names_the_nearest(fake: Fake) -> None:
    comparison = fake({"erm": (0.4, 0.0), "good": (0.1, 0.0)})
    with pytest.raises(InputError, match=r"accuracy>=0.99 .*nearest is good: accuracy 0\.[89]"):
        comparison.choose(at_least="accuracy>=0.99")
    with pytest.raises(InputError, match=r"'precise'; write a metric and a bound"):
        comparison.choose(at_least="precise")
    with pytest.raises(InputError, match="unknown metric 'leakage'"):
        comparison.choose("leakage")


def test_methods_are_compared_on_seeds_that_they_share(fake: Fake) -> None:
    comparison = fake({"erm": (0.4, 0.0), "good": (0.2, 0.0), "begun": (0.0, 0.0)})
    runs = tuple(run for run in comparison.runs if run.method != "begun" or run.seed == 2)
    choice = replace(comparison, runs=runs).choose()
    assert (choice.method, list(choice.table.index)) == ("good", ["erm", "good"])
    assert "Not compared, since they lack seeds: begun." in choice.sentence
    failed = tuple(run for run in runs if (run.method, run.seed) not in {("erm", 0), ("begun", 2)})
    assert list(replace(comparison, runs=failed).choose().table.index) == ["erm", "good"]


def test_few_rows_in_a_cell_are_said(fake: Fake) -> None:
    comparison = fake({"erm": (0.4, 0.0), "good": (0.0, 0.0)})
    assert "smallest cell" not in comparison.choose().sentence
    groups = comparison.sensitive_features.copy()
    groups.iloc[:N] = "a"
    groups.iloc[:6] = "b"
    few = replace(comparison, sensitive_features=groups).choose("accuracy")
    assert re.search(r"smallest cell of class and group has \d validation rows?\.", few.sentence)


def test_without_validation_rows_nothing_is_chosen(fake: Fake) -> None:
    comparison = fake({"erm": (0.4, 0.0)})
    runs = tuple(replace(run, validation=None) for run in comparison.runs)
    with pytest.raises(InputError, match="--validation-fraction"):
        replace(comparison, runs=runs).choose()


def test_the_draw_of_the_sample_is_the_evaluation() -> None:
    rng = np.random.default_rng(0)
    y, predicted, groups = rng.integers(0, 3, (3, 300))
    names = ["accuracy", "worst_group_accuracy", "accuracy_gap", "equalized_odds_difference"]
    draws = np.vstack([np.ones(300, dtype=int), rng.multinomial(300, np.full(300, 1 / 300), 20)])
    found = drawn_metrics(y, predicted, draws, sensitive_features=groups, metrics=names)
    for row, draw in enumerate(draws):
        rows = np.repeat(np.arange(300), draw)
        known = evaluate_predictions(
            y[rows], predicted[rows], sensitive_features=groups[rows], n_boot=0, metrics=names
        )
        expected = [known.overall["accuracy"], *known.disparities["value"][names[1:]]]
        np.testing.assert_allclose(found[row], expected)


def test_scores_are_drawn_too() -> None:
    rng = np.random.default_rng(0)
    y, groups, score = rng.integers(0, 2, 200), rng.integers(0, 2, 200), rng.random(200)
    names = ["roc_auc", "roc_auc_difference", "deo"]
    options = {"sensitive_features": groups, "y_score": score, "metrics": names}
    found = drawn_metrics(y, score > 0.5, np.ones((1, 200)), threshold=0.4, **options)
    known = evaluate_predictions(y, score > 0.5, n_boot=0, threshold=0.4, **options)
    expected = [known.overall["roc_auc"], *known.disparities["value"][names[1:]]]
    np.testing.assert_allclose(found[0], expected)


Compare = Callable[..., Comparison]


@pytest.fixture(scope="module")
def chosen(faces: Any, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A real comparison, stored with its models."""
    out = tmp_path_factory.mktemp("chosen") / "out"
    methods = {"erm": ("erm", {"lr": 1e-5}), "fast": ("erm", {"lr": 3e-3})}
    options = {"out": out, "validation_fraction": 0.25, "keep_models": True, "max_epochs": 3}
    return fv.compare(faces, methods, **{**small, **options})


def same_tables(one: Choice, other: Choice) -> None:
    pd.testing.assert_frame_equal(one.table, other.table)
    pd.testing.assert_frame_equal(one.test, other.test, check_dtype=False)
    assert (one.method, one.seed, one.sentence) == (other.method, other.seed, other.sentence)


def test_no_validation_row_is_trained_on_or_tested(chosen: Comparison, faces: Any) -> None:
    from fairvision.comparison import split_rows

    for run in chosen.runs:
        train, test = split_rows(faces, chosen.plan.split, run.seed)
        held_out = run.validation.rows
        assert (len(train), len(held_out), run.n_train) == (120, 40, 120)
        assert not set(held_out) & {*train, *test}
        np.testing.assert_array_equal(run.validation.y_true, faces.target[held_out])
        cells = pd.crosstab(faces.target[held_out], faces.sensitive_features["hat"].iloc[held_out])
        assert (cells >= 2).all(axis=None)  # 160 rows: 72 and 8 in each class


def test_the_folder_gives_the_same_choice_and_the_kept_model(
    chosen: Comparison, faces: Any, tmp_path: Any
) -> None:
    choice = chosen.choose()
    read = fv.comparison.read_comparison(chosen.out).choose()
    same_tables(choice, read)
    model = fv.load(read.save(tmp_path / "model"))
    run = next(r for r in chosen.runs if (r.method, r.seed) == (choice.method, choice.seed))
    rows = run.validation.rows
    np.testing.assert_array_equal(model.predict(faces.images[rows]), run.validation.y_pred)
    assert model.facts["choice"] == choice.sentence


def test_training_anew_gives_the_kept_model(chosen: Comparison, faces: Any) -> None:
    kept = chosen.choose()
    runs = tuple(replace(run, model=None) for run in chosen.runs)
    lost = replace(chosen, runs=runs, out=None).choose()
    with pytest.raises(InputError, match="dataset="):
        lost.model()
    images = faces.images[:50]
    for seed in chosen.plan.seeds:
        expected = kept.model(seed).predict_proba(images)
        np.testing.assert_array_equal(
            lost.model(seed, dataset=faces).predict_proba(images), expected
        )
    with pytest.raises(InputError, match=r"seed 7; there are \[0, 1\]"):
        kept.model(7)


def test_weights_of_numbered_classes_come_back_from_a_folder(tmp_path: Path) -> None:
    """JSON has text for keys."""
    data = {"n_samples": 120, "image_size": 24, "target": "smiling", "sensitive": "hat"}
    asked = {"seeds": 1, "max_epochs": 1, "n_boot": 2, "validation_fraction": 0.2}
    weighted = ("erm", {"class_weight": {0: 1.0, 1: 3.0}})
    fv.compare(
        "faces", {"weighted": weighted}, dataset_params=data, out=tmp_path, progress=False,
        report=False, **asked,
    )  # fmt: skip
    model = fv.comparison.read_comparison(tmp_path).choose().model()
    assert model.estimator.class_weight == {"0": 1.0, "1": 3.0}


def test_other_data_are_refused(chosen: Comparison, faces: Any) -> None:
    from sklearn.utils import Bunch

    from fairvision.exceptions import RunError

    runs = tuple(replace(run, model=None) for run in chosen.runs)
    other = Bunch(**{**faces, "images": 255 - faces.images})
    with pytest.raises(RunError, match="not the data of the comparison: pictures changed"):
        replace(chosen, runs=runs, out=None).choose().model(dataset=other)

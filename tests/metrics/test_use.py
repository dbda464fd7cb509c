"""Metrics in use: paired differences, leakage, scorers in a search, metrics of plugins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate

from fairvision.exceptions import GroupsRequiredError, InputError
from fairvision.metrics import (
    as_scorer,
    available_metrics,
    evaluate_predictions,
    leakage,
    metric_table,
    paired_difference,
    unpaired_difference,
)
from fairvision.metrics.catalog import METRICS
from fairvision.metrics.confusion import divide
from fairvision.metrics.spec import MetricSpec, family


def sample(n: int = 2000, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    group, true = rng.integers(0, 2, n), rng.integers(0, 2, n)
    hard = rng.random(n) < 0.3
    a = np.where(hard, 1 - true, true)
    b = np.where(hard ^ (rng.random(n) < 0.02), 1 - true, true)
    return true, a, b, group


def test_paired_difference_is_the_difference_of_two_evaluations() -> None:
    true, a, b, group = sample()
    options: dict[str, Any] = {"sensitive_features": group, "metrics": "all", "privileged": 1}
    table = paired_difference(true, a, b, random_state=0, n_boot=50, **options)
    each = [evaluate_predictions(true, p, n_boot=0, **options) for p in (a, b)]
    for column, found in zip("ab", each, strict=True):
        for name in ("accuracy", "worst_group_accuracy", "theil_index", "disparate_impact"):
            assert table.loc[name, column] == pytest.approx(found.interval(name)["value"])
    np.testing.assert_allclose(table["value"], table["a"] - table["b"])


def test_pairing_narrows_the_interval_as_the_theory_says() -> None:
    true, a, b, group = sample()
    row = paired_difference(true, a, b, sensitive_features=group, random_state=0, n_boot=4000).loc[
        "accuracy"
    ]
    d = (a == true).astype(float) - (b == true)
    half = stats.norm.ppf(0.975) * d.std() / np.sqrt(len(d))
    np.testing.assert_allclose(
        [row["lower"], row["upper"]], [d.mean() - half, d.mean() + half], atol=0.001
    )
    single = evaluate_predictions(true, a, sensitive_features=group, random_state=0)
    alone = single.overall_intervals.loc["accuracy"]
    assert row["upper"] - row["lower"] < 0.5 * (alone["upper"] - alone["lower"])


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_a_method_does_not_differ_from_itself(interval: str) -> None:
    true, a, _, group = sample(300)
    table = paired_difference(
        true, a, a, sensitive_features=group, random_state=0, n_boot=100, interval=interval
    )
    assert (table[["value", "lower", "upper"]] == 0).all(axis=None)


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_compared_on_the_same_rows(weighted: bool) -> None:
    true, a, b, group = sample(600)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=len(true))
    scores = [1 / (1 + np.exp(-(true + noise + rng.normal(size=len(true)) / 5))) for _ in "ab"]
    options: dict[str, Any] = {"sensitive_features": group, "metrics": "all"}
    options["sample_weight"] = rng.integers(1, 4, len(true)) if weighted else None
    table = paired_difference(
        true, a, b, y_score_a=scores[0], y_score_b=scores[1], random_state=0, n_boot=200, **options
    )
    assert not table.index.duplicated().any()
    for column, predicted, score in zip("ab", (a, b), scores, strict=True):
        found = evaluate_predictions(true, predicted, y_score=score, n_boot=0, **options)
        for name in ("roc_auc", "ece_difference", "score_kl", "deo", "accuracy_gap"):
            assert table.loc[name, column] == pytest.approx(found.interval(name)["value"])
    # The noise that both share cancels out.
    alone = evaluate_predictions(true, a, y_score=scores[0], random_state=0, **options)
    single, paired = alone.overall_intervals.loc["roc_auc"], table.loc["roc_auc"]
    assert paired["upper"] - paired["lower"] < 0.5 * (single["upper"] - single["lower"])
    assert paired["lower"] <= paired["value"] <= paired["upper"]


def test_same_scores_do_not_differ() -> None:
    true, a, _, group = sample(200)
    score = np.random.default_rng(0).random(200)
    table = paired_difference(
        true, a, a, y_score_a=score, y_score_b=score, sensitive_features=group, n_boot=50
    )
    assert {"roc_auc", "ece", "score_kl", "deo"} <= set(table.index)
    assert (table[["value", "lower", "upper"]] == 0).all(axis=None)
    with pytest.raises(InputError, match="y_score_b"):
        paired_difference(true, a, a, y_score_a=score, sensitive_features=group)


def test_each_of_many_classes_methods_has_its_own_confidence() -> None:
    rng = np.random.default_rng(0)
    true, group = rng.integers(0, 3, 300), rng.integers(0, 2, 300)
    scores = [rng.dirichlet(np.ones(3), 300) for _ in "ab"]
    a, b = (score.argmax(1) for score in scores)
    table = paired_difference(
        true, a, b, y_score_a=scores[0], y_score_b=scores[1], sensitive_features=group, n_boot=20
    )
    for column, predicted, score in zip("ab", (a, b), scores, strict=True):
        found = evaluate_predictions(
            true, predicted, y_score=score, sensitive_features=group, n_boot=0
        )
        assert table.loc["ece", column] == pytest.approx(found.interval("ece")["value"])


def test_a_paired_difference_says_whose_rate_is_undefined() -> None:
    table = paired_difference(
        [0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 1], sensitive_features=[0, 0, 1, 1], n_boot=5
    )
    assert np.isnan(table.loc["precision", "value"])
    assert table.loc["precision", "note"] == "a: no positive predictions"
    with pytest.raises(InputError, match="scores"):
        paired_difference([0, 1], [0, 1], [1, 0], sensitive_features=[0, 1], metrics=["roc_auc"])


def test_leakage_of_noise_is_chance_and_of_the_group_itself_is_1() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 900)
    noise = leakage(rng.normal(size=(900, 5)), group, random_state=0)
    for row in noise.itertuples():
        assert row.lower - 0.03 <= row.chance <= row.upper + 0.03
    assert noise.loc["accuracy", "chance"] == np.bincount(group).max() / 900
    known = leakage(np.eye(3)[group], group, random_state=0)
    assert (known[["value", "lower", "upper"]] == 1).all(axis=None)


def test_features_that_know_the_target_only_do_not_leak_within_it() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 3000)
    group = np.where(rng.random(3000) < 0.9, true, 1 - true)
    features = true[:, None] + 0.1 * rng.normal(size=(3000, 2))
    table = leakage(features, group, y=true, random_state=0)
    assert table.loc["accuracy", "value"] == pytest.approx(0.9, abs=0.02)
    balanced = table.loc["target_balanced_accuracy"]
    assert balanced["value"] == pytest.approx(balanced["chance"], abs=0.06)
    both = leakage(np.c_[features, group], group, y=true, random_state=0)
    assert both.loc["target_balanced_accuracy", "value"] == 1


def test_leakage_within_classes_leaves_out_a_class_with_a_single_group() -> None:
    rng = np.random.default_rng(0)
    y, group = rng.integers(0, 2, 600), rng.integers(0, 2, 600)
    features = np.c_[y, rng.normal(size=600)]
    y3, group3 = np.r_[y, np.full(100, 2)], np.r_[group, np.zeros(100, int)]
    table = leakage(np.r_[features, np.full((100, 2), 9.0)], group3, y=y3, random_state=0)
    assert table.loc["target_balanced_accuracy", "value"] == pytest.approx(0.5, abs=0.1)
    with pytest.raises(InputError, match="every class of y has a single group"):
        leakage(features, y, y=y, random_state=0)


def test_leakage_is_repeatable_and_refuses_what_it_cannot_probe() -> None:
    rng = np.random.default_rng(0)
    features, group = rng.normal(size=(60, 2, 2)), np.repeat([0, 1], 30)
    first, second = (leakage(features, group, random_state=3) for _ in range(2))
    assert first.equals(second)
    with pytest.raises(InputError, match="two groups"):
        leakage(features, np.zeros(60))
    with pytest.raises(InputError, match="3 row"):
        leakage(features, np.r_[np.zeros(57), np.ones(3)])
    with pytest.raises(InputError, match="not finite"):
        leakage(np.full((60, 2), np.nan), group)
    with pytest.raises(InputError, match="y has 2 rows, features 60"):
        leakage(features, group, y=[0, 1])


def search_data() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    group, true = rng.integers(0, 2, 600), rng.integers(0, 2, 600)
    # Both columns predict; only the second one works in group 1.
    X = np.c_[np.where(group == 0, true, 0) * 6.0, true + rng.normal(size=600)]
    return X, true, group


def test_scorer_receives_routed_groups_in_a_grid_search() -> None:
    X, true, group = search_data()
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            LogisticRegression(), {"C": [1e-4, 1.0]}, scoring=as_scorer("accuracy_gap"), cv=3
        ).fit(X, true, sensitive_features=group)
        gap = evaluate_predictions(
            true, search.predict(X), sensitive_features=group, n_boot=0
        ).disparities.loc["accuracy_gap", "value"]
        assert search.score(X, true, sensitive_features=group) == pytest.approx(-gap)
        assert search.best_index_ == np.argmax(search.cv_results_["mean_test_score"])
        assert (search.cv_results_["mean_test_score"] < 0).all()


def test_scorers_stand_beside_sklearns_own() -> None:
    X, true, group = search_data()
    weight = np.ones(600)
    scoring = {
        "gap": as_scorer("equal-opportunity-difference-signed", privileged=0),
        "auc": as_scorer("roc_auc"),
        "plain": "roc_auc",
    }
    with sklearn.config_context(enable_metadata_routing=True):
        found = cross_validate(
            LogisticRegression(),
            X,
            true,
            scoring=scoring,
            cv=3,
            params={"sensitive_features": group},
        )
        weighted = as_scorer("accuracy").set_score_request(sample_weight=True)
        same = cross_validate(
            LogisticRegression().set_fit_request(sample_weight=True),
            X,
            true,
            scoring={"ours": weighted},
            cv=3,
            params={"sensitive_features": group, "sample_weight": weight},
        )
    np.testing.assert_allclose(found["test_auc"], found["test_plain"])
    assert (found["test_gap"] <= 0).all()
    assert same["test_ours"].shape == (3,)


def test_a_scorer_without_groups_says_what_to_do() -> None:
    X, true, _ = search_data()
    model = LogisticRegression().fit(X, true)
    with pytest.raises(GroupsRequiredError, match="enable_metadata_routing"):
        as_scorer("accuracy_gap")(model, X, true)
    with pytest.raises(InputError, match="unknown metric"):
        as_scorer("nonsense")


@pytest.mark.slow
def test_a_better_model_scores_higher_by_every_built_in_scorer() -> None:
    _, true, group = search_data()

    class Fixed:
        classes_ = np.array([0, 1])

        def __init__(self, right: Any) -> None:
            self.p = np.where(right, true, 1 - true)

        def predict(self, X: Any) -> Any:
            return self.p

        def predict_proba(self, X: Any) -> Any:
            return np.stack([1 - self.p, self.p], axis=1).astype(float)

    rng = np.random.default_rng(0)
    good, bad = Fixed(np.ones(600, bool)), Fixed((group == 0) & (rng.random(600) < 0.9))
    for name in available_metrics():
        options = {"privileged": 0} if "signed" in name or name == "disparate_impact" else {}
        scorer = as_scorer(name, **options)
        high, low = (scorer(m, None, true, sensitive_features=group) for m in (good, bad))
        assert np.isnan(high) or np.isnan(low) or high >= low - 1e-12, name


PLUGIN = """
@hookimpl
def fairvision_metrics():
    yield Metric("odd-gap", "odd_functions:gap", "A gap.", greater_is_better=False)
    yield Metric("odd-score", "odd_functions:score", "A score.", needs_scores=True)
    yield Metric("odd-broken", "odd_functions:broken", "Raises.")
    yield Metric("odd-undefined", "odd_functions:undefined", "Undefined.")
    yield Metric("odd-absent", "odd_functions:absent", "Not there.")
"""
FUNCTIONS = """
import numpy as np
import pandas as pd
from fairvision.exceptions import UndefinedMetricError

def gap(y_true, y_pred, *, sensitive_features, y_score, sample_weight):
    right = y_true == y_pred
    masks = [sensitive_features == g for g in np.unique(sensitive_features)]
    rates = [np.average(right[mask], weights=sample_weight[mask]) for mask in masks]
    return max(rates) - min(rates)

def score(y_true, y_pred, *, sensitive_features, y_score, sample_weight):
    return np.average(y_score, weights=sample_weight)

def broken(y_true, y_pred, *, sensitive_features, y_score, sample_weight):
    raise RuntimeError("out of order")

def undefined(y_true, y_pred, *, sensitive_features, y_score, sample_weight):
    raise UndefinedMetricError("nobody to compare")
"""


@pytest.fixture
def offered(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("odd", PLUGIN)
    (site.path / "odd_functions.py").write_text(FUNCTIONS)
    registry = site.registry()
    monkeypatch.setattr("fairvision.plugins.default_registry", lambda: registry)


@pytest.mark.usefixtures("offered")
def test_plugins_metrics_have_intervals_and_fail_alone() -> None:
    true, pred, _, group = sample(400)
    score = np.linspace(0, 1, 400)
    names = ["gap", "score", "broken", "undefined", "absent"]
    found = evaluate_predictions(
        true,
        pred,
        y_score=score,
        sensitive_features=np.array(["a", "b"])[group],
        metrics=["accuracy_gap", *(f"odd-{name}" for name in names)],
        n_boot=300,
        random_state=0,
    )
    table = found.disparities
    assert table.loc["odd-gap", "value"] == pytest.approx(table.loc["accuracy_gap", "value"])
    ends = table.loc[["odd-gap", "accuracy_gap"], "upper"]
    assert ends.iloc[0] == pytest.approx(ends.iloc[1], abs=0.03)
    assert table.loc["odd-score", "value"] == pytest.approx(0.5)
    assert table.loc["odd-score", "lower"] < 0.5 < table.loc["odd-score", "upper"]
    assert table.loc["odd-broken", "note"] == "RuntimeError: out of order"
    assert table.loc["odd-undefined", "note"] == "nobody to compare"
    assert "cannot be imported" in table.loc["odd-absent", "note"]
    assert table["value"].isna().sum() == 3


@pytest.mark.usefixtures("offered")
def test_plugins_metrics_are_in_all_and_can_score() -> None:
    true, pred, _, group = sample(100)
    found = evaluate_predictions(true, pred, sensitive_features=group, metrics="all", n_boot=0)
    assert {"odd-gap", "odd-broken"} <= set(found.disparities.index)
    assert "odd-score" not in found.disparities.index  # no scores were passed
    with pytest.raises(InputError, match="y_score"):
        evaluate_predictions(true, pred, sensitive_features=group, metrics="odd-score")
    with pytest.raises(InputError, match="odd-gap"):
        evaluate_predictions(true, pred, sensitive_features=group, metrics="odd-gpa")

    class Fixed:
        def predict(self, X: Any) -> Any:
            return pred

    value = as_scorer("odd-gap")(Fixed(), None, true, sensitive_features=group)
    assert value == -found.interval("odd-gap")["value"]


def test_a_new_metric_is_one_entry_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = MetricSpec(
        "mean_score",
        "Mean score.",
        lambda r: divide((r.amounts * r.score).sum(-1), r.amounts.sum(-1)),
        reads="scores",
        by_group=True,
        undefined="no rows",
        better="higher",
        default_aggregates=("difference",),
    )
    for spec in family(entry):
        monkeypatch.setitem(METRICS, spec.name, spec)
    true, pred, other, group = sample(300)
    score, low = np.linspace(0, 1, 300), np.linspace(0, 0.5, 300)
    means = [score[group == g].mean() for g in np.unique(group)]
    options: dict[str, Any] = {"sensitive_features": group, "n_boot": 20, "random_state": 0}
    evaluation = evaluate_predictions(true, pred, y_score=score, **options)
    assert evaluation.overall["mean_score"] == pytest.approx(0.5)
    assert evaluation.by_group["mean_score"].tolist() == pytest.approx(means)
    gap = evaluation.disparities.loc["mean_score_difference"]
    assert gap["value"] == pytest.approx(max(means) - min(means))
    assert gap["lower"] < gap["upper"]
    paired = paired_difference(true, pred, other, y_score_a=score, y_score_b=low, **options)
    assert paired.loc["mean_score", "value"] == pytest.approx(0.25)
    assert paired.loc["mean_score_difference", "b"] == pytest.approx(gap["value"] / 2)
    row = metric_table().loc["mean_score"]
    assert row.tolist() == ["Mean score.", "y_score, pos_label", "higher", True]
    assert "mean_score_group_max" in available_metrics()
    scorer = as_scorer("mean_score_difference")

    class Fixed:
        classes_ = np.array([0, 1])

        def predict(self, X: Any) -> Any:
            return pred

        def predict_proba(self, X: Any) -> Any:
            return np.stack([1 - score, score], axis=1)

    assert scorer(Fixed(), None, true, sensitive_features=group) == pytest.approx(-gap["value"])


def test_unpaired_difference_is_that_of_two_samples() -> None:
    one, two = (sample(size) for size in (2000, 1200))
    evaluations = [
        evaluate_predictions(true, a, sensitive_features=group, random_state=0, n_boot=2000)
        for true, a, _, group in (one, two)
    ]
    table = unpaired_difference(*evaluations)
    shares = [(true == a).mean() for true, a, _, _ in (one, two)]
    spread = np.sqrt(sum(p * (1 - p) / len(s[0]) for p, s in zip(shares, (one, two), strict=True)))
    row, value = table.loc[("", "accuracy")], shares[0] - shares[1]
    half = stats.norm.ppf(0.975) * spread
    np.testing.assert_allclose(row["value"], value)
    np.testing.assert_allclose(
        [row["lower"], row["upper"]], [value - half, value + half], atol=0.003
    )
    assert ("0", "true_positive_rate") in table.index


def test_differences_by_group_are_added_to_the_others() -> None:
    true, a, b, group = sample(400)
    options: dict[str, Any] = {"sensitive_features": group, "random_state": 0, "n_boot": 50}
    table = paired_difference(true, a, b, by_group=True, **options)
    pd.testing.assert_frame_equal(table.loc[""], paired_difference(true, a, b, **options))
    rows = group == 1
    expected = (a == true)[rows].mean() - (b == true)[rows].mean()
    assert table.loc[("1", "accuracy"), "value"] == pytest.approx(expected)

"""What goes in, what comes out: labels of every kind, edges, and the shape of the result."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

import fairvision as fv
from fairvision.exceptions import GroupsRequiredError, InputError
from fairvision.metrics import Evaluation, available_metrics, evaluate, evaluate_predictions

RNG = np.random.default_rng(0)
GROUP = RNG.integers(0, 3, 600)
TRUE = RNG.integers(0, 2, 600)
PRED = np.where(RNG.random(600) < 0.8, TRUE, 1 - TRUE)


def run(true: Any = TRUE, pred: Any = PRED, group: Any = GROUP, **options: Any) -> Evaluation:
    return evaluate_predictions(true, pred, sensitive_features=group, **{"n_boot": 0} | options)


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: y,
        lambda y: y.astype(bool),
        lambda y: y.astype(float),
        lambda y: y * 2 - 1,
        lambda y: np.array(["no", "yes"])[y],
        lambda y: np.array(["no", "yes"], dtype=object)[y],
        lambda y: pd.Series(np.array(["no", "yes"])[y], dtype="string"),
        lambda y: pd.Series(np.array(["no", "yes"])[y], index=range(1000, 1600)),
        lambda y: pd.Categorical.from_codes(y, ["no", "yes"]),
        lambda y: y.tolist(),
        lambda y: y[:, None],
    ],
)
def test_labels_of_every_kind_give_the_same_numbers(labels: Any) -> None:
    group = GROUP % 2
    plain, found = run(group=group), run(labels(TRUE), labels(PRED), labels(group))
    np.testing.assert_allclose(found.overall, plain.overall)
    np.testing.assert_allclose(found.disparities["value"], plain.disparities["value"])
    assert found.by_group["n"].tolist() == plain.by_group["n"].tolist()
    assert found.pos_label == sorted(np.asarray(labels(TRUE)).ravel().tolist())[-1]
    json.dumps(found.to_dict(), allow_nan=False)


def test_shape_of_the_result() -> None:
    found = run(n_boot=20, random_state=0)
    assert isinstance(found.overall, pd.Series)
    assert list(found.by_group.columns[:3]) == ["n", "positives", "negatives"]
    assert found.by_group["n"].sum() == 600
    assert (found.by_group["positives"] + found.by_group["negatives"] == found.by_group["n"]).all()
    assert list(found.disparities.columns) == ["value", "lower", "upper", "note"]
    for name in (
        "worst_group_accuracy",
        "worst_sensitive_group_accuracy",
        "accuracy_gap",
        "demographic_parity_difference",
        "equalized_odds_difference",
    ):
        assert found.disparities.loc[name].notna().all()
    assert set(found.overall.index) >= {"accuracy", "balanced_accuracy", "group_balanced_accuracy"}
    row = found.by_group_intervals.loc[(1, "accuracy")]
    assert row["lower"] < found.by_group.loc[1, "accuracy"] < row["upper"]
    assert found.cells["n"].sum() == 600
    assert found.interval("accuracy-gap")["value"] == found.disparities.loc["accuracy_gap", "value"]
    with pytest.raises(KeyError, match="accuracy_gap"):
        found.interval("nonsense")
    assert list(found.by_attribute) == ["sensitive_feature"]
    assert found.by_attribute["sensitive_feature"] is found


def test_the_two_average_accuracies_differ_where_groups_do() -> None:
    true = np.zeros(100, int)
    pred, group = np.r_[np.zeros(90), np.ones(10)].astype(int), np.r_[np.zeros(90), np.ones(10)]
    overall = run(true, pred, group).overall
    assert overall["accuracy"] == pytest.approx(0.9)
    assert overall["group_balanced_accuracy"] == pytest.approx(0.5)


def test_worst_group_is_over_target_and_group_and_its_namesake_over_groups() -> None:
    true = np.array([0] * 8 + [1] * 2)
    pred = np.array([0] * 8 + [0, 1])
    value = run(true, pred, np.zeros(10)).disparities["value"]
    assert value["worst_group_accuracy"] == pytest.approx(0.5)
    assert value["worst_sensitive_group_accuracy"] == pytest.approx(0.9)


def test_one_group_has_rates_but_no_gap() -> None:
    found = run(group=np.zeros(600))
    assert found.by_group["accuracy"].notna().all()
    row = found.disparities.loc["accuracy_gap"]
    assert np.isnan(row["value"])
    assert "2 groups" in row["note"]


def test_a_hundred_groups() -> None:
    rng = np.random.default_rng(1)
    group = rng.integers(0, 100, 20000)
    true = rng.integers(0, 2, 20000)
    found = run(true, true, group, n_boot=200, random_state=0)
    assert len(found.by_group) == 100
    assert found.disparities.loc["accuracy_gap", "upper"] == 0


def test_zero_weights_remove_rows_from_rates_but_not_from_n() -> None:
    weight = (GROUP != 2).astype(float)
    found, without = (
        run(sample_weight=weight),
        run(TRUE[GROUP < 2], PRED[GROUP < 2], GROUP[GROUP < 2]),
    )
    np.testing.assert_allclose(found.overall["accuracy"], without.overall["accuracy"])
    assert found.by_group.loc[2, "n"] == (GROUP == 2).sum()
    assert np.isnan(found.by_group.loc[2, "accuracy"])
    assert np.isnan(found.disparities.loc["accuracy_gap", "value"])
    assert np.isnan(found.metric_frame.by_group.loc[2, "accuracy"])


def test_tiny_weights_leave_nothing_where_nothing_is() -> None:
    # 0.1 + 0.2 - 0.3 is not 0: a complement by subtraction would find negatives here.
    found = run([1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], sample_weight=[0.1, 0.2, 0.3, 1])
    assert np.isnan(found.by_group.loc[0, "false_positive_rate"])


def test_missing_labels_are_counted_or_named() -> None:
    group = pd.Series(["a", "b", None] * 200)
    with pytest.raises(InputError, match="200 missing"):
        run(group=group)
    found = run(group=group, missing="group")
    assert found.groups == ["a", "b", "missing"]
    frame = pd.DataFrame({"x": group, "y": [1.0, np.nan] * 300})
    assert len(run(group=frame, missing="group").groups) == 6
    with pytest.raises(InputError, match=r"y_true has 2 missing label\(s\), the first in row 1"):
        run([0, None, None, 1], [0, 1, 1, 1], [0, 0, 1, 1], missing="group")
    with pytest.raises(InputError, match="missing is 'drop'"):
        run(missing="drop")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"true": TRUE[:5]}, "600 rows"),
        ({"group": GROUP[:5]}, "5 rows"),
        ({"true": TRUE.astype(str)}, "text"),
        ({"pred": PRED * 0.7}, "fractional"),
        ({"pos_label": 7}, "pos_label"),
        ({"labels": [0]}, "also holds"),
        ({"sample_weight": -np.ones(600)}, "600 value"),
        ({"sample_weight": [1.0]}, "1 rows"),
        ({"privileged": 9}, "groups of"),
        ({"privileged": [0, 1, 2]}, "every group"),
        ({"metrics": ["accuracy_gpa"]}, "accuracy_gap"),
        ({"metrics": ["roc_auc"]}, "y_score"),
        ({"metrics": ["disparate_impact"]}, "privileged"),
        ({"train": 3}, "train"),
        ({"true": [], "pred": [], "group": []}, "at least 1 row"),
    ],
)
def test_unusable_input_is_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word):
        run(**options)


def test_no_groups_no_evaluation() -> None:
    with pytest.raises(GroupsRequiredError):
        run(group=None)


def test_many_classes_get_what_is_defined_and_a_refusal_for_the_rest() -> None:
    rng = np.random.default_rng(2)
    true, pred, group = rng.integers(0, 4, 900), rng.integers(0, 4, 900), rng.integers(0, 2, 900)
    found = run(true, pred, group)
    assert {
        "accuracy_gap",
        "worst_group_accuracy",
        "equalized_odds_difference",
        "demographic_parity_difference",
        "bias_amplification",
    } <= set(found.disparities.index)
    assert "true_positive_rate" not in found.by_group
    assert found.by_group["positives"].isna().all()
    assert found.metric_frame.by_group.shape == (2, 3)
    for metric in ("true_positive_rate", "equal_opportunity_difference", "theil_index"):
        with pytest.raises(InputError, match="pos_label"):
            run(true, pred, group, metrics=[metric])
    with pytest.raises(InputError, match="binary"):
        _ = found.classification_metric
    one = run(true, pred, group, pos_label=3)
    rest = run((true == 3).astype(int), (pred == 3).astype(int), group)
    for name in ("true_positive_rate", "false_positive_rate", "selection_rate", "precision"):
        np.testing.assert_allclose(one.by_group[name], rest.by_group[name])
    value = one.disparities["value"]
    for name in ("theil_index", "equalized_odds_difference", "demographic_parity_difference"):
        assert value[name] == pytest.approx(rest.disparities.loc[name, "value"])


def test_every_metric_by_name_equals_itself_among_all() -> None:
    score = np.clip(PRED * 0.6 + RNG.random(600) * 0.4, 0, 1)
    everything = run(y_score=score, metrics="all", privileged=0)
    names = available_metrics()
    assert len(names) == len(set(names))
    for name in names[::7]:
        alone = run(y_score=score, metrics=name, privileged=0).interval(name)["value"]
        assert alone == pytest.approx(everything.interval(name)["value"], nan_ok=True)


def test_small_cells_are_flagged_and_small_groups_can_be_left_out() -> None:
    group = GROUP.copy()
    group[:4] = 9
    found = run(group=group)
    assert "only" in found.by_group.loc[9, "note"]
    assert not found.by_group.loc[0, "note"]
    kept = run(group=group, min_support=10)
    assert "left out" in kept.by_group.loc[9, "note"]
    assert any("[9]" in note for note in kept.notes)
    rest = run(TRUE[4:], PRED[4:], GROUP[4:])
    assert kept.disparities.loc["accuracy_gap", "value"] == pytest.approx(
        rest.disparities.loc["accuracy_gap", "value"]
    )


def test_groups_unseen_at_fit_are_reported() -> None:
    found = run(train=(TRUE[GROUP < 2], GROUP[GROUP < 2]))
    assert found.notes == ["groups unseen at fit: [2]"]
    assert "unseen at fit" in found.by_group.loc[2, "note"]
    assert "unseen" in found.disparities.loc["bias_amplification", "note"]
    assert not run(train=(TRUE, GROUP)).notes


def test_bias_amplification_takes_its_direction_from_training_data() -> None:
    # In training, group 1 goes with class 1; the model predicts that more than is true.
    train = (np.array([0] * 8 + [1] * 2 + [0] * 2 + [1] * 8), np.repeat([0, 1], 10))
    true, group = np.tile([0, 1], 20), np.repeat([0, 1], 20)
    found = run(true, group, group, train=train)
    assert found.disparities.loc["bias_amplification", "value"] == pytest.approx(0.5)
    turned = run(true, group, group, train=(train[0], 1 - train[1]))
    assert turned.disparities.loc["bias_amplification", "value"] == pytest.approx(-0.5)
    # The balanced test data itself shows no direction.
    assert run(true, group, group).disparities.loc["bias_amplification", "value"] == 0


def test_several_columns_are_each_evaluated_and_crossed() -> None:
    other = np.array(["x", "y"])[RNG.integers(0, 2, 600)]
    frame = pd.DataFrame({"a": GROUP, "b": other})
    options: dict[str, Any] = {"n_boot": 50, "random_state": 0, "metrics": "all"}
    found = run(group=frame, privileged={"b": "x"}, **options)
    assert found.by_group.index.names == ["a", "b"]
    assert len(found.by_group) == 6
    assert list(found.by_attribute) == ["a", "b"]
    alone = run(group=other, privileged="x", **options)
    np.testing.assert_allclose(
        found.by_attribute["b"].disparities["value"].astype(float), alone.disparities["value"]
    )
    assert "disparate_impact" not in found.by_attribute["a"].disparities.index
    signed = found.disparities.loc["disparate_impact", "value"]
    assert signed == pytest.approx(alone.disparities.loc["disparate_impact", "value"])
    aif = found.classification_metric
    assert aif.disparate_impact() == pytest.approx(signed)
    assert found.metric_frame.by_group.index.names == ["a", "b"]
    assert set(found.to_dict()["by_attribute"]) == {"a", "b"}


def test_a_column_that_decides_the_other_keeps_the_right_labels() -> None:
    # The crossing has as many groups as one column, in another order.
    frame = pd.DataFrame(
        {"a": GROUP % 2, "b": np.array([5, 2, 1, 4])[GROUP % 2 + 2 * (GROUP == 2)]}
    )
    found = run(group=frame).by_attribute["b"]
    for label, row in found.by_group.iterrows():
        rows = frame["b"] == label
        assert row["n"] == rows.sum()
        assert row["accuracy"] == pytest.approx((TRUE == PRED)[rows].mean())


def test_evaluate_predicts_and_scores() -> None:
    X = np.c_[TRUE + RNG.normal(size=600), GROUP]
    labels = np.array(["no", "yes"])[TRUE]
    model = LogisticRegression().fit(X, labels)
    found = fv.evaluate(model, X, labels, sensitive_features=GROUP, n_boot=20, random_state=1)
    direct = evaluate_predictions(
        labels,
        model.predict(X),
        y_score=model.predict_proba(X),
        sensitive_features=GROUP,
        n_boot=0,
    )
    assert found.overall["accuracy"] == pytest.approx(model.score(X, labels))
    np.testing.assert_allclose(found.disparities["value"], direct.disparities["value"])
    svc = evaluate(LinearSVC().fit(X, labels), X, labels, sensitive_features=GROUP, n_boot=0)
    assert svc.overall["roc_auc"] == pytest.approx(found.overall["roc_auc"], abs=0.05)
    unseen = np.where(np.arange(600) < 30, "maybe", labels)
    three = evaluate(model, X, unseen, sensitive_features=GROUP, n_boot=0)
    assert three.overall["accuracy"] == pytest.approx((model.predict(X) == unseen).mean())


def test_evaluate_hands_the_groups_to_a_predict_that_asks() -> None:
    class Adjusted:
        def predict(self, X: Any, *, sensitive_features: Any) -> Any:
            return np.asarray(sensitive_features) % 2

        @property
        def groups_(self) -> Any:
            from fairvision.base import check_groups

            return check_groups([0, 1], 2)

    found = evaluate(Adjusted(), np.zeros(600), TRUE, sensitive_features=GROUP, n_boot=0)
    assert found.by_group["selection_rate"].tolist() == [0, 1, 0]
    assert found.notes == ["groups unseen at fit: [2]"]


def test_plot_html_and_dict() -> None:
    group = np.where(GROUP == 2, "<b>", "a")
    pred = np.where(GROUP == 2, 0, PRED)
    found = run(TRUE, pred, group, n_boot=30, random_state=0)
    axes = found.plot("precision")
    assert [t.get_text() for t in axes.get_yticklabels()] == ["<b>", "a"]
    assert any("undefined" in t.get_text() for t in axes.texts)  # nobody selected in <b>
    assert len(found.plot("disparities", ax=None).get_yticklabels()) == (
        found.disparities["value"].notna().sum()
    )
    with pytest.raises(InputError, match="cannot plot"):
        found.plot("nonsense")
    page = found._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "undefined" in page
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    precision = plain["by_group"][0]["rates"]["precision"]
    assert precision["value"] is None
    assert precision["note"] == "no positive predictions"
    assert plain["overall"]["accuracy"]["value"] == pytest.approx(found.overall["accuracy"])
    assert "600 rows" in repr(found)


def test_heavy_toolkits_are_imported_only_when_used() -> None:
    code = (
        "import sys, fairvision.metrics as m\n"
        "m.evaluate_predictions([0, 1], [0, 1], sensitive_features=['a', 'b'], n_boot=2)\n"
        "print([n for n in ('fairlearn', 'aif360', 'matplotlib', 'torch') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_aif360_leaves_logging_as_it_was() -> None:
    code = (
        "import logging, fairvision.metrics as m\n"
        "e = m.evaluate_predictions([0, 1], [0, 1], sensitive_features=['a', 'b'], n_boot=0)\n"
        "e.classification_metric\n"
        "print(logging.getLogger().handlers, logging.root.manager.disable)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 0"
    assert "tensorflow" not in done.stderr


def test_all_weights_zero_and_groups_all_too_small() -> None:
    with pytest.raises(InputError, match="nothing is left"):
        run(sample_weight=np.zeros(600))
    found = run(min_support=1000, privileged=0)
    assert found.disparities.loc["worst_group_accuracy", "note"] == "needs 1 groups, got 0"
    assert found.by_group["accuracy"].notna().all()
    # Only the privileged group is large enough: there is no other side.
    group = np.where(np.arange(600) < 4, 1, np.where(np.arange(600) < 300, 0, 2))
    one_sided = run(group=group, min_support=10, privileged=[0, 2])
    note = one_sided.disparities.loc["statistical_parity_difference_signed", "note"]
    assert note == "no rows on one side"


def test_columns_may_be_named_like_ours() -> None:
    frame = pd.DataFrame({"metric": GROUP, "n": GROUP % 2})
    found = run(group=frame)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.by_group_intervals.index.names == ["metric", "n", "metric"]
    # fairlearn also lists crossings that do not occur.
    frame = found.metric_frame.by_group["accuracy"].dropna()
    assert frame.tolist() == found.by_group["accuracy"].tolist()


def test_gaps_alone_and_no_probabilities_where_nobody_reads_them() -> None:
    class Silent:
        def predict(self, X: Any) -> Any:
            return PRED

        def predict_proba(self, X: Any) -> Any:
            raise AssertionError("a second pass through a net, for nothing")

    found = evaluate(
        Silent(), None, TRUE, sensitive_features=GROUP, metrics=["accuracy_gap"], n_boot=0
    )
    assert list(found.disparities.index) == ["accuracy_gap"]
    assert list(found.by_group.columns) == ["n", "positives", "negatives", "note"]
    assert found.overall.empty
    json.dumps(found.to_dict(), allow_nan=False)
    found._repr_html_()

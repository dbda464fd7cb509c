"""Every count metric against plain arithmetic, scikit-learn, fairlearn and aif360."""

from __future__ import annotations

import math
import warnings
from itertools import product
from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from fairvision.metrics import Evaluation, evaluate_predictions

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
# With up to 12 groups in each, these are hundreds of tables.
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
# fairlearn takes 0.1 s a frame.
SOME = settings(MANY, max_examples=15)
FEW = settings(MANY, max_examples=12)


def tables(
    classes: int = 2, *, smallest: int = 0, groups: int = 5
) -> st.SearchStrategy[np.ndarray]:
    """Counts by group, true and predicted label; two groups or more, none empty."""

    def build(n: int) -> st.SearchStrategy[np.ndarray]:
        entries = st.integers(smallest, 30)
        return arrays(np.int64, (n, classes, classes), elements=entries)

    return st.integers(2, groups).flatmap(build).filter(lambda t: bool((t.sum((1, 2)) > 0).all()))


def rows_of(counts: np.ndarray) -> tuple[Any, Any, Any]:
    """y_true, y_pred and group, one row per count."""
    group, true, predicted = np.nonzero(counts)
    times = counts[group, true, predicted]
    true, predicted, group = (np.repeat(a, times) for a in (true, predicted, group))
    return true, predicted, group


def evaluate(counts: np.ndarray, **options: Any) -> Evaluation:
    true, predicted, group = rows_of(counts)
    labels = range(counts.shape[-1])
    options = {"metrics": "all", "labels": labels, "n_boot": 0} | options
    return evaluate_predictions(true, predicted, sensitive_features=group, **options)


def ratio(a: float, b: float) -> float:
    return a / b if b else math.nan


def rates_of(table: np.ndarray) -> dict[str, float]:
    (tn, fp), (fn, tp) = table.tolist()
    tpr, tnr = ratio(tp, tp + fn), ratio(tn, tn + fp)
    return {
        "accuracy": ratio(tp + tn, tp + tn + fp + fn),
        "base_rate": ratio(tp + fn, tp + tn + fp + fn),
        "selection_rate": ratio(tp + fp, tp + tn + fp + fn),
        "true_positive_rate": tpr,
        "false_positive_rate": ratio(fp, fp + tn),
        "true_negative_rate": tnr,
        "false_negative_rate": ratio(fn, fn + tp),
        "precision": ratio(tp, tp + fp),
    }


def theil_of(counts: np.ndarray) -> float:
    benefits = [
        1 + predicted - true
        for group, true, predicted in product(*map(range, counts.shape))
        for _ in range(counts[group, true, predicted])
    ]
    mean = sum(benefits) / len(benefits)
    if mean == 0:
        return math.nan
    return sum(b / mean * math.log(b / mean) for b in benefits if b) / len(benefits)


def amplification_of(counts: np.ndarray) -> float:
    n, total = counts.sum(), 0.0
    for group, label in product(range(len(counts)), range(counts.shape[-1])):
        size = int(counts[group].sum())
        joint = int(counts[group, label].sum()) * int(n)
        independent = size * int(counts[:, label].sum())
        sign = (joint > independent) - (joint < independent)
        total += sign * (counts[group, :, label].sum() - counts[group, label].sum()) / size
    return total / counts[:, 0].size


@MANY
@given(tables())
def test_rates_and_gaps_equal_plain_arithmetic(counts: np.ndarray) -> None:
    found = evaluate(counts)
    reference = [rates_of(table) for table in counts]
    overall = rates_of(counts.sum(0))
    for rate, total in overall.items():
        by_group = np.array([one[rate] for one in reference])
        np.testing.assert_allclose(found.by_group[rate], by_group, **CLOSE)
        np.testing.assert_allclose(found.overall[rate], total, **CLOSE)
        # A maximum over NaN is NaN: a gap over an undefined rate is undefined.
        spread = by_group.max() - by_group.min()
        gap = found.disparities.loc[f"{rate}_difference", "value"]
        np.testing.assert_allclose(gap, spread, **CLOSE)
        share = ratio(by_group.min(), by_group.max())
        np.testing.assert_allclose(found.disparities.loc[f"{rate}_ratio", "value"], share, **CLOSE)
        variance = found.disparities.loc[f"{rate}_group_variance", "value"]
        np.testing.assert_allclose(variance, by_group.var(), **CLOSE)
    value = found.disparities["value"]
    np.testing.assert_allclose(value["theil_index"], theil_of(counts), **CLOSE)
    np.testing.assert_allclose(value["bias_amplification"], amplification_of(counts), **CLOSE)


@MANY
@given(tables())
def test_undefined_numbers_say_why_and_defined_ones_do_not(counts: np.ndarray) -> None:
    found = evaluate(counts)
    for table in (found.overall_intervals, found.disparities, found.by_group_intervals):
        assert ((table["note"] != "") == table["value"].isna()).all()


@SOME
@given(tables(groups=12))
def test_metric_frame_agrees_with_by_group(counts: np.ndarray) -> None:
    found = evaluate(counts)
    frame = found.metric_frame
    assert isinstance(frame, fl.MetricFrame)
    for name in frame.by_group.columns.drop("count"):
        np.testing.assert_allclose(frame.by_group[name], found.by_group[name], **CLOSE)
        np.testing.assert_allclose(frame.overall[name], found.overall[name], **CLOSE)
    assert frame.by_group["count"].tolist() == found.by_group["n"].tolist()


@FEW
@given(tables(smallest=1))
def test_equals_fairlearn_on_rows(counts: np.ndarray) -> None:
    true, predicted, group = rows_of(counts)
    value = evaluate(counts).disparities["value"]
    for name in (
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "equalized_odds_difference",
        "equalized_odds_ratio",
        "equal_opportunity_difference",
        "equal_opportunity_ratio",
    ):
        theirs = getattr(fl, name)(true, predicted, sensitive_features=group)
        np.testing.assert_allclose(value[name], theirs, **CLOSE)
    mean = fl.equalized_odds_difference(true, predicted, sensitive_features=group, agg="mean")
    np.testing.assert_allclose(value["average_abs_odds_difference"], mean, **CLOSE)


@FEW
@given(tables(classes=3, smallest=1))
def test_equals_sklearn_on_rows_of_three_classes(counts: np.ndarray) -> None:
    found = evaluate(counts)
    true, predicted, group = rows_of(counts)
    for label, part in found.by_group.iterrows():
        rows = group == label
        accuracy = sk.accuracy_score(true[rows], predicted[rows])
        balanced = sk.balanced_accuracy_score(true[rows], predicted[rows])
        np.testing.assert_allclose(
            part[["accuracy", "balanced_accuracy"]].astype(float), [accuracy, balanced], **CLOSE
        )
    recalls = [
        sk.recall_score(true[group == g], predicted[group == g], average=None)
        for g in range(len(counts))
    ]
    value = found.disparities["value"]
    np.testing.assert_allclose(value["worst_group_accuracy"], np.min(recalls), **CLOSE)
    np.testing.assert_allclose(found.overall["group_balanced_accuracy"], np.mean(recalls), **CLOSE)
    shares = [np.bincount(predicted[group == g], minlength=3) for g in range(len(counts))]
    shares = np.array([s / s.sum() for s in shares])
    np.testing.assert_allclose(
        value["demographic_parity_difference"], np.ptp(shares, 0).max(), **CLOSE
    )


def aif360_on_rows(counts: np.ndarray, privileged: list[int]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from aif360.datasets import BinaryLabelDataset
        from aif360.metrics import ClassificationMetric
    true, predicted, group = rows_of(counts)
    sets = [
        BinaryLabelDataset(
            df=pd.DataFrame({"g": group.astype(float), "y": labels.astype(float)}),
            label_names=["y"],
            protected_attribute_names=["g"],
        )
        for labels in (true, predicted)
    ]
    sides = [
        [{"g": g} for g in range(len(counts)) if (g in privileged) is side]
        for side in (False, True)
    ]
    return ClassificationMetric(*sets, unprivileged_groups=sides[0], privileged_groups=sides[1])


@FEW
@given(tables(smallest=1), st.data())
def test_equals_aif360_on_rows_and_through_the_adapter(counts: np.ndarray, data: Any) -> None:
    privileged = data.draw(
        st.sets(st.integers(0, len(counts) - 1), min_size=1, max_size=len(counts) - 1)
    )
    found = evaluate(counts, privileged=sorted(privileged))
    ours, theirs = found.classification_metric, aif360_on_rows(counts, sorted(privileged))
    assert isinstance(ours, type(theirs))
    for name, column in {
        "statistical_parity_difference": "statistical_parity_difference_signed",
        "equal_opportunity_difference": "equal_opportunity_difference_signed",
        "average_odds_difference": "average_odds_difference_signed",
        "disparate_impact": "disparate_impact",
        "theil_index": "theil_index",
    }.items():
        on_rows = getattr(theirs, name)()
        np.testing.assert_allclose(found.disparities.loc[column, "value"], on_rows, **CLOSE)
        np.testing.assert_allclose(getattr(ours, name)(), on_rows, **CLOSE)
    for name in ("accuracy", "coefficient_of_variation", "between_group_theil_index"):
        np.testing.assert_allclose(getattr(ours, name)(), getattr(theirs, name)(), **CLOSE)
    if len(counts) == 2:
        mean = theirs.average_abs_odds_difference()
        np.testing.assert_allclose(
            found.disparities.loc["average_abs_odds_difference", "value"], mean, **CLOSE
        )


@FEW
@given(tables(smallest=1), st.integers(0, 2**31))
def test_weights_equal_sklearns_sample_weight(counts: np.ndarray, seed: int) -> None:
    true, predicted, group = rows_of(counts)
    weight = np.random.default_rng(seed).exponential(size=len(true))
    found = evaluate_predictions(
        true, predicted, sensitive_features=group, sample_weight=weight, n_boot=0
    )
    for label, part in found.by_group.iterrows():
        rows = group == label
        options = {"sample_weight": weight[rows]}
        np.testing.assert_allclose(
            [part["accuracy"], part["true_positive_rate"], part["precision"]],
            [
                sk.accuracy_score(true[rows], predicted[rows], **options),
                sk.recall_score(true[rows], predicted[rows], **options),
                sk.precision_score(true[rows], predicted[rows], **options),
            ],
            **CLOSE,
        )
    np.testing.assert_allclose(
        found.metric_frame.by_group["count"], np.bincount(group, weights=weight), **CLOSE
    )


@FEW
@given(tables(classes=3), st.randoms(use_true_random=False))
def test_order_names_and_duplication_change_nothing(counts: np.ndarray, random: Any) -> None:
    true, predicted, group = rows_of(counts)
    options: dict[str, Any] = {"n_boot": 0, "metrics": "all", "pos_label": 1, "labels": range(3)}
    before = evaluate_predictions(true, predicted, sensitive_features=group, **options)
    order = np.array(random.sample(range(len(true)), len(true)))
    twice = np.r_[order, order]
    options |= {"pos_label": "b", "labels": list("abc")}
    names, classes = np.array(list("zyxwv")), np.array(list("abc"))
    after = evaluate_predictions(
        classes[true[twice]],
        classes[predicted[twice]],
        sensitive_features=names[group[twice]],
        **options,
    )
    for name in ("overall", "disparities"):
        a, b = getattr(before, name), getattr(after, name)
        a, b = (a, b) if name == "overall" else (a["value"], b["value"])
        pd.testing.assert_series_equal(a, b, rtol=1e-12, atol=1e-12)


def test_signed_and_absolute_gaps_of_two_groups_differ_by_sign_only() -> None:
    counts = np.array([[[8, 2], [5, 5]], [[6, 4], [1, 9]]])
    for privileged, sign in ((1, -1), (0, 1)):
        value = evaluate(counts, privileged=privileged).disparities["value"]
        # Selected: 7 of 20 in group 0, 13 of 20 in group 1.
        assert value["statistical_parity_difference_signed"] == pytest.approx(sign * 0.3)
        assert value["demographic_parity_difference"] == pytest.approx(0.3)
        assert value["equal_opportunity_difference_signed"] == pytest.approx(sign * 0.4)
        assert value["average_odds_difference_signed"] == pytest.approx(sign * 0.3)
        assert value["average_odds_difference"] == pytest.approx(0.3)


def test_fairlearn_calls_a_missing_rate_zero_and_we_do_not() -> None:
    counts = np.array([[[5, 0], [0, 0]], [[5, 0], [0, 5]]])  # group 0 has no positives
    true, predicted, group = rows_of(counts)
    assert fl.equal_opportunity_difference(true, predicted, sensitive_features=group) == 1.0
    found = evaluate(counts)
    assert np.isnan(found.disparities.loc["equal_opportunity_difference", "value"])
    assert (
        "no positives in group 0" in found.disparities.loc["equal_opportunity_difference", "note"]
    )
    assert "no positives" in found.by_group.loc[0, "note"]
    assert np.isnan(found.metric_frame.by_group.loc[0, "true_positive_rate"])

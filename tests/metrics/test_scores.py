"""Score metrics against scikit-learn and plain arithmetic; the papers' thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from fairvision.exceptions import InputError
from fairvision.metrics import (
    Evaluation,
    calibrated_threshold,
    evaluate_predictions,
    paired_difference,
)
from fairvision.metrics.inputs import Options
from fairvision.metrics.job import read_job
from fairvision.metrics.scores import sort_scores


def sample(n: int = 400, seed: int = 0, digits: int | None = None) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    true = rng.integers(0, 2, n)
    score = 1 / (1 + np.exp(-(2 * true - 1 + 0.3 * group + rng.normal(size=n))))
    return true, score if digits is None else score.round(digits), group


def evaluate(true: Any, score: Any, group: Any, **options: Any) -> Evaluation:
    options = {"n_boot": 0, "metrics": "all"} | options
    return evaluate_predictions(
        true, (score > 0.5).astype(int), y_score=score, sensitive_features=group, **options
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([None, 1, 2]), st.booleans())
def test_auc_and_average_precision_equal_sklearns(
    seed: int, digits: int | None, weighted: bool
) -> None:
    true, score, group = sample(150, seed, digits)
    weight = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 2.5], 150) if weighted else None
    found = evaluate(
        true, score, group, sample_weight=weight, metrics=["roc_auc", "average_precision"]
    )
    for label in [None, 0, 1, 2]:
        rows = slice(None) if label is None else group == label
        row = found.overall if label is None else found.by_group.loc[label]
        options = {"sample_weight": None if weight is None else weight[rows]}
        counted = slice(None) if weight is None else weight[rows] > 0
        if len(np.unique(true[rows][counted])) < 2:  # scikit-learn warns here; we say undefined
            assert np.isnan(row["roc_auc"])
            continue
        for name, theirs in (
            ("roc_auc", sk.roc_auc_score),
            ("average_precision", sk.average_precision_score),
        ):
            expected = theirs(true[rows], score[rows], **options)
            assert row[name] == pytest.approx(expected, abs=1e-12)


def test_normalised_average_precision_does_not_depend_on_the_base_rate() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 4000), rng.normal(0, 1, 4000)
    # One and the same ranking; group 1 has a tenth of the positives.
    score = np.r_[positive, negative, positive[:400], negative]
    true = np.r_[np.ones(4000), np.zeros(4000), np.ones(400), np.zeros(4000)].astype(int)
    group = np.r_[np.zeros(8000), np.ones(4400)].astype(int)
    rows = evaluate(true, score, group).by_group
    assert rows.loc[0, "average_precision"] - rows.loc[1, "average_precision"] > 0.3
    normalised = rows["normalized_average_precision"]
    assert normalised[0] == pytest.approx(normalised[1], abs=0.02)


def test_normalised_average_precision_is_the_plain_one_over_all_rows() -> None:
    overall = evaluate(*sample()).overall
    assert overall["normalized_average_precision"] == pytest.approx(overall["average_precision"])


def test_ece_is_the_weighted_mean_gap_of_the_bins() -> None:
    true, score, group = sample()
    found = evaluate(true, score, group)
    bins = np.minimum((score * 15).astype(int), 14)
    for label, row in found.by_group.iterrows():
        gaps = [
            (part := (group == label) & (bins == b)).sum()
            * abs(true[part].mean() - score[part].mean())
            for b in np.unique(bins[group == label])
        ]
        assert row["ece"] == pytest.approx(sum(gaps) / (group == label).sum())
    curve = found.reliability()
    assert curve["n"].sum() == 400
    weighted = (curve["n"] * (curve["observed"] - curve["mean_score"]).abs()).groupby(
        curve["sensitive_feature"]
    )
    expected = weighted.sum() / found.by_group["n"]
    np.testing.assert_allclose(found.by_group["ece"].astype(float), expected)


def test_scores_that_are_no_probabilities_have_auc_but_no_ece() -> None:
    true, score, group = sample()
    logit = np.log(score / (1 - score))
    found = evaluate_predictions(
        true, (logit > 0).astype(int), y_score=logit, sensitive_features=group, n_boot=0
    )
    assert found.overall["roc_auc"] == pytest.approx(sk.roc_auc_score(true, score))
    assert np.isnan(found.overall["ece"])
    assert "probabilities" in found.overall_intervals.loc["ece", "note"]
    with pytest.raises(InputError, match="probabilities"):
        found.reliability()


def test_a_group_of_one_class_has_no_auc_and_no_gap() -> None:
    true, score, group = sample()
    true = np.where(group == 2, 1, true)
    found = evaluate(true, score, group)
    assert np.isnan(found.by_group.loc[2, "roc_auc"])
    assert np.isnan(found.disparities.loc["roc_auc_difference", "value"])
    assert found.disparities.loc["roc_auc_difference", "note"]
    assert np.isnan(found.disparities.loc["score_kl", "value"])
    assert found.by_group["average_precision"].notna().all()


@pytest.mark.slow
def test_score_intervals_cover_like_a_row_bootstrap_with_sklearn() -> None:
    true, score, group = sample(200)
    found = evaluate(true, score, group, n_boot=2000, random_state=0, metrics="roc_auc")
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(2000):
        rows = rng.integers(0, 200, 200)
        draws.append(sk.roc_auc_score(true[rows], score[rows]))
    ends = found.overall_intervals.loc["roc_auc", ["lower", "upper"]].astype(float)
    np.testing.assert_allclose(ends, np.quantile(draws, [0.025, 0.975]), atol=0.006)


@pytest.mark.parametrize("kind", ["even", "rare", "crowded", "weighted", "logits", "many groups"])
def test_draws_of_binned_scores_are_those_of_the_scores(kind: str) -> None:
    rng = np.random.default_rng(0)
    n = 20_000
    n_groups = 12 if kind == "many groups" else 2
    group = rng.integers(0, n_groups, n)
    true = rng.random(n) < (0.01 if kind == "rare" else 0.4)
    logit = 2 * true - 1 + 0.2 * group + rng.normal(size=n) * (1 + group)
    score = logit if kind == "logits" else 1 / (1 + np.exp(-logit))
    score = score**40 if kind == "crowded" else score  # nearly all of them at 0
    weight = rng.exponential(size=n) if kind == "weighted" else None
    options = Options(group, sample_weight=weight, metrics="all")
    job = read_job(true, [score > 0.5], [score], [None], options)
    exact = job.score_calculator(0, job.scores[0])
    rows = exact.source.rows
    value = exact(rows.gather(job.row_weights))
    binned = exact.binned(value)
    assert len(binned.source.rows) < len(rows)
    np.testing.assert_allclose(binned(binned.source.rows.gather(job.row_weights)), value, atol=1e-9)
    for _ in range(20):
        drawn = np.bincount(rng.integers(0, n, n), minlength=n) * job.row_weights
        a, b = exact(rows.gather(drawn)), binned(binned.source.rows.gather(drawn))
        error = dict(zip(exact.keys, np.abs(a - b), strict=True))
        assert max(e for e in error.values() if e == e) < 1e-3, error


def test_intervals_of_binned_scores_and_of_their_difference() -> None:
    true, score, group = sample(12_000)
    options: dict[str, Any] = {"sensitive_features": group, "random_state": 0, "metrics": "roc_auc"}
    found = evaluate(true, score, group, n_boot=300, metrics="roc_auc", random_state=0)
    ends = found.overall_intervals.loc["roc_auc", ["lower", "upper"]].astype(float)
    assert found.overall["roc_auc"] == pytest.approx(sk.roc_auc_score(true, score), abs=1e-12)
    assert ends["lower"] < found.overall["roc_auc"] < ends["upper"]
    assert ends["upper"] - ends["lower"] == pytest.approx(2 * 1.96 * 0.0025, rel=0.3)
    noisy = score + np.random.default_rng(1).normal(0, 1e-4, len(score))
    pair = paired_difference(
        true, score > 0.5, score > 0.5, y_score_a=score, y_score_b=noisy, n_boot=100, **options
    )
    row = pair.loc["roc_auc"]
    assert row["value"] == pytest.approx(
        sk.roc_auc_score(true, score) - sk.roc_auc_score(true, noisy), abs=1e-12
    )
    # The same rows are drawn for both: what differs is 1e-4 of a score.
    assert row["lower"] <= row["value"] <= row["upper"]
    assert row["upper"] - row["lower"] < 2e-4


def test_rows_that_are_alike_are_joined_and_count_the_same() -> None:
    true, score, group = sample(digits=1)
    twice = [np.r_[column, column] for column in (true, score, group)]
    cells = sort_scores(twice[2], 3, twice[0] == 1, twice[1], None)
    assert len(cells) < 3 * 2 * 11 + 1
    assert cells.rows.sum() == 800
    once, double = evaluate(true, score, group), evaluate(*twice)
    np.testing.assert_allclose(once.disparities["value"], double.disparities["value"], rtol=1e-9)


def test_kl_is_0_for_equal_groups_and_sees_a_shifted_and_rescaled_copy() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=5000)
    true = np.tile([0, 1], 5000)
    group = np.repeat([0, 1], 5000)
    same = evaluate(true, np.r_[score, score], group).disparities.loc["score_kl", "value"]
    moved = evaluate(true, np.r_[score, 2 * score + 3], group)
    assert same == pytest.approx(0, abs=1e-12)
    # Histograms over each group's own range would coincide.
    assert moved.disparities.loc["score_kl", "value"] > 2


def test_calibrated_threshold_predicts_as_many_as_there_are() -> None:
    true, score, _ = sample(1001)
    threshold = calibrated_threshold(true, score)
    assert (score >= threshold).sum() == true.sum()
    assert threshold == np.sort(score)[-true.sum()]


@pytest.mark.parametrize(
    ("true", "predicted"),
    [([0, 0, 0, 0], 0), ([1, 1, 1, 1], 4), ([1, 0, 0, 0], 0), ([1, 1, 1, 0], 4)],
)
def test_calibrated_threshold_of_ties_takes_the_nearest_count(
    true: list[int], predicted: int
) -> None:
    score = np.full(4, 0.5)
    assert (score >= calibrated_threshold(true, score)).sum() == predicted


def test_deo_is_the_miss_rate_gap_at_the_calibrated_threshold() -> None:
    true, score, group = sample()
    at = score >= calibrated_threshold(true, score)
    misses = [1 - at[(group == g) & (true == 1)].mean() for g in range(3)]
    found = evaluate(true, score, group, n_boot=50, random_state=0).disparities.loc["deo"]
    assert found["value"] == pytest.approx(max(misses) - min(misses))
    assert found["lower"] < found["upper"]
    fixed = evaluate(true, score, group, threshold=-1.0).disparities.loc["deo", "value"]
    assert fixed == 0.0  # everyone predicted positive


def test_pos_label_picks_the_column_of_scores_and_turns_the_auc() -> None:
    true, score, group = sample()
    both = np.stack([1 - score, score], axis=1)
    options: dict[str, Any] = {"sensitive_features": group, "n_boot": 0, "y_score": both}
    predicted = (score > 0.5).astype(int)
    one = evaluate_predictions(true, predicted, **options)
    zero = evaluate_predictions(true, predicted, pos_label=0, **options)
    assert one.overall["roc_auc"] == pytest.approx(zero.overall["roc_auc"])
    assert one.overall["base_rate"] == pytest.approx(1 - zero.overall["base_rate"])
    swapped = evaluate_predictions(true, predicted, score_labels=[1, 0], **options)
    assert swapped.overall["roc_auc"] == pytest.approx(1 - one.overall["roc_auc"])


def test_many_classes_have_the_calibration_of_the_largest_probability_only() -> None:
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(4), 20000)
    true = (probability.cumsum(1) > rng.random(20000)[:, None]).argmax(1)
    predicted, group = probability.argmax(1), rng.integers(0, 2, 20000)
    found = evaluate_predictions(
        true, predicted, y_score=probability, sensitive_features=group, n_boot=0
    )
    assert found.overall["ece"] < 0.02  # drawn from these very probabilities
    assert "roc_auc" not in found.overall
    with pytest.raises(InputError, match="pos_label"):
        evaluate_predictions(
            true, predicted, y_score=probability, sensitive_features=group, metrics=["roc_auc"]
        )


@pytest.mark.parametrize(
    ("score", "word"),
    [([0.1, np.nan], "not finite"), ([0.1], "2 rows"), (np.ones((2, 3)), "3 columns")],
)
def test_unusable_scores_are_refused(score: Any, word: str) -> None:
    with pytest.raises(InputError, match=word):
        evaluate_predictions([0, 1], [0, 1], y_score=score, sensitive_features=[0, 1])

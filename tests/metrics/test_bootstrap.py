"""Intervals: the same distribution as a bootstrap of rows, and the same ends as SciPy's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fairvision.base import as_generator
from fairvision.exceptions import InputError
from fairvision.metrics import evaluate_predictions
from fairvision.metrics.bootstrap import Bootstrap, draw_counts, estimate


def sample(n: int = 300, seed: int = 0, groups: int = 3) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    true = rng.random(n) < 0.3 + 0.1 * group
    predicted = np.where(rng.random(n) < 0.8, true, ~true)
    return true.astype(int), predicted.astype(int), group


def gap(rows: Any, true: Any, predicted: Any, group: Any) -> float:
    right = (true == predicted)[rows]
    rates = [right[group[rows] == g].mean() for g in np.unique(group)]
    return max(rates) - min(rates)


def test_cell_bootstrap_has_the_distribution_of_a_row_bootstrap() -> None:
    true, predicted, group = sample()
    rng = np.random.default_rng(1)
    n = len(true)
    rows = [gap(rng.integers(0, n, n), true, predicted, group) for _ in range(2000)]
    cells: list[float] = []

    kind = np.unique(group * 2 + (true == predicted), return_inverse=True)[1]

    def measure(amounts: Any) -> Any:
        table = amounts.reshape(*amounts.shape[:-1], 3, 2)
        rate = table[..., 1] / table.sum(-1)
        value = (rate.max(-1) - rate.min(-1))[..., None]
        cells.extend(np.atleast_1d(value[..., 0]).tolist())
        return value

    counts = np.bincount(kind)
    estimate(measure, counts, np.ones(6), Bootstrap(2000), np.random.default_rng(2))
    # Two samples of one distribution: the test would reject one in 10,000 times.
    assert stats.ks_2samp(rows, cells[1:]).pvalue > 1e-4


@pytest.mark.parametrize("rows", [np.array([50, 30, 20]), np.ones(100, dtype=int)])
def test_draws_of_many_and_of_single_rows_are_multinomial(rows: np.ndarray) -> None:
    draws = draw_counts(np.random.default_rng(0), rows, 4000)
    assert (draws.sum(1) == rows.sum()).all()
    share = rows / rows.sum()
    np.testing.assert_allclose(draws.mean(0), rows, atol=5 * np.sqrt(rows.max() / 4000))
    variance = rows.sum() * share * (1 - share)
    np.testing.assert_allclose(draws.var(0), variance, rtol=0.2)


def test_weighted_rows_have_the_distribution_of_a_row_bootstrap() -> None:
    true, predicted, group = sample(200, groups=2)
    weight = np.random.default_rng(3).choice([0.5, 1.0, 4.0], 200)
    found = evaluate_predictions(
        true,
        predicted,
        sensitive_features=group,
        sample_weight=weight,
        metrics="accuracy",
        n_boot=4000,
        random_state=0,
    )
    rng, right = np.random.default_rng(4), (true == predicted)
    draws = []
    for _ in range(4000):
        rows = rng.integers(0, 200, 200)
        draws.append(np.average(right[rows], weights=weight[rows]))
    ends = found.overall_intervals.loc["accuracy", ["lower", "upper"]].astype(float)
    np.testing.assert_allclose(ends, np.quantile(draws, [0.025, 0.975]), atol=0.006)


@pytest.mark.parametrize(("kind", "method"), [("percentile", "percentile"), ("bca", "BCa")])
def test_intervals_equal_scipys(kind: str, method: str) -> None:
    rng = np.random.default_rng(0)
    right = rng.random(60) < 0.9
    found = evaluate_predictions(
        np.ones(60, int), right.astype(int), sensitive_features=np.zeros(60),
        metrics="accuracy", n_boot=9999, interval=kind, random_state=0,
    )  # fmt: skip
    theirs = stats.bootstrap((right,), np.mean, n_resamples=9999, method=method, rng=1)
    ours = found.overall_intervals.loc["accuracy", ["lower", "upper"]].astype(float)
    np.testing.assert_allclose(ours, theirs.confidence_interval, atol=0.018)


def test_bca_equals_scipys_on_a_skewed_ratio_with_many_kinds_of_rows() -> None:
    rng = np.random.default_rng(5)
    values = rng.lognormal(size=700)  # more kinds than are left out one by one

    def measure(amounts: Any) -> Any:
        return ((amounts * values**2).sum(-1) / (amounts * values).sum(-1))[..., None]

    ones = np.ones(700)
    found = estimate(measure, ones.astype(int), ones, Bootstrap(4000, kind="bca"), rng)
    plain = estimate(measure, ones.astype(int), ones, Bootstrap(4000), rng)
    theirs = stats.bootstrap(
        (values,),
        lambda v, axis: (v**2).sum(axis) / v.sum(axis),
        n_resamples=4000,
        method="BCa",
        rng=6,
    ).confidence_interval
    shift = theirs.high - plain.upper[0]
    assert shift > 0.3  # what the skew asks for, and what a percentile interval misses
    assert found.lower[0] == pytest.approx(theirs.low, abs=0.1)
    assert found.upper[0] == pytest.approx(theirs.high, abs=0.3 * shift)


@pytest.mark.slow
def test_percentile_interval_covers_at_its_level() -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        true = rng.integers(0, 2, 400)
        predicted = np.where(rng.random(400) < 0.8, true, 1 - true)
        found = evaluate_predictions(
            true,
            predicted,
            sensitive_features=rng.integers(0, 2, 400),
            metrics="accuracy",
            n_boot=200,
            level=0.9,
            random_state=seed,
        )
        row = found.overall_intervals.loc["accuracy"]
        covered += row["lower"] <= 0.8 <= row["upper"]
    assert 165 <= covered <= 195  # 180 expected, standard deviation 4.2


def test_same_seed_same_numbers_and_no_global_state() -> None:
    true, predicted, group = sample()
    legacy, python = np.random.get_state(), random.getstate()  # noqa: NPY002 it must not change
    results = [
        evaluate_predictions(true, predicted, sensitive_features=group, random_state=seed)
        for seed in (7, 7, np.random.default_rng(7), 8)
    ]
    ends = [r.disparities[["lower", "upper"]].to_numpy() for r in results]
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])
    assert (ends[0] != ends[3]).any()
    after = np.random.get_state()  # noqa: NPY002
    assert legacy[2] == after[2]
    np.testing.assert_array_equal(legacy[1], after[1])
    assert python == random.getstate()


def test_random_states_of_every_kind() -> None:
    for state in (3, np.random.default_rng(3), np.random.RandomState(3), None):
        assert isinstance(as_generator(state), np.random.Generator)
    first, second = (as_generator(np.random.RandomState(3)).random() for _ in range(2))
    assert first == second


def test_a_draw_that_leaves_a_rate_undefined_is_counted_in_the_note() -> None:
    # One positive in group 1: a third of the draws miss it.
    true = np.array([0, 1] * 20 + [1] + [0] * 19)
    group = np.array([0] * 40 + [1] * 20)
    found = evaluate_predictions(true, true, sensitive_features=group, random_state=0)
    row = found.disparities.loc["equal_opportunity_difference"]
    assert row["value"] == row["lower"] == row["upper"] == 0
    times = int(row["note"].split()[2])
    assert 300 < times < 440  # 1000 / e, within four standard deviations


def test_an_interval_mostly_undefined_is_undefined() -> None:
    def measure(amounts: Any) -> Any:
        return np.where(amounts[..., :1] > 1, amounts[..., :1], np.nan)

    rows = np.array([2, 98])
    found = estimate(measure, rows, np.ones(2), Bootstrap(500), np.random.default_rng(0))
    assert found.value[0] == 2
    assert 0.3 < found.undefined[0] < 0.5
    assert found.lower[0] >= 2
    rare = estimate(
        lambda a: np.where(a[..., :1] == 4, 1.0, np.nan),
        np.array([4, 96]),
        np.ones(2),
        Bootstrap(500),
        np.random.default_rng(0),
    )
    assert rare.value[0] == 1
    assert rare.undefined[0] > 0.5
    assert np.isnan(rare.lower[0])


def test_no_draws_no_intervals() -> None:
    true, predicted, group = sample()
    found = evaluate_predictions(true, predicted, sensitive_features=group, n_boot=0)
    assert found.disparities["value"].notna().all()
    assert found.disparities[["lower", "upper"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"n_boot": -1}, "n_boot"), ({"level": 95}, "level"), ({"interval": "normal"}, "interval")],
)
def test_unusable_options_are_named(options: dict[str, Any], word: str) -> None:
    true, predicted, group = sample()
    with pytest.raises(InputError, match=word):
        evaluate_predictions(true, predicted, sensitive_features=group, **options)

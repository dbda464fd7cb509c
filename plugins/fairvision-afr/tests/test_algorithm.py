"""The rows' weights and the new last layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from fairvision_afr._algorithm import (
    change,
    correct_probability,
    mean_over_classes,
    retrain,
    row_weights,
)


@pytest.mark.parametrize(("kind", "ratio"), [("power", 8.0), ("exponential", np.exp(1.5))])
def test_weights_fall_with_the_probability_and_balance_the_classes(kind: Any, ratio: float) -> None:
    correct, targets = np.array([0.0, 0.5, 1.0, 1.0, 1.0]), np.array([0, 0, 2, 2, 2])
    weights = row_weights(correct, targets, 3.0, kind)
    assert weights[0] / weights[1] == pytest.approx(ratio)
    assert weights[:2].sum() == pytest.approx(0.5)
    np.testing.assert_allclose(weights[2:], 1 / 6)
    np.testing.assert_allclose(row_weights(correct, targets, 0.0, kind)[:2], 0.25)


def test_rows_that_no_other_row_explains_stay_wrong() -> None:
    rng = np.random.default_rng(0)
    y, rare = np.arange(400) % 2, np.arange(400) % 10 < 2
    biased = np.where(rare, 1 - y, y) * 4.0 + rng.normal(size=(3, 400))
    rule = y * 3.0 + rng.normal(size=400)
    weights = row_weights(np.where(rare, 0.1, 0.9), y, 1.5, "power")
    gained = change(np.vstack([biased, rule]).T, y, weights, 1, 4e-4, 0)
    assert mean_over_classes(gained[rare], y[rare]) > 0.1
    chance = change(rng.normal(size=(400, 20)), y, weights, 1, 4e-4, 0)
    assert mean_over_classes(chance[rare], y[rare]) < 0.05


def test_a_mean_over_classes() -> None:
    assert mean_over_classes(np.array([1.0, 0, 0, 1]), np.array([0, 0, 0, 2])) == pytest.approx(
        2 / 3
    )
    assert mean_over_classes(np.empty(0), np.empty(0, dtype=np.int64)) == 0


@pytest.mark.parametrize("n_outputs", [1, 2, 3])
def test_a_large_regularization_keeps_the_first_layer(n_outputs: int) -> None:
    rng = np.random.default_rng(0)
    X, first = rng.normal(3, 2, (60, 4)), (rng.normal(size=(n_outputs, 4)), np.ones(n_outputs))
    y = np.arange(60) % max(n_outputs, 2)
    weights = np.full(60, 1 / 60)
    kept = retrain(X, y, weights, first, 1e6)
    for new, old in zip(kept, first, strict=True):
        assert new.shape == old.shape
        np.testing.assert_allclose(new, old, atol=1e-4)
    moved = retrain(X, y, weights, first, 1e-3)
    assert np.abs(moved[0] - first[0]).max() > 0.1


def test_from_zero_it_is_scikit_learns_logistic_regression(balanced: Any) -> None:
    """Whose C is 1 / (2 n lambda) for weights of 1 / n; it does not penalize the bias."""
    X, y, n, strength = balanced.X, balanced.y, len(balanced.y), 0.01
    zero = np.zeros((1, X.shape[1])), np.zeros(1)
    weight, _ = retrain(X, y, np.full(n, 1 / n), zero, strength / X.shape[1])
    scaler = StandardScaler().fit(X)
    model = LogisticRegression(C=1 / (2 * n * strength), tol=1e-8, max_iter=1000)
    model.fit(scaler.transform(X), y)
    np.testing.assert_allclose(weight * scaler.scale_, model.coef_, atol=2e-3)


def test_probabilities_come_from_other_rows() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    correct = correct_probability(rng.normal(size=(60, 100)), y, 0)
    assert 0.2 < (correct > 0.5).mean() < 0.8  # a layer that had seen the rows would know them


def test_probabilities_of_three_classes_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    correct = correct_probability(np.eye(3)[y] + rng.normal(0, 0.8, (300, 3)), y, 0)
    assert correct.min() > 0
    assert correct.mean() == pytest.approx((correct > 0.5).mean(), abs=0.1)

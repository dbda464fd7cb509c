"""Balanced draws, and the layer that is the mean of logistic regressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairvision_dfr._algorithm import balanced_rows, retrain, with_outputs


def layer(rows: Any, seed: int = 0, **params: Any) -> Any:
    cells = 2 * rows.y + (rows.groups == "b")
    given: dict[str, Any] = {"C": 0.1, "penalty": "l2", "n_draws": 1} | params
    return retrain(rows.X, rows.y, cells, rng=np.random.default_rng(seed), **given)


def test_a_draw_has_as_many_rows_of_every_cell() -> None:
    cells = np.repeat([0, 1, 4], [7, 3, 50])
    draws = [balanced_rows(cells, np.random.default_rng(seed)) for seed in range(2)]
    for rows in draws:
        assert np.bincount(cells[rows]).tolist() == [3, 3, 0, 0, 3]
        assert len(set(rows)) == len(rows)
    assert draws[0].tolist() != draws[1].tolist()


def test_one_draw_of_balanced_rows_is_scikit_learns_logistic_regression(balanced: Any) -> None:
    weight, bias = layer(balanced)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    expected = reference.fit(balanced.X, balanced.y).decision_function(balanced.X)
    np.testing.assert_allclose(balanced.X @ weight[0] + bias, expected, rtol=1e-9, atol=1e-9)


def test_the_layer_is_the_mean_over_draws(biased: Any) -> None:
    rng = np.random.default_rng(3)
    cells = 2 * biased.y + (biased.groups == "b")
    same = {"C": 0.1, "penalty": "l2", "n_draws": 1, "rng": rng}
    singles = [retrain(biased.X, biased.y, cells, **same) for _ in range(3)]
    weight, bias = layer(biased, seed=3, n_draws=3)
    np.testing.assert_allclose(weight, np.mean([w for w, _ in singles], axis=0))
    np.testing.assert_allclose(bias, np.mean([b for _, b in singles], axis=0))


def test_the_spurious_direction_loses_its_weight(biased: Any) -> None:
    plain = LogisticRegression().fit(biased.X, biased.y).coef_[0]
    assert plain[1] > 0.3 * plain[0]
    weight = layer(biased, n_draws=10)[0][0]
    assert abs(weight[1]) < 0.1 * weight[0]


def test_l1_leaves_only_what_helps(balanced: Any) -> None:
    weight = layer(balanced, penalty="l1", C=0.03)[0][0]
    assert weight[0] > 0
    assert np.count_nonzero(weight) <= 2


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_three_classes_have_three_outputs(penalty: str) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    X = rng.normal(0, 0.3, (150, 3)) + np.eye(3)[y]
    weight, bias = retrain(X, y, y, C=1.0, penalty=penalty, n_draws=2, rng=rng)  # type: ignore[arg-type]
    assert weight.shape == (3, 3)
    assert ((X @ weight.T + bias).argmax(1) == y).mean() > 0.9


def test_one_output_becomes_two_with_the_same_odds() -> None:
    weight, bias = np.array([[1.0, -2.0]]), np.array([0.5])
    two, biases = with_outputs(weight, bias, 2)
    np.testing.assert_allclose(two[1] - two[0], weight[0])
    assert biases[1] - biases[0] == 0.5
    assert with_outputs(weight, bias, 1)[0] is weight

"""Under the weights, target and group are independent."""

from __future__ import annotations

import numpy as np
import pytest

from fairvision.base import independence_weights
from fairvision.toolkits import Reweighing


def shares(labels: np.ndarray, weights: np.ndarray) -> list[float]:
    return (np.bincount(labels, weights) / weights.sum()).tolist()


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    groups = (rng.random(4000) < 0.4).astype(int)
    return np.where(rng.random(4000) < 0.9, groups, 1 - groups), groups


def test_groups_have_the_same_shares_in_every_class(rows) -> None:
    y, a = rows
    weights = independence_weights(y, a)
    assert weights.sum() == pytest.approx(4000)
    for label in (0, 1):
        assert shares(a[y == label], weights[y == label]) == pytest.approx(shares(a, a * 0 + 1.0))
        assert shares(y[a == label], weights[a == label]) == pytest.approx(shares(y, y * 0 + 1.0))


def test_they_are_those_of_aif360(rows) -> None:
    y, a = rows
    images = np.zeros((len(y), 1, 1, 1), np.uint8)
    toolkit = Reweighing().fit(images, y, sensitive_features=a)
    np.testing.assert_allclose(independence_weights(y, a), toolkit.sample_weight_)


def test_several_columns_are_independent_of_the_target_and_of_each_other() -> None:
    rng = np.random.default_rng(0)
    y, a, b = rng.integers(0, 2, (3, 3000))
    b = np.where(rng.random(3000) < 0.7, y & a, b)
    weights = independence_weights(y, np.column_stack([a, b]))
    cells = [weights[(y == i) & (a == j) & (b == k)].sum() for i, j, k in np.ndindex(2, 2, 2)]
    means = [np.mean(column) for column in (y, a, b)]
    expected = [
        np.prod([m if bit else 1 - m for m, bit in zip(means, bits, strict=True)])
        for bits in np.ndindex(2, 2, 2)
    ]
    np.testing.assert_allclose(np.array(cells) / weights.sum(), expected)


def test_equal_groups_leave_out_a_class_with_a_single_group() -> None:
    y = np.repeat(["a", "b", "c"], [100, 200, 50])
    a = np.concatenate([np.arange(100) < 10, np.arange(200) < 150, np.zeros(50)]).astype(int)
    weights = independence_weights(y, a, equal_groups=True)
    for label, total in {"a": 100, "b": 200}.items():
        assert shares(a[y == label], weights[y == label]) == pytest.approx([0.5, 0.5])
        assert weights[y == label].sum() == pytest.approx(total)
    assert (weights[y == "c"] == 0).all()
    assert not independence_weights(y, y, equal_groups=True).any()


@pytest.mark.parametrize("equal_groups", [False, True])
def test_a_row_of_weight_2_counts_twice_and_one_of_weight_0_not_at_all(equal_groups) -> None:
    y, a = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 1, 0, 1, 2])
    amount = np.array([2, 1, 1, 1, 2, 0])
    repeated = np.repeat(np.arange(6), amount)
    weights = independence_weights(y, a, amount, equal_groups=equal_groups)
    expected = independence_weights(y[repeated], a[repeated], equal_groups=equal_groups)
    np.testing.assert_allclose(weights[repeated], expected)
    assert weights[5] == 0

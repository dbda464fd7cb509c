"""Normalised mutual information against scikit-learn's, and at its ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from fairvision.cards import associations
from fairvision.cards.associations import coded


def one(a: np.ndarray, b: np.ndarray, n_boot: int = 300) -> pd.Series:
    table = pd.DataFrame({"a": a, "b": b})
    rng = np.random.default_rng(0)
    return associations(table, [("a", "b")], n_boot=n_boot, rng=rng).iloc[0]


@pytest.mark.parametrize("levels", [2, 3, 12])
def test_value_is_scikit_learns(levels: int) -> None:
    rng = np.random.default_rng(levels)
    a = rng.integers(0, levels, 300)
    b = np.where(rng.random(300) < 0.4, a % 2, rng.integers(0, 2, 300))
    expected = adjusted_mutual_info_score(a, b, average_method="min")
    assert one(a, b)["value"] == pytest.approx(expected, abs=1e-9)


def test_independent_columns_read_about_zero() -> None:
    rng = np.random.default_rng(0)
    rows = [one(rng.integers(0, 6, 120), rng.integers(0, 5, 120)) for _ in range(40)]
    values = pd.DataFrame(rows)
    assert abs(values["value"].mean()) < 0.01
    assert ((values["lower"] <= 0) & (values["upper"] >= 0)).mean() >= 0.95


def test_a_column_that_determines_the_other_reads_one() -> None:
    a = np.arange(200) % 7
    row = one(a, (a > 3).astype(np.int64))
    assert row[["value", "lower", "upper"]].tolist() == pytest.approx([1, 1, 1])


def test_intervals_hold_the_truth() -> None:
    rng, held = np.random.default_rng(0), 0
    truth = 1 + (0.8 * np.log(0.8) + 0.2 * np.log(0.2)) / np.log(2)
    for _ in range(60):
        a = rng.integers(0, 2, 300)
        row = one(a, np.where(rng.random(300) < 0.8, a, 1 - a), n_boot=200)
        held += row["lower"] <= truth <= row["upper"]
    assert held >= 52


def test_without_draws_there_is_no_interval() -> None:
    row = one(np.arange(40) % 2, np.arange(40) % 4, n_boot=0)
    assert np.isnan(row["lower"])
    assert row["value"] == pytest.approx(1)


def test_columns_become_codes() -> None:
    table = pd.DataFrame(
        {
            "age": np.arange(100.0),
            "name": [f"file {i}" for i in range(100)],
            "constant": 1,
            "sex": ["f", "m", None, "f"] * 25,
        }
    )
    codes, left_out = coded(table)
    assert list(codes) == ["age (5 bins)", "sex"]
    assert left_out == ["name"]
    assert np.bincount(codes["age (5 bins)"]).tolist() == [20] * 5
    assert codes["sex"].nunique() == 3  # a missing value is a value

"""Many classes: draws of the pairs of labels that occur give what tables of all pairs give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairvision.metrics import cells, evaluate_predictions, paired_difference


def rows(n: int, n_classes: int, n_groups: int = 3) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(0)
    true = rng.integers(0, n_classes, n)
    guesses = [np.where(rng.random(n) < 0.7, true, rng.integers(0, n_classes, n)) for _ in "ab"]
    return true, *guesses, rng.integers(0, n_groups, n)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pos_label": 2, "privileged": 1},
        {"sample_weight": np.random.default_rng(1).exponential(size=120).round(1)},
        {"train": (np.arange(120) % 5, np.arange(120) % 3), "min_support": 41},
    ],
)
def test_pairs_give_the_numbers_of_whole_tables(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    true, a, b, group = rows(120, 5)
    options = {"sensitive_features": group, "n_boot": 50, "random_state": 0, **options}
    pair = {k: v for k, v in options.items() if k != "train"}

    def numbers() -> list[pd.DataFrame]:
        found = evaluate_predictions(true, a, metrics="all", interval="bca", **options)
        return [found.estimates, paired_difference(true, a, b, **pair)]

    whole = numbers()
    monkeypatch.setattr(cells, "_MAX_CLASSES", 1)
    for left, right in zip(whole, numbers(), strict=True):
        pd.testing.assert_frame_equal(left, right, rtol=1e-9, atol=1e-12)


def test_a_thousand_classes_have_intervals() -> None:
    true, a, _, group = rows(3000, 1000, 2)
    found = evaluate_predictions(
        true, a, sensitive_features=group, labels=range(1000), n_boot=100, random_state=0
    )
    lower, upper = found.overall_intervals.loc["accuracy", ["lower", "upper"]]
    assert lower < found.overall["accuracy"] == (true == a).mean() < upper
    assert upper - lower < 0.05
    # A class without rows in a group leaves its recall open; the note names some, not all.
    note = found.disparities.loc["worst_group_accuracy", "note"]
    assert "no rows of class" in note
    assert "more" in note
    assert len(note) < 1000

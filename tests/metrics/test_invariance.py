"""What must not matter to a number: the order of rows, what labels are called, copies of all rows.

Every metric of the catalogue, those that read scores and those with a sign among them. Labels
that decide a sign are named: `pos_label` and `privileged` go along when they are renamed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hostile import times as cases
from hypothesis import given
from hypothesis import strategies as st

from fairvision.metrics import Evaluation, available_metrics, evaluate_predictions
from fairvision.metrics.catalog import METRICS

MANY = cases(30)
#: They read which class sorts with which group, and say so.
BY_ORDER = ["extreme-1-accuracy", "extreme-2-accuracy"]
SCORES = [0.0, 0.05, 0.2, 1 / 3, 0.5, 0.5000000001, 0.7, 0.9, 1.0]


@st.composite
def samples(draw: Any, n_classes: int = 2) -> dict[str, Any]:
    """Rows with labels, predictions, groups, scores that tie, and weights or none."""
    n = draw(st.integers(2, 40))
    column = lambda values: draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    groups = st.integers(0, draw(st.integers(1, 4)))
    weights = st.sampled_from([0.1, 0.25, 1.0, 3.0, 1 / 3]) if draw(st.booleans()) else None
    return {
        "true": np.array(column(st.integers(0, n_classes - 1))),
        "predicted": np.array(column(st.integers(0, n_classes - 1))),
        "group": np.array([0, 1, *column(groups)[2:]]),
        "score": np.array(column(st.sampled_from(SCORES))) * draw(st.sampled_from([1.0, 7.0])),
        "weight": None if weights is None else np.array(column(weights)),
    }


def run(
    sample: dict[str, Any],
    rows: Any = slice(None),
    classes: Any = (0, 1),
    groups: Any = (0, 1, 2, 3, 4),
    positive: bool = True,
) -> Evaluation:
    """Evaluate some rows, with labels and groups called something."""
    classes, groups = np.array(classes), np.array(groups)
    weight = sample["weight"]
    return evaluate_predictions(
        classes[sample["true"][rows]],
        classes[sample["predicted"][rows]],
        sensitive_features=groups[sample["group"][rows]],
        y_score=sample["score"][rows],
        sample_weight=None if weight is None else weight[rows],
        labels=classes,
        pos_label=classes[1] if positive else None,
        privileged=groups[0] if positive else None,
        metrics="all",
        n_boot=0,
    )


def same(
    before: Evaluation, after: Evaluation, groups: Any = (0, 1, 2, 3, 4), times: int = 1
) -> None:
    """Every value to 1e-12, undefined ones included; rows of groups in the order of old names."""
    close = {"rtol": 1e-12, "atol": 1e-12}
    pd.testing.assert_series_equal(before.overall, after.overall, **close)
    gaps = [e.disparities["value"].drop(BY_ORDER, errors="ignore") for e in (before, after)]
    pd.testing.assert_series_equal(*gaps, **close)
    rates = [c for c in before.by_group.columns if c not in ("note", "n", "positives", "negatives")]
    renamed = after.by_group.loc[[groups[old] for old in before.groups]]
    np.testing.assert_allclose(renamed[rates], before.by_group[rates], **close)
    assert (renamed["n"].to_numpy() == times * before.by_group["n"].to_numpy()).all()


@MANY
@given(samples(), st.randoms(use_true_random=False))
def test_the_order_of_rows(sample: dict[str, Any], random: Any) -> None:
    n = len(sample["true"])
    same(run(sample), run(sample, np.array(random.sample(range(n), n))))


@MANY
@given(samples(), st.permutations(["", "b", "<x>", "Z", "9", "é"]))
def test_what_labels_are_called(sample: dict[str, Any], names: list[str]) -> None:
    """Also where the names sort the other way round."""
    same(run(sample), run(sample, classes=names[:2]))


@MANY
@given(samples(), st.permutations(["b", "A", "<x>", "10", "9", "ж"]))
def test_what_groups_are_called(sample: dict[str, Any], names: list[str]) -> None:
    same(run(sample), run(sample, groups=names[:5]), groups=names)


@MANY
@given(samples(), st.integers(2, 5), st.booleans())
def test_copies_of_all_rows(sample: dict[str, Any], times: int, apart: bool) -> None:
    rows = np.arange(len(sample["true"]))
    rows = np.tile(rows, times) if apart else np.repeat(rows, times)
    same(run(sample), run(sample, rows), times=times)


@MANY
@given(samples(n_classes=3), st.permutations(["b", "A", "c"]), st.permutations(list("zyxwv")))
def test_all_at_once_with_three_classes(
    sample: dict[str, Any], classes: list[str], groups: list[str]
) -> None:
    """Without a positive class: the score is the confidence in the predicted class."""
    rows = np.tile(np.arange(len(sample["true"]))[::-1], 2)
    before = run(sample, classes=(0, 1, 2), positive=False)
    after = run(sample, rows, classes=classes, groups=groups, positive=False)
    same(before, after, groups=groups, times=2)


def test_every_metric_of_the_catalogue_is_among_them() -> None:
    rng = np.random.default_rng(0)
    sample = {
        "true": rng.integers(0, 2, 200), "predicted": rng.integers(0, 2, 200),
        "group": rng.integers(0, 3, 200), "score": rng.random(200), "weight": None,
    }  # fmt: skip
    found = run(sample)
    shown = {*found.overall.index, *found.disparities.index, *found.by_group.columns}
    assert shown >= set(available_metrics())
    assert len(available_metrics()) > 100
    assert found.disparities["value"].drop(BY_ORDER, errors="ignore").notna().all()


SIGNED = [name for name, spec in METRICS.items() if spec.needs_privileged]


@pytest.mark.parametrize("name", SIGNED)
def test_a_sign_follows_the_group_that_is_named_and_not_the_order_of_names(name: str) -> None:
    rng = np.random.default_rng(1)
    true, group = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    predicted = np.where(rng.random(400) < 0.6 + 0.3 * group, true, 1)

    def value(names: tuple[str, str], privileged: str) -> float:
        found = evaluate_predictions(
            true, predicted, sensitive_features=np.array(names)[group], privileged=privileged,
            metrics=[name], n_boot=0,
        )  # fmt: skip
        return float(found.disparities.loc[name, "value"])

    assert value(("a", "b"), "a") == pytest.approx(value(("b", "a"), "b"), abs=1e-12)
    other = value(("a", "b"), "b")
    expected = 1 / other if name == "disparate_impact" else -other
    assert value(("a", "b"), "a") == pytest.approx(expected, abs=1e-12)


def test_without_a_name_the_last_label_in_sorted_order_is_the_positive_class() -> None:
    """The one place where what labels are called decides: `pos_label` takes it out of play."""
    true, predicted, group = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), [0, 0, 1, 1]
    for names, positive in ((("no", "yes"), "yes"), (("y", "n"), "y")):
        classes = np.array(names)
        found = evaluate_predictions(
            classes[true], classes[predicted], sensitive_features=group, n_boot=0
        )
        assert found.pos_label == positive

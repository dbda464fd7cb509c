"""Labels: one column, none missing, whatever holds them; and every door that they come through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.base import (
    Resampled,
    ScoreMixin,
    check_groups,
    check_labels,
    code_labels,
    independence_weights,
)
from fairvision.datasets import biased_split
from fairvision.exceptions import InputError
from fairvision.metrics import calibrated_threshold, evaluate_predictions, leakage
from fairvision.toolkits import (
    BalancedSampling,
    ExponentiatedGradientClassifier,
    Reweighing,
    ThresholdOptimizedClassifier,
)

TEXT = ["yes", "no", "no", "yes", "no", "yes"]
MISSING = {
    "None among text": np.array([*TEXT[:4], None, "yes"], dtype=object),
    "NaN in a list of text": [*TEXT[:4], float("nan"), "yes"],
    "NaN that numpy made text": np.array([*TEXT[:4], float("nan"), "yes"]),
    "NA in a Series": pd.Series([*TEXT[:4], pd.NA, "yes"], dtype="string"),
    "NA among integers": pd.Series([1, 0, 0, 1, None, 1], dtype="Int64"),
    "NaN among floats": np.array([1, 0, 0, 1, np.nan, 1]),
    "an empty category": pd.Series([*TEXT[:4], None, "yes"], dtype="category"),
    "no time": np.array(
        ["2020-01-01", "2021-01-01", "2020-01-01", "2021-01-01", "NaT", "2020"], "M8[D]"
    ),
}
X, A = np.zeros((6, 1, 24, 24), dtype=np.uint8), ["a", "b", "a", "b", "a", "b"]


class Constant(ScoreMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Constant:
        self.classes_ = np.array(["no", "yes"])
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), "yes")


DOORS: dict[str, Callable[[Any], Any]] = {
    "check_labels": check_labels,
    "groups": lambda y: check_groups(y, 6),
    "groups in a dict": lambda y: check_groups({"a": y}, 6),
    "weights": lambda y: independence_weights(y, A),
    "weights of groups": lambda y: independence_weights(A, y),
    "reweighing": lambda y: Reweighing().fit(X, y, sensitive_features=A),
    "balanced-sampling": lambda y: BalancedSampling().fit(X, y, sensitive_features=A),
    "threshold-optimizer": lambda y: ThresholdOptimizedClassifier().fit(X, y, sensitive_features=A),
    "exponentiated-gradient": lambda y: ExponentiatedGradientClassifier().fit(
        X, y, sensitive_features=A
    ),
    "erm": lambda y: fv.make("erm").fit(X, y),
    "a sampler of imbalanced-learn": lambda y: Resampled(_Picker(), Constant()).fit(X, y),
    "score": lambda y: Constant().fit(X, TEXT).score(X, y),
    "biased_split": lambda y: biased_split(None, target=y, confounder=A),
    "its confounder": lambda y: biased_split(None, target=A, confounder=y),
    "evaluate": lambda y: evaluate_predictions(y, TEXT, sensitive_features=A),
    "its predictions": lambda y: evaluate_predictions(TEXT, y, sensitive_features=A),
    "leakage": lambda y: leakage(np.zeros((6, 2)), A, y=y),
    "calibrated_threshold": lambda y: calibrated_threshold(y, np.arange(6.0), pos_label="yes"),
    "compare": lambda y: fv.compare(
        Bunch(images=X, target=y, sensitive_features=A), "erm", seeds=1, progress=False
    ),
}


class _Picker(BaseEstimator):
    def fit_resample(self, X: Any, y: Any) -> Any:
        raise AssertionError("labels are checked before a sampler sees them")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_label_is_counted_at_every_door(door: str, kind: str) -> None:
    with pytest.raises(InputError, match=r"1 missing label\(s\), the first in row 4"):
        DOORS[door](MISSING[kind])


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["b", "a"], "U"),
        ([1, 2.5], "f"),
        ([True, False], "b"),
        (["b", 1], "O"),
        (pd.Series([1, 0], dtype="Int64"), "i"),
        (pd.Series([True, False], dtype="boolean"), "b"),
        (np.array([[1], [0]]), "i"),
    ],
)
def test_labels_keep_their_values_and_type(labels: Any, kind: str) -> None:
    checked = check_labels(labels)
    assert checked.tolist() == np.ravel(np.array(labels, dtype=object)).tolist()
    assert checked.dtype.kind == kind


def test_codes_are_places_among_the_sorted_labels_even_of_mixed_types() -> None:
    codes, distinct = code_labels(check_labels(["b", 2, "a", 1, "b"]))
    assert distinct.tolist() == [1, 2, "a", "b"]
    assert codes.tolist() == [3, 1, 2, 0, 3]


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (np.eye(6), r"argmax\(axis=1\)"),
        (np.zeros((6, 1, 1)), "shape"),
        (np.array(1), "shape"),
        (["a"] * 5, "y has 5 rows, X has 6"),
        ([{"kind": "a"}] * 6, "y holds a dict in row 0.*a DataFrame"),
    ],
)
def test_other_shapes_are_refused(labels: Any, word: str) -> None:
    with pytest.raises(InputError, match=word):
        check_labels(labels, n_samples=6)


@pytest.mark.parametrize("labels", [["Yes", "No"] * 3, [0, 1] * 3, [True, False] * 3])
def test_a_score_of_labels_that_cannot_match_is_refused(labels: Any) -> None:
    model = Constant().fit(X, TEXT)
    with pytest.raises(InputError, match=r"y has the labels .*, the classifier .*as it was in fit"):
        model.score(X, labels)
    assert model.score(X, TEXT) == 0.5
    with pytest.raises(InputError, match="'Yes' and 'yes' are not the same"):
        model.score(X, [label.replace("yes", "Yes") for label in TEXT])
    assert model.score(X, [*TEXT[:5], "maybe"]) == pytest.approx(1 / 3)

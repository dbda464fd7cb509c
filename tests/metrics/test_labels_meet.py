"""Labels of two sides that do not meet: refused or noted, never a number without a word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.metrics import calibrated_threshold, evaluate_predictions, paired_difference

A = ["a", "b"] * 6


def evaluate(true: Any, predicted: Any, **options: Any) -> Any:
    return evaluate_predictions(true, predicted, sensitive_features=A, n_boot=0, **options)


@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        ([-1, 1], [0, 1]),
        ([1, 2], [0, 1]),
        (["Yes", "No"], ["yes", "no"]),
        (["no", "s\u00ed", "x"], ["no", "si\u0301", "x"]),
        (["yes ", "no"], ["yes", "no"]),
        (["1", "0"], ["1.0", "0.0"]),
        (["A", "b", "c"], ["a", "b", "c"]),
        (["x", "y", "z"], ["p", "q"]),
    ],
)
def test_two_spellings_of_the_same_classes_are_refused(
    true: list[Any], predicted: list[Any]
) -> None:
    y, p = (np.resize(np.array(labels), 12) for labels in (true, predicted))
    with pytest.raises(InputError) as refused:
        evaluate(y, p)
    assert all(repr(label) in str(refused.value) for label in (*true, *predicted))
    with pytest.raises(InputError, match="alike"):
        paired_difference(y, y, p, sensitive_features=A, n_boot=0)
    # Who names all classes vouches for them.
    assert evaluate(y, p, labels=sorted({*true, *predicted})).overall["accuracy"] < 1


@pytest.mark.parametrize(
    ("true", "predicted", "accuracy"), [([0], [1], 0), ([0, 1, 2, 3], [0, 1, 2, 4], 0.75)]
)
def test_classes_of_one_side_alone_are_noted(true: Any, predicted: Any, accuracy: float) -> None:
    found = evaluate(np.resize(true, 12), np.resize(predicted, 12))
    assert found.overall["accuracy"] == accuracy
    assert f"only in y_true: [{true[-1]}]" in found.notes[0]
    assert f"only in y_pred: [{predicted[-1]}]" in found.notes[0]


@pytest.mark.parametrize("predicted", [[0, 1], [0], [0.0, 1.0], [False, True]])
def test_equal_labels_and_a_class_that_is_never_predicted_need_no_note(predicted: Any) -> None:
    assert evaluate(np.resize([0, 1], 12), np.resize(predicted, 12)).notes == []


class Knows01(ClassifierMixin, BaseEstimator):
    classes_ = np.array([0, 1])

    def predict(self, X: Any) -> Any:
        return np.arange(len(X)) % 2


def test_an_estimator_and_labels_that_do_not_meet() -> None:
    X = np.zeros((12, 1))
    with pytest.raises(InputError, match="the estimator"):
        fv.evaluate(Knows01(), X, [-1, 1] * 6, sensitive_features=A, n_boot=0)
    found = fv.evaluate(Knows01(), X, [2] * 4 + [0, 1] * 4, sensitive_features=A, n_boot=0)
    assert any("classes unseen at fit: [2]" in note for note in found.notes)


def test_classes_and_groups_that_training_never_saw_are_named() -> None:
    train = ([0, 0, 1], ["a", "a", "c"])
    found = evaluate([0, 1, 2] * 4, [0, 1, 0] * 4, train=train)
    assert any("classes unseen at fit: [2]" in note for note in found.notes)
    assert any("groups unseen at fit: ['b']" in note for note in found.notes)


def test_a_score_of_the_other_class_is_noted() -> None:
    y = np.array(["approved", "denied"] * 6)
    approved = np.tile([0.9, 0.2], 6)
    found = evaluate(y, y, y_score=approved)
    assert found.overall["roc_auc"] == 0
    assert any("'denied'" in note and "pos_label" in note for note in found.notes)
    assert evaluate(y, y, y_score=approved, pos_label="approved").notes == []
    # No word where chance explains it.
    assert evaluate(y, y, y_score=[0.5] * 12).notes == []


def test_a_threshold_for_a_class_of_another_type_is_refused() -> None:
    with pytest.raises(InputError, match="pos_label is 1"):
        calibrated_threshold(["no", "yes"], [0.1, 0.9])
    assert calibrated_threshold(["no", "yes"], [0.1, 0.9], pos_label="yes") == 0.9

"""A training that diverges stops at once, and costs what was there before nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from fairvision.exceptions import DivergedError
from fairvision.nn import Objective, Step, TorchClassifier
from fairvision.toolkits import ThresholdOptimizedClassifier


class LateNaN(Objective):
    """A loss that is NaN from the given step on."""

    def __init__(self, step_number: int = 7) -> None:
        self.step_number = step_number

    def start(self, module, rows, context):
        self.taken_ = 0

    def step(self, module, batch):
        self.taken_ += 1
        step = super().step(module, batch)
        factor = float("nan") if self.taken_ >= self.step_number else 1.0
        return Step(step.loss * factor, step.logits)


def test_the_first_loss_that_is_not_finite_ends_the_training(pictures):
    model = TorchClassifier("mlp", objective=LateNaN(), batch_size=16, max_epochs=9)
    with pytest.raises(DivergedError, match=r"diverged in epoch 3: the loss is nan. Lower lr"):
        model.fit(pictures.images, pictures.target)
    assert not hasattr(model, "module_")


def test_a_matrix_that_cannot_be_solved_is_a_training_that_diverged(pictures):
    class Solving(Objective):
        def step(self, module, batch):
            return Step(torch.linalg.cholesky(torch.full((2, 2), np.nan)).sum(), batch.images)

    with pytest.raises(DivergedError, match=r"diverged in epoch 1: linalg\.cholesky"):
        TorchClassifier("mlp", objective=Solving()).fit(pictures.images, pictures.target)


def test_a_rate_far_too_high_fails_and_leaves_the_earlier_fit(pictures):
    model = TorchClassifier("mlp", optimizer="sgd", max_epochs=2, random_state=0)
    expected = model.fit(pictures.images, pictures.target).predict_proba(pictures.images)
    with pytest.raises(DivergedError, match="Training diverged in epoch"):
        model.set_params(lr=1e30).fit(pictures.images, pictures.target)
    np.testing.assert_array_equal(model.predict_proba(pictures.images), expected)


def test_weights_that_the_last_step_spoiled_are_seen(pictures):
    class Spoiling(torch.optim.SGD):
        def step(self, closure=None):
            loss = super().step(closure)
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(np.nan)
            return loss

    model = TorchClassifier("mlp", optimizer=Spoiling, max_epochs=1)
    with pytest.raises(DivergedError, match=r"epoch 1: the weights '.*weight' are not finite"):
        model.fit(pictures.images, pictures.target)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more")
def test_a_search_does_not_choose_what_diverged(pictures):
    model = TorchClassifier("mlp", optimizer="sgd", max_epochs=3, random_state=0)
    search = GridSearchCV(model, {"lr": [1e30, 1e-3]}, cv=2).fit(pictures.images, pictures.target)
    assert search.best_params_ == {"lr": 1e-3}


class Unsure(ClassifierMixin, BaseEstimator):
    """Scores, some of which are not numbers."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        positive = np.linspace(0, 1, len(X))
        positive[3] = np.nan
        return np.column_stack([1 - positive, positive])


def test_thresholds_refuse_scores_that_are_not_finite(pictures):
    frozen = FrozenEstimator(Unsure().fit(pictures.images, pictures.target))
    model = ThresholdOptimizedClassifier(frozen)
    with pytest.raises(DivergedError, match="not finite for 1 of 48 images, row 3 first"):
        model.fit(pictures.images, pictures.target, sensitive_features=pictures.groups)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_step_beyond_all_floats_is_a_training_that_diverged(pictures, optimizer):
    model = TorchClassifier("mlp", lr=1e38, optimizer=optimizer, max_epochs=3, random_state=0)
    with pytest.raises(DivergedError, match="Lower lr"):
        model.fit(pictures.images, pictures.target)

"""Passing on what `fit` takes, and undoing what a failed `fit` did."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from fairvision.base import accepts, all_or_nothing, fit_with_groups


class Steps(BaseEstimator):
    @all_or_nothing
    def fit(self, X, y=None, *, sensitive_features=None, fail=None):
        """Fit."""
        self.first_ = X
        if fail is not None:
            raise fail
        self.second_ = X
        return self


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
class TestAllOrNothing:
    def test_a_first_fit_that_fails_leaves_nothing(self, error):
        steps = Steps()
        with pytest.raises(type(error)):
            steps.fit(1, fail=error)
        assert vars(steps) == {}

    def test_a_second_fit_that_fails_leaves_the_first(self, error):
        steps = Steps().fit(1)
        with pytest.raises(type(error)):
            steps.fit(2, fail=error)
        assert vars(steps) == {"first_": 1, "second_": 1}


def test_the_decorated_fit_looks_like_the_plain_one():
    assert "sensitive_features" in inspect.signature(Steps().fit).parameters
    assert accepts(Steps().fit, "sensitive_features")
    assert Steps.fit.__doc__ == "Fit."
    assert "sensitive_features" in Steps().get_metadata_routing().fit.requests


def test_only_what_fit_names_is_passed_on(recorder, numbered):
    fit_with_groups(recorder, numbered.images, numbered.target, sensitive_features=[1], other=2)
    assert recorder.groups_ == [1]
    X = np.random.default_rng(0).random((30, 2))
    plain = fit_with_groups(LogisticRegression(), X, numbered.target, sensitive_features=[1] * 30)
    assert plain.classes_.tolist() == [0, 1]


def test_none_is_not_passed_on(numbered):
    class Strict(BaseEstimator):
        def fit(self, X, y, *, sensitive_features=()):
            assert sensitive_features is not None
            return self

    fit_with_groups(Strict(), numbered.images, numbered.target, sensitive_features=None)


def test_routing_passes_groups_on_into_a_pipeline(recorder, numbered):
    pipeline = make_pipeline("passthrough", recorder)
    with sklearn.config_context(enable_metadata_routing=True):
        fit_with_groups(
            pipeline, numbered.images, numbered.target, sensitive_features=numbered.groups
        )
    assert recorder.groups_.tolist() == numbered.groups.tolist()

"""Rows are counted, split and post-processed without a look at a single pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold, train_test_split

import fairvision as fv
from fairvision.datasets import biased_split, subset
from fairvision.datasets._bunch import make_bunch
from fairvision.metrics import evaluate

N = 400


class Untouchable:
    """Two hundred thousand photographs would look like this: a shape, rows, and no pixels.

    ``rows`` says whether a choice of rows, which stays lazy, is let through.
    """

    ndim, dtype = 4, np.dtype(np.uint8)

    def __init__(self, number: np.ndarray, rows: bool) -> None:
        self.number, self.rows = number, rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.number), 3, 64, 64)

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, key: Any) -> Untouchable:
        if not self.rows or isinstance(key, (int, np.integer)):
            pytest.fail("somebody asked for pixels")
        return Untouchable(self.number[key], True)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        pytest.fail("somebody decoded")

    def __iter__(self) -> Any:
        pytest.fail("somebody went through the images one by one")


class Cached(ClassifierMixin, BaseEstimator):
    """A model whose scores were computed before, by row."""

    def fit(self, X: Any, y: Any) -> Cached:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Untouchable) -> np.ndarray:
        score = (X.number * 37 % 101) / 101
        return np.column_stack([1 - score, score])

    def predict(self, X: Untouchable) -> np.ndarray:
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.5).astype(int)]


def data(rows: bool) -> Any:
    number = np.arange(N)
    table = pd.DataFrame({"y": number % 2, "group": np.array(["a", "b"])[number // 2 % 2]})
    return make_bunch(Untouchable(number, rows), table, target="y", sensitive="group")


def test_splits_look_at_labels_only() -> None:
    found = data(rows=False)
    split = biased_split(found, confounder="group", n_train=80, n_test=40, random_state=0)
    assert (len(split.train), len(split.test)) == (80, 40)
    lazy = data(rows=True)
    assert len(subset(lazy, split.train).images) == 80
    train, test = train_test_split(lazy.images, test_size=0.25, random_state=0)
    assert (len(train), len(test)) == (300, 100)
    assert sum(1 for _ in StratifiedKFold(4).split(lazy.images, lazy.target)) == 4


def test_an_evaluation_hands_images_to_the_model_and_looks_at_none() -> None:
    found = data(rows=False)
    model = Cached().fit(found.images, found.target)
    result = evaluate(
        model, found.images, found.target, sensitive_features=found.sensitive_features, n_boot=20
    )
    assert result.by_group["n"].tolist() == [200, 200]


@pytest.mark.parametrize("frozen", [True, False])
def test_thresholds_are_found_on_scores(frozen: bool) -> None:
    found = data(rows=not frozen)
    model = Cached().fit(found.images, found.target)
    estimator = FrozenEstimator(model) if frozen else model
    # The scores are noise, which thresholds make no better.
    post = fv.make("threshold-optimizer", estimator=estimator, allow_worse=True, random_state=0)
    groups = found.sensitive_features
    post.fit(found.images, found.target, sensitive_features=groups)
    assert post.predict(found.images, sensitive_features=groups).shape == (N,)

"""A plugin as a stranger would write it: samplers, meta-estimators, and some that misbehave.

Tests write this file into a distribution of its own, `third-party`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
from fairlearn.postprocessing import ThresholdOptimizer
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.dummy import DummyClassifier

from fairvision.hookspecs import hookimpl
from fairvision.nn import TorchClassifier
from fairvision.types import Method, Needs

FAIRVISION_API = (1, 0)

#: The methods that fail, by name; tests change it.
BROKEN: set[str] = set()


@hookimpl
def fairvision_preprocessing() -> Iterable[Method]:
    yield Method("even", f"{__name__}:Even", "Every class and group as often.", needs=Needs(True))


@hookimpl
def fairvision_inprocessing() -> Iterable[Method]:
    yield Method("guess", f"{__name__}:Guess", "The commonest class.", targets=("binary",))
    yield Method("fragile", f"{__name__}:Fragile", "Guesses, or fails.")
    yield Method("blind", f"{__name__}:Blind", "Takes groups, and says that it reads none.")
    yield Method("mortal", f"{__name__}:Mortal", "Plain training that kills its process.")
    yield Method("absent", "no_such_package:Thing", "Cannot be imported.")


@hookimpl
def fairvision_postprocessing() -> Iterable[Method]:
    yield Method(
        "thresholds",
        f"{__name__}:Thresholds",
        "A threshold a group.",
        needs=Needs(fit=True, predict=True),
        presets={"quick": {"constraint": "demographic_parity"}},
    )


class Even(BaseEstimator):
    def __init__(self, random_state: Any = None) -> None:
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Self:
        self.fit_resample(X, y, sensitive_features=sensitive_features)
        return self

    def fit_resample(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Any:
        cells = [f"{a} {b}" for a, b in zip(y, sensitive_features.iloc[:, 0], strict=True)]
        sampler = RandomOverSampler(random_state=self.random_state)
        sampler.fit_resample(np.zeros((len(y), 1)), cells)
        rows = sampler.sample_indices_
        self.sensitive_features_ = sensitive_features.iloc[rows]
        return X[rows], y[rows]


class Guess(DummyClassifier):
    def fit(self, X: Any, y: Any) -> Self:
        super().fit(X, y)
        return self


class Fragile(Guess):
    def fit(self, X: Any, y: Any) -> Self:
        if "fragile" in BROKEN:
            raise OverflowError("too \x1b[31mmuch\nof it")
        return super().fit(X, y)


class Blind(Guess):
    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Self:
        if sensitive_features is not None:
            raise ValueError("the groups were shown")
        return super().fit(X, y)


class Mortal(TorchClassifier):
    """Kills its process in the first `times` fits, counted by the lines of a file."""

    def __init__(
        self, marker: str = "", times: int = 1, max_epochs: int = 1, random_state: Any = None
    ) -> None:
        super().__init__(max_epochs=max_epochs, random_state=random_state)
        self.marker = marker
        self.times = times

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Self:
        with Path(self.marker).open("a+") as file:
            file.write(f"{os.getpid()}\n")
            file.seek(0)
            n = len(file.readlines())
        if n <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        super().fit(X, y)
        return self


class Scores(RegressorMixin, BaseEstimator):
    """Scores in the form that fairlearn thresholds."""

    def fit(self, X: Any, y: Any) -> Self:
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> Any:
        return np.asarray(X)[:, 0]


class Thresholds(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    def __init__(
        self, estimator: Any, constraint: str = "equalized_odds", random_state: Any = None
    ) -> None:
        self.estimator = estimator
        self.constraint = constraint
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sensitive_features: Any) -> Self:
        self.estimator_ = clone(self.estimator).fit(X, y)
        self.classes_ = self.estimator_.classes_
        self.optimizer_ = ThresholdOptimizer(
            estimator=Scores().fit(X, y),
            constraints=self.constraint,
            predict_method="predict",
            prefit=True,
        )
        self.optimizer_.fit(self._scores(X), y, sensitive_features=sensitive_features)
        return self

    def predict(self, X: Any, *, sensitive_features: Any) -> Any:
        return self.optimizer_.predict(
            self._scores(X), sensitive_features=sensitive_features, random_state=self.random_state
        )

    def _scores(self, X: Any) -> Any:
        return self.estimator_.predict_proba(X)[:, 1:]

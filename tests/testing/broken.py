"""Methods that each break one promise, for the checks to find."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from fairvision.base import check_groups
from fairvision.nn import TorchClassifier
from fairvision.testing._data import faces


class WorksInInit(TorchClassifier):
    def __init__(self, lr: float = 1e-3, *, max_epochs: int = 1, random_state: Any = None) -> None:
        super().__init__(lr=float(lr), max_epochs=max_epochs, random_state=random_state)


class HiddenKeywords(TorchClassifier):
    def fit(self, X: Any, y: Any, **more: Any) -> Any:
        return super().fit(X, y, **more)


class PositionalGroups(TorchClassifier):
    def fit(self, X: Any, y: Any, sensitive_features: Any = None, sample_weight: Any = None) -> Any:
        return super().fit(X, y, sample_weight=sample_weight)


class ChangesInput(TorchClassifier):
    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> Any:
        if isinstance(X, np.ndarray) and X.flags.writeable:
            X[0] = 0
        return super().fit(X, y, sample_weight=sample_weight)


class ChangesParameters(TorchClassifier):
    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> Any:
        self.verbose = 0.0
        return super().fit(X, y, sample_weight=sample_weight)


class Unseeded(TorchClassifier):
    """Weighs its rows at random, with a generator that has no seed."""

    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> Any:
        weights = np.random.default_rng().uniform(0.5, 1.5, len(X))
        return super().fit(X, y, sample_weight=weights)


class MovesTheGlobals(TorchClassifier):
    def predict(self, X: Any) -> Any:
        np.random.rand()  # noqa: NPY002
        return super().predict(X)


class Remembers(TorchClassifier):
    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> Any:
        if hasattr(self, "classes_"):
            return self
        return super().fit(X, y, sample_weight=sample_weight)


class ReadsGroupsInSecret(TorchClassifier):
    """Declares to need groups never."""

    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> Any:
        if sensitive_features is not None:
            codes = np.unique(sensitive_features, return_inverse=True)[1]
            sample_weight = 1.0 + codes
        return super().fit(X, y, sample_weight=sample_weight)


class IgnoresGroups(TorchClassifier):
    """Declares to need groups at fit."""

    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> Any:
        check_groups(sensitive_features, len(X), required_by="IgnoresGroups")
        return super().fit(X, y, sample_weight=sample_weight)


class FallsBackInSilence(TorchClassifier):
    """Declares to need groups at fit, and does without."""


class Guesses(TorchClassifier):
    """One class for all, at every rate of bias."""

    def predict_proba(self, X: Any) -> Any:
        found = super().predict_proba(X)
        return np.tile([0.6, 0.4], (len(found), 1)) if found.shape[1] == 2 else found


class Peeks(TorchClassifier):
    """Trains on unbiased faces of its own: gains whatever the groups say."""

    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> Any:
        check_groups(sensitive_features, len(X), required_by="Peeks")
        own, _ = faces(0.5, 7)
        return super().fit(own.X, own.y)


class LosesGroups(BaseEstimator):
    """A sampler that drops rows and keeps all groups."""

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Any:
        check_groups(sensitive_features, len(X), required_by="LosesGroups")
        self.sensitive_features_ = sensitive_features
        return self

    def fit_resample(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Any:
        self.fit(X, y, sensitive_features=sensitive_features)
        return X[:-2], y[:-2]


class MakesAllEqual(ClassifierMixin, BaseEstimator):
    """Post-processing that closes every gap: it gives all one class."""

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Any:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.repeat(self.classes_[:1], len(X))

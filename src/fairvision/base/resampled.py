"""`Resampled`: a sampler and a classifier, with images, targets and groups kept together."""

from __future__ import annotations

import inspect
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fairvision.exceptions import InputError

__all__ = ["Resampled", "accepts", "fit_with_groups"]


def accepts(method: Any, name: str) -> bool:
    """Whether a bound method takes a keyword by this name."""
    return name in inspect.signature(method).parameters


def fit_with_groups(estimator: Any, X: Any, y: Any, **metadata: Any) -> Any:
    """Fit, passing on the metadata that `fit` names and that are not None."""
    known = {k: v for k, v in metadata.items() if v is not None and accepts(estimator.fit, k)}
    return estimator.fit(X, y, **known)


def _inner_has(method: str) -> Any:
    def check(self: Any) -> bool:
        # Raises the inner AttributeError, which `hasattr` understands.
        getattr(getattr(self, "classifier_", self.classifier), method)
        return True

    return available_if(check)


class Resampled(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Fit a classifier on the rows that a sampler hands it.

    A scikit-learn `Pipeline` cannot change rows, and imbalanced-learn's carries
    no groups. This step does both, and stands in either.

    Parameters
    ----------
    sampler : sampler
        With ``fit_resample(X, y, *, sensitive_features=None)`` and
        ``sensitive_features_`` after it. A sampler of imbalanced-learn, which
        knows no groups and no images, is shown row numbers instead and must
        choose among them (as over- and under-samplers do).
    classifier : classifier

    Attributes
    ----------
    sampler_, classifier_ : the fitted clones
    classes_ : ndarray of shape (n_classes,)
    """

    __metadata_request__fit = {"sensitive_features": True}

    def __init__(self, sampler: Any, classifier: Any) -> None:
        self.sampler = sampler
        self.classifier = classifier

    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Resample the training data, then fit the classifier on what came out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
        y : array-like of shape (n_samples,)
        sensitive_features : array-like of shape (n_samples,) or \
(n_samples, n_sensitive), default=None
        """
        self.sampler_ = clone(self.sampler)
        if accepts(self.sampler_.fit_resample, "sensitive_features"):
            X, y = self.sampler_.fit_resample(X, y, sensitive_features=sensitive_features)
            groups = getattr(self.sampler_, "sensitive_features_", None)
        else:
            rows = _choose_rows(self.sampler_, np.asarray(y))
            X, y = X[rows], np.asarray(y)[rows]
            groups = _rows_of(sensitive_features, rows)
        self.classifier_ = fit_with_groups(
            clone(self.classifier), X, y, sensitive_features=groups
        )
        self.classes_ = self.classifier_.classes_
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The classifier's prediction; the sampler plays no part."""
        check_is_fitted(self)
        return self.classifier_.predict(X)

    @_inner_has("predict_proba")
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The classifier's probabilities."""
        check_is_fitted(self)
        return self.classifier_.predict_proba(X)

    @_inner_has("transform")
    def transform(self, X: Any) -> NDArray[Any]:
        """The classifier's features."""
        check_is_fitted(self)
        return self.classifier_.transform(X)


def _choose_rows(sampler: Any, y: NDArray[Any]) -> NDArray[np.int64]:
    """Let a sampler that knows nothing of images choose among row numbers."""
    sampler.fit_resample(np.arange(len(y)).reshape(-1, 1), y)
    rows = getattr(sampler, "sample_indices_", None)
    if rows is None:
        raise InputError(
            f"{type(sampler).__name__} makes new rows out of numbers and cannot make images. "
            "Use a sampler that chooses rows (RandomOverSampler, RandomUnderSampler, ...)."
        )
    return np.asarray(rows)


def _rows_of(sensitive_features: Any, rows: NDArray[np.int64]) -> Any:
    if sensitive_features is None:
        return None
    if hasattr(sensitive_features, "iloc"):
        return sensitive_features.iloc[rows]
    return np.asarray(sensitive_features)[rows]

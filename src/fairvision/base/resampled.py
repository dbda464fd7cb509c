"""`Resampled`: a sampler and a classifier, with images, targets and groups kept together."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted

from fairvision.base.fitting import (
    accepts,
    all_or_nothing,
    fit_keyword,
    fit_with_groups,
    inner_has,
    rows_for,
)
from fairvision.base.forms import check_form
from fairvision.base.groups import check_groups
from fairvision.base.labels import ScoreMixin, check_labels
from fairvision.base.lazy_images import rows_of
from fairvision.base.state import fitted_attributes
from fairvision.base.validation_split import take_groups
from fairvision.exceptions import InputError

__all__ = ["Resampled"]


class Resampled(MetaEstimatorMixin, ScoreMixin, BaseEstimator):
    """Fit a classifier on the rows that a sampler hands it.

    A scikit-learn `Pipeline` cannot change rows, and imbalanced-learn's does not pass groups.
    This estimator does both, and can be a step of either.

    Parameters
    ----------
    sampler : sampler
        Has ``fit_resample(X, y, *, sensitive_features=None)``, which sets
        ``sensitive_features_``. If it also sets ``sample_weight_``, these weights are passed to
        the classifier; a ``fit_resample`` that takes `sample_weight` includes them. A sampler of
        imbalanced-learn takes neither groups nor images: it gets `y` alone and must choose rows
        by it, as its random over- and under-samplers do.
    classifier : classifier

    Attributes
    ----------
    sampler_, classifier_ : the fitted clones
    classes_ : ndarray of shape (n_classes,)
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}
    __metadata_request__predict: ClassVar = {"sensitive_features": True}
    __metadata_request__predict_proba: ClassVar = {"sensitive_features": True}

    def __init__(self, sampler: Any, classifier: Any) -> None:
        self.sampler = sampler
        self.classifier = classifier

    def get_metadata_routing(self) -> MetadataRouter:
        """What is passed on to the classifier, for scikit-learn's metadata routing."""
        mapping = MethodMapping()
        for method in ("fit", "predict", "predict_proba"):
            mapping.add(caller=method, callee=method)
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        return router.add(classifier=self.classifier, method_mapping=mapping)

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Resample the training data, then fit the classifier on what came out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
        y : array-like of shape (n_samples,)
        sensitive_features : array-like of shape (n_samples,) or \
(n_samples, n_sensitive), default=None
        sample_weight : array-like of shape (n_samples,), default=None
            For a sampler that keeps its rows, or chooses among them.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If lengths differ, the sampler cannot choose rows or loses their groups or
            weights, or the classifier takes no weights where there are some.
        """
        check_form(X, passes_on=True)
        sampler = clone(self.sampler)
        before = X
        if accepts(sampler.fit_resample, "sensitive_features"):
            X = rows_for(sampler, X, np.arange(len(X)))
            weighs = sample_weight is not None and accepts(sampler.fit_resample, "sample_weight")
            weight_argument = {"sample_weight": sample_weight} if weighs else {}
            X, y = sampler.fit_resample(
                X, y, sensitive_features=sensitive_features, **weight_argument
            )
            groups = _groups_after(sampler, sensitive_features)
        else:
            weighs = False
            X, y, groups = _choose(sampler, X, y, sensitive_features)
        weights = getattr(sampler, "sample_weight_", None)
        if sample_weight is not None and not weighs:
            kept = _weights_after(sampler, sample_weight, len(before), len(X))
            weights = kept if weights is None else kept * np.asarray(weights)
        classifier = clone(self.classifier)
        if weights is not None and fit_keyword(classifier, "sample_weight") is None:
            owner = "sample_weight" if sample_weight is not None else type(sampler).__name__
            raise InputError(
                f"{owner} weights the rows, but {type(classifier).__name__}.fit takes no "
                "sample_weight. Combine it with a classifier that does."
            )
        self.classifier_ = fit_with_groups(
            classifier, X, y, sensitive_features=groups, sample_weight=weights
        )
        self.sampler_ = sampler
        self.classes_ = self.classifier_.classes_
        return self

    def predict(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """The classifier's prediction; the sampler plays no part.

        `sensitive_features` is for a classifier that reads groups here, as one
        with a threshold for each group does.
        """
        check_is_fitted(self)
        return self._pass_on(self.classifier_.predict, X, sensitive_features)

    @inner_has("predict_proba", "classifier")
    def predict_proba(self, X: Any, *, sensitive_features: Any = None) -> NDArray[np.float64]:
        """The classifier's probabilities."""
        check_is_fitted(self)
        return self._pass_on(self.classifier_.predict_proba, X, sensitive_features)

    def _pass_on(self, method: Any, X: Any, sensitive_features: Any) -> NDArray[Any]:
        takes_groups = accepts(method, "sensitive_features")
        return method(X, sensitive_features=sensitive_features) if takes_groups else method(X)

    @inner_has("transform", "classifier")
    def transform(self, X: Any) -> NDArray[Any]:
        """The classifier's features."""
        check_is_fitted(self)
        return self.classifier_.transform(X)

    def __fairvision_getstate__(self) -> dict[str, Any]:
        # The fitted sampler plays no part in prediction, and may hold training images.
        return {k: v for k, v in fitted_attributes(self).items() if k != "sampler_"}


def _groups_after(sampler: Any, before: Any) -> Any:
    groups = getattr(sampler, "sensitive_features_", None)
    if groups is None and before is not None:
        raise InputError(
            f"{type(sampler).__name__} got sensitive_features, but set none for the new rows. Its "
            "fit_resample must set `sensitive_features_`."
        )
    return groups


def _weights_after(
    sampler: Any, sample_weight: ArrayLike, n_before: int, n_after: int
) -> NDArray[np.float64]:
    """The weights of the rows that a sampler chose or kept."""
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n_before,):
        raise InputError(
            f"sample_weight has shape {weights.shape}, X has {n_before} rows. Pass one per row."
        )
    rows = getattr(sampler, "sample_indices_", None)
    if rows is not None:
        return weights[np.asarray(rows)]
    # A sampler that keeps its rows is a transformer, or gives weights of their own.
    if n_after == n_before and (
        hasattr(sampler, "transform") or hasattr(sampler, "sample_weight_")
    ):
        return weights
    raise InputError(
        f"{type(sampler).__name__} makes rows that have no sample_weight. Leave it out, or use a "
        "sampler that keeps its rows or has sample_indices_."
    )


def _choose(sampler: Any, X: Any, y: ArrayLike, groups: Any) -> tuple[Any, Any, Any]:
    """Let a sampler that knows nothing of images choose among their rows."""
    targets = check_labels(y, n_samples=len(X))
    check_groups(groups, len(targets))
    rows = _chosen_rows(sampler, targets)
    return rows_of(X, rows), targets[rows], take_groups(groups, rows)


def _chosen_rows(sampler: Any, y: NDArray[Any]) -> NDArray[np.int64]:
    """Row numbers picked by `y` alone.

    The sampler gets a string in place of each image, so that samplers which compute with pixels
    (SMOTE, NearMiss) fail instead of giving meaningless rows.
    """
    name, error = type(sampler).__name__, None
    try:
        sampler.fit_resample(np.full((len(y), 1), "image", dtype=object), y)
    except (TypeError, ValueError) as raised:
        error = raised
    rows = getattr(sampler, "sample_indices_", None)
    if error is not None or rows is None:
        raise InputError(
            f"{name} cannot choose among images by their targets alone"
            f"{f' ({error})' if error else ''}. Samplers that compute with pixels, as SMOTE or "
            "NearMiss do, make no images: use RandomOverSampler, RandomUnderSampler, or a sampler "
            "whose fit_resample takes sensitive_features."
        ) from error
    return np.asarray(rows)

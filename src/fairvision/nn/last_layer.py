"""The last layer of a fitted net, for methods that train it again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, TransformerTags
from sklearn.utils.validation import check_is_fitted
from torch import nn

from fairvision.base import ScoreMixin, as_seed, fit_on_all, fit_or_frozen, inner_has, rows_of
from fairvision.exceptions import InputError
from fairvision.nn.classifier import TorchClassifier
from fairvision.nn.export import as_module
from fairvision.nn.labels import encode_labels

__all__ = ["LastLayer", "LastLayerClassifier"]

# Attributes in which wrappers that pass X on unchanged keep their fitted estimator.
_FITTED = ("best_estimator_", "classifier_", "final_estimator_", "estimator_")


class LastLayer:
    """The last layer of the net in a fitted estimator.

    The net is searched for in the estimator itself, in the last step of a `Pipeline`, and in
    `FrozenEstimator`, `Resampled` and searches. The estimator is never changed.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``transform`` for the features.
    owner : str
        Name of the calling method, for errors.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    weight : ndarray of shape (n_outputs, n_features)
        One output for each class, or a single one for the second of two classes.
    bias : ndarray of shape (n_outputs,)
        Zeros where the layer has none.
    alone_is_trained : bool
        Whether no other layer was trained, so that the features do not depend on any row.

    Raises
    ------
    InputError
        If there is no net.
    """

    def __init__(self, estimator: Any, owner: str) -> None:
        self.estimator, self.owner = estimator, owner
        holder, names = estimator, []
        while not (isinstance(getattr(holder, "module_", None), nn.Module)):
            names.append(type(holder).__name__)
            holder = _inner(holder)
            if holder is None:
                raise InputError(
                    f"{owner} needs a fitted torch net, and there is none in {' > '.join(names)}. "
                    "Pass a TorchClassifier or a method built on it; for a bare module, "
                    "FrozenEstimator(TorchClassifier.from_module(module, classes=...))."
                )
        head = holder.module_.head
        self.classes = np.asarray(holder.classes_)
        self.weight = head.weight.detach().cpu().double().numpy()
        self.has_bias = head.bias is not None
        bias = torch.zeros(len(self.weight)) if head.bias is None else head.bias
        self.bias = bias.detach().cpu().double().numpy()
        head_parameters = set(head.parameters())
        trunk_parameters = (p for p in holder.module_.parameters() if p not in head_parameters)
        self.alone_is_trained = not any(p.requires_grad for p in trunk_parameters)

    def features(self, X: Any) -> NDArray[np.float64]:
        """What enters the layer, shape (n_samples, n_features)."""
        return np.asarray(self.estimator.transform(X), dtype=np.float64)

    def probabilities(
        self, features: NDArray[Any], weight: ArrayLike | None = None, bias: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Probabilities of shape (n_samples, n_classes), by this layer or by another."""
        weight = self.weight if weight is None else np.asarray(weight)
        bias = self.bias if bias is None else np.asarray(bias)
        logits = features @ weight.T + bias
        if logits.shape[1] == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        return softmax(logits, axis=1)

    def encode(self, y: ArrayLike) -> NDArray[np.int64]:
        """The number of each label among the net's classes."""
        return encode_labels(y, self.classes)

    def check(self, X: Any, features: NDArray[Any]) -> None:
        """Check, on a few rows, that the layer alone turns features into probabilities.

        Raises
        ------
        InputError
            If the estimator's probabilities differ, for example because a threshold follows the
            layer.
        """
        probabilities = np.asarray(self.estimator.predict_proba(X), dtype=np.float64)
        if not np.allclose(probabilities, self.probabilities(features), atol=1e-3):
            raise InputError(
                f"{self.owner}: the probabilities of {type(self.estimator).__name__} differ from "
                "those of its net's last layer. Pass the classifier itself, and apply "
                "post-processing, such as a threshold, around this method."
            )

    def replace(self, weight: ArrayLike, bias: ArrayLike) -> Any:
        """A copy of the estimator whose net has another last layer, of the same shape."""
        return _with_layer(self.estimator, np.asarray(weight), np.asarray(bias))


NewLayer = Callable[[LastLayer, NDArray[Any]], tuple[ArrayLike, ArrayLike]]


def _inner(step: Any) -> Any:
    """The estimator inside a wrapper, None if `step` is no wrapper."""
    if isinstance(step, FrozenEstimator):
        return step.estimator
    if isinstance(step, Pipeline):
        return step[-1]
    return next((getattr(step, name) for name in _FITTED if hasattr(step, name)), None)


def _with_layer(step: Any, weight: NDArray[Any], bias: NDArray[Any]) -> Any:
    if isinstance(step, FrozenEstimator):
        return _with_layer(step.estimator, weight, bias)
    rebuilt = copy.copy(step)
    if isinstance(step, Pipeline):
        name, last = step.steps[-1]
        rebuilt.steps = [*step.steps[:-1], (name, _with_layer(last, weight, bias))]
    elif hasattr(step, "module_"):
        rebuilt.module_ = copy.deepcopy(step.module_)
        head = rebuilt.module_.head
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            if head.bias is not None:
                head.bias.copy_(torch.from_numpy(bias))
        vars(rebuilt).pop("net_", None)  # it holds the old weights
    else:
        name = next(name for name in _FITTED if hasattr(step, name))
        setattr(rebuilt, name, _with_layer(getattr(step, name), weight, bias))
    return rebuilt


class LastLayerClassifier(MetaEstimatorMixin, ScoreMixin, BaseEstimator):
    """Base of meta-estimators that train a net's last layer again.

    A subclass has the parameters `estimator`, `rows`, `debias_fraction` and `random_state`, and
    a `fit` that ends in `_fit_layer`. Predictions are those of ``estimator_``, the fitted
    estimator with the new last layer, which can be saved, exported and post-processed like any
    other.
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True, "held_out": True}

    estimator: Any
    rows: str
    debias_fraction: float
    random_state: Any
    estimator_: Any
    classes_: NDArray[Any]

    def _fit_layer(
        self,
        X: Any,
        y: NDArray[Any],
        sensitive_features: Any,
        *,
        cells: NDArray[np.int64],
        held_out: Any,
        choose: Callable[..., NewLayer | None],
        refit: bool = False,
    ) -> Self:
        """Fit the estimator unless it is frozen, then its last layer again.

        Parameters
        ----------
        cells : ndarray of shape (n_samples,)
            The rows held out are drawn from each in proportion.
        held_out : array-like of bool of shape (n_samples,) or None
        choose : callable
            ``choose(layer, features, rows, judged, seed)`` returns None to keep the given layer,
            or a function of a `LastLayer` and features that returns the weight and the bias of the
            new one. `features` are those to fit it on, `rows` their index in all rows, `judged`
            the positions in `features` of rows that the net was not trained on.
        refit : bool, default=False
            Fit the estimator again, on all rows, before the new layer is fitted. Where the given
            layer is kept, that always takes place, because no rows need to be held out. An
            estimator that is frozen, or for which `held_out` names rows, is never fitted again,
            and for a new layer only one of which more than the last layer is trained.
        """
        seed, owner = as_seed(self.random_state), type(self).__name__
        base_estimator = (
            TorchClassifier(random_state=seed) if self.estimator is None else self.estimator
        )
        data = X, y, sensitive_features
        fitted, held = fit_or_frozen(
            base_estimator,
            *data,
            cells=cells,
            validation_fraction=self.debias_fraction,
            rng=np.random.default_rng(seed),
            held_out=held_out,
        )
        layer = LastLayer(fitted, owner)
        sample = rows_of(X, held[:32])
        layer.check(sample, layer.features(sample))
        on_all = self.rows == "all"
        features = layer.features(X if on_all else rows_of(X, held))
        rows = slice(None) if on_all else held
        judged = held if on_all else np.arange(len(held))
        new = choose(layer, features, rows, judged, seed)
        self.retrained_, self.refitted_ = new is not None, False
        if new is None or (refit and not layer.alone_is_trained):
            whole = fit_on_all(base_estimator, fitted, *data, held_out=held_out)
            self.refitted_ = whole is not fitted
            if self.refitted_:
                layer = LastLayer(whole, owner)
                features = features if new is None else layer.features(X)
        weights = (layer.weight, layer.bias) if new is None else new(layer, features)
        self.estimator_, self.classes_ = layer.replace(*weights), layer.classes
        return self

    def __fairvision_module__(self) -> nn.Module:
        check_is_fitted(self, "estimator_")
        return as_module(self.estimator_)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class, shape (n_samples,)."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict(X)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n_samples, n_classes)."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags()  # `transform` exists if the estimator has it
        return tags

    @inner_has("transform", "estimator")
    def transform(self, X: Any) -> NDArray[Any]:
        """The net's features, which stay as they are."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.transform(X)

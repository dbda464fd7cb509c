"""Automatic feature reweighting as a meta-estimator."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import balanced_accuracy_score

from fairvision.base import (
    all_or_nothing,
    check_form,
    check_groups,
    check_labels,
    code_labels,
)
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn import LastLayer, LastLayerClassifier
from fairvision_afr._algorithm import (
    correct_probability,
    folds,
    retrain,
    row_weights,
)

__all__ = ["AutomaticFeatureReweighting"]

_FOLDS = 5


class AutomaticFeatureReweighting(LastLayerClassifier):
    """Train a net's last layer again, on rows weighed by how unsure the net is of them [1]_.

    No group labels are read, neither in `fit` nor to choose a parameter: a row that goes
    against the bias is one that the first model gets wrong. Its weight is
    ``exp(-gamma * p)``, with p the probability that the model gives to its true class. The new
    layer is held near the first one.

    Rows without groups cannot show which `gamma` helps: no reweighting at all is best for the
    accuracy, for the worst class, and even for the rows that the first model gets wrong.
    The largest one is taken that costs at most `max_loss` of the accuracy, every class
    weighing the same and each row predicted by layers not fitted to it. If none
    does, the given net is kept. To choose with groups, use `GridSearchCV`.

    Parameters
    ----------
    estimator : classifier or None, default=None
        A `TorchClassifier` or a method built on it, also in a `Pipeline`. In
        `FrozenEstimator` it is used as it is; else it is cloned and fitted on a part of the
        rows. None is a `TorchClassifier`.
    gamma : float or sequence of float, default=(6.0, 4.0, 2.0, 1.0)
        How fast a row's weight falls with the probability of its true class; of several,
        one is chosen.
    regularization : float, default=0.0004
        Weight of the squared distance to the first layer, for standardised features and for
        each of them.
    rows : {"all", "validation"}, default="all"
        Fit the layer on all rows, or, as in the paper, on those that the net was not trained
        on. The net is sure of rows that it was trained on; with "all", probabilities come
        from strongly penalized layers on its features that were fitted to other rows.
    max_loss : float, default=0.1
        Accuracy that the new layer may cost. On rows as biased as the training rows, the
        bias itself is worth some.
    debias_fraction : float, default=0.2
        Share of the rows held out from the training of the net.
    allow_worse : bool, default=False
        Take the smallest gamma even if it costs more.
    random_state : int, RandomState, Generator or None, default=None

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator with the new last layer; an ordinary one, to be saved, exported
        or post-processed.
    retrained_ : bool
        Whether the last layer is a new one.
    gamma_ : float or None
        The gamma of the new layer.
    losses_ : dict of float to float
        For each gamma tried what it costs, as for `max_loss`.
    classes_ : ndarray of shape (n_classes,)

    References
    ----------
    .. [1] S. Qiu, A. Potapczynski, P. Izmailov, A. G. Wilson: Simple and Fast Group Robustness
       by Automatic Feature Reweighting. ICML 2023, arXiv:2306.11074.

    Examples
    --------
    >>> from fairvision.datasets import load
    >>> from fairvision.nn import TorchClassifier
    >>> from fairvision_afr import AutomaticFeatureReweighting
    >>> faces = load("faces", n_samples=200, image_size=32, random_state=0)
    >>> model = AutomaticFeatureReweighting(TorchClassifier(max_epochs=2), random_state=0)
    >>> model.fit(faces.images, faces.target).predict_proba(faces.images[:5]).shape
    (5, 2)
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        gamma: float | Sequence[float] = (6.0, 4.0, 2.0, 1.0),
        regularization: float = 0.0004,
        rows: Literal["all", "validation"] = "all",
        max_loss: float = 0.1,
        debias_fraction: float = 0.2,
        allow_worse: bool = False,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.gamma = gamma
        self.regularization = regularization
        self.rows = rows
        self.max_loss = max_loss
        self.debias_fraction = debias_fraction
        self.allow_worse = allow_worse
        self.random_state = random_state

    @all_or_nothing
    def fit(
        self, X: Any, y: ArrayLike, *, sensitive_features: Any = None, held_out: Any = None
    ) -> Self:
        """Fit the estimator unless it is frozen, then its last layer again.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the estimator takes.
        y : array-like of shape (n_samples,)
        sensitive_features : array-like of shape (n_samples,) or \
(n_samples, n_sensitive), default=None
            Passed on to an estimator that reads them; the method itself does not.
        held_out : array-like of bool of shape (n_samples,), default=None
            The rows that the estimator is not trained on, or, if it is frozen, was not.
            None holds out `debias_fraction` of every class; of a frozen estimator's, all rows.

        Returns
        -------
        self

        Warns
        -----
        FairvisionWarning
            If the given net is kept because too much accuracy would be lost.

        Raises
        ------
        InputError
            If the estimator holds no net, or a parameter makes no sense. Nothing is changed.
        """
        self._check_parameters()
        check_form(X, passes_on=True)
        check_groups(sensitive_features, len(X))
        y = check_labels(y, n_samples=len(X))
        codes, classes = code_labels(y)
        if len(classes) < 2 or np.bincount(codes).min() < 2:
            raise InputError("y needs two rows or more of two classes or more.")
        return self._fit_layer(
            X,
            y,
            sensitive_features,
            cells=codes,
            held_out=held_out,
            retrain=partial(self._retrain, y),
        )

    def _retrain(
        self,
        y: NDArray[Any],
        layer: LastLayer,
        X: Any,
        rows: Any,
        judged: NDArray[np.intp],
        seed: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Fit the layer with the largest gamma that costs little enough, if one does."""
        targets = layer.encode(y)[rows]
        features = layer.features(X)
        first, own = (layer.weight, layer.bias), layer.probabilities(features)
        correct = own[np.arange(len(targets)), targets]
        if self.rows == "all":
            correct = correct_probability(features, targets, _FOLDS, seed)

        def new_layer(rows: NDArray[np.intp], gamma: float) -> Any:
            weights = row_weights(correct[rows], targets[rows], gamma)
            return retrain(features[rows], targets[rows], weights, first, self.regularization)

        def accuracy(predicted: NDArray[np.int64]) -> float:
            return float(balanced_accuracy_score(targets[judged], predicted[judged]))

        self.gamma_, self.losses_ = None, {}
        for gamma in sorted(map(float, np.atleast_1d(self.gamma)), reverse=True):
            predicted = np.empty(len(targets), dtype=np.int64)
            for rest, fold in folds(targets, _FOLDS, seed):
                new = new_layer(rest, gamma)
                predicted[fold] = layer.probabilities(features[fold], *new).argmax(1)
            self.losses_[gamma] = accuracy(own.argmax(1)) - accuracy(predicted)
            if self.losses_[gamma] <= self.max_loss:
                break
        if self.losses_[gamma] <= self.max_loss or self.allow_worse:
            self.gamma_ = gamma
            return new_layer(np.arange(len(targets)), gamma)
        warnings.warn(
            f"{type(self).__name__} keeps the net that it was given: with gamma={gamma:g} the "
            f"accuracy on {len(judged)} rows, every class weighing the same, would fall by "
            f"{self.losses_[gamma]:.3f}. Pass a larger max_loss or a smaller gamma.",
            FairvisionWarning,
            stacklevel=5,
        )
        return None

    def _check_parameters(self) -> None:
        if self.rows not in ("all", "validation"):
            raise InputError(f"rows is {self.rows!r}; pass 'all' or 'validation'.")
        for name in ("gamma", "regularization", "max_loss"):
            values = np.atleast_1d(np.asarray(getattr(self, name), dtype=np.float64))
            if not values.size or not (values >= 0).all():
                raise InputError(f"{name} is {getattr(self, name)!r}; pass 0 or more.")

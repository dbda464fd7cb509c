"""Automatic feature reweighting as a meta-estimator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fairvision.base import (
    all_or_nothing,
    check_choices,
    check_form,
    check_groups,
    check_labels,
    check_numbers,
    code_labels,
)
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn import LastLayer, LastLayerClassifier
from fairvision_afr._algorithm import (
    Layer,
    Weights,
    change,
    correct_probability,
    effective_share,
    mean_over_classes,
    retrain,
    row_weights,
)

__all__ = ["AutomaticFeatureReweighting"]

_MIN_UNSURE = 20  # a gain on fewer rows is chance


@dataclass(eq=False, repr=False)
class AutomaticFeatureReweighting(LastLayerClassifier):
    """Train a net's last layer again, on rows weighed by how unsure the net is of them [1]_.

    No group labels are read. Rows that contradict the bias are found as rows that the first model
    gets wrong: the weight of a row is ``(1 - p) ** gamma``, with p the probability of its true
    class. The new layer is kept near the first one.

    Rows without groups cannot show whether the worst cell improves, but they bound the risk. Each
    row is predicted by layers that were not fitted to it, with and without reweighting. The
    method takes the largest `gamma` that costs at most `max_loss` of the accuracy and rests on
    the share `min_effective` of the rows of every class. It keeps the given net if there is none,
    if the accuracy on rows of which the model is unsure (p below .5) rises by `min_gain` or less,
    or if there are fewer than twenty such rows. Both accuracies are means over the classes. To
    choose parameters with groups, use `GridSearchCV`.

    Parameters
    ----------
    estimator : classifier or None, default=None
        A `TorchClassifier` or a method built on it, also in a `Pipeline`. A `FrozenEstimator` is
        used as it is; any other estimator is cloned and fitted on a part of the rows. None is a
        `TorchClassifier`.
    gamma : float or sequence of float, default=(2.0, 1.5, 1.0, 0.5)
        How fast a row's weight falls with the probability of its true class. One of several
        values is chosen.
    row_weights : {"power", "exponential"}, default="power"
        ``(1 - p) ** gamma``, as in the focal loss [2]_, or, as in the paper,
        ``exp(-gamma * p)``. The first gives no weight to a row that the model is sure of.
    regularization : float, default=0.0004
        Weight of the squared distance to the first layer, for standardised features and for
        each of them.
    rows : {"all", "validation"}, default="all"
        Fit the layer on all rows, or, as in the paper, on rows that the net was not trained on.
        The net is too sure of its training rows, so with "all" the probabilities come from
        strongly penalized layers on its features, fitted to other rows.
    max_loss : float, default=0.1
        Accuracy that the new layer may cost: on rows as biased as the training rows, a net gains
        accuracy from the bias.
    min_gain : float, default=0.08
        Accuracy that the new layer must add on rows of which the model is unsure.
    min_effective : float, default=0.1
        Smallest effective number of rows, ``sum(w) ** 2 / sum(w ** 2)``, as a share of the class.
        Where the net is sure of nearly all rows, a large `gamma` leaves a handful, and the layer
        is fitted to them alone.
    debias_fraction : float, default=0.2
        Share of the rows held out from the training of the net.
    allow_worse : bool, default=False
        Take the new layer of the smallest gamma even if it costs more or adds less.
    random_state : int, RandomState, Generator or None, default=None

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator with the new last layer; an ordinary one, to be saved, exported
        or post-processed.
    retrained_ : bool
        Whether the last layer is a new one.
    refitted_ : bool
        Whether the estimator was fitted a second time, on all rows, because its layer is kept.
    gamma_ : float or None
        The gamma of the new layer.
    changes_ : DataFrame of shape (n_gammas, 4)
        For each gamma tried, the `loss` and the `gain`: on all rows if nothing but the last
        layer was trained, else on those that the net was not trained on; and the `effective`
        share of rows.
    classes_ : ndarray of shape (n_classes,)

    References
    ----------
    .. [1] S. Qiu, A. Potapczynski, P. Izmailov, A. G. Wilson: Simple and Fast Group Robustness
       by Automatic Feature Reweighting. ICML 2023, arXiv:2306.11074.
    .. [2] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár: Focal Loss for Dense Object
       Detection. ICCV 2017, arXiv:1708.02002.

    Examples
    --------
    >>> from fairvision.datasets import load
    >>> from fairvision.nn import TorchClassifier
    >>> from fairvision_afr import AutomaticFeatureReweighting
    >>> faces = load("faces", n_samples=200, image_size=32, random_state=0)
    >>> net = TorchClassifier(max_epochs=5, random_state=0)
    >>> # So few rows show no gain; by default they would leave the net as it is.
    >>> model = AutomaticFeatureReweighting(net, allow_worse=True, random_state=0)
    >>> model.fit(faces.images, faces.target).predict_proba(faces.images[:5]).shape
    (5, 2)
    """

    estimator: Any = None
    _: KW_ONLY
    gamma: float | Sequence[float] = (2.0, 1.5, 1.0, 0.5)
    row_weights: Weights = "power"
    regularization: float = 0.0004
    rows: Literal["all", "validation"] = "all"
    max_loss: float = 0.1
    min_gain: float = 0.08
    min_effective: float = 0.1
    debias_fraction: float = 0.2
    allow_worse: bool = False
    random_state: Any = None

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
            Rows that the estimator is not trained on, or, if it is frozen, was not trained on.
            None holds out `debias_fraction` of every class, or all rows for a frozen estimator.

        Returns
        -------
        self

        Warns
        -----
        FairvisionWarning
            If the given net is kept because too much would be lost, or too little gained.

        Raises
        ------
        InputError
            If the estimator holds no net, or a parameter is invalid. Nothing is changed.
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
            choose=partial(self._choose, y),
        )

    def _choose(
        self,
        y: NDArray[Any],
        layer: LastLayer,
        features: NDArray[np.float64],
        rows: Any,
        judged: NDArray[np.intp],
        seed: int,
    ) -> Callable[[LastLayer, NDArray[Any]], Layer] | None:
        """The layer of the largest gamma that costs little enough; None if it gains too little."""
        targets = layer.encode(y)[rows]
        if self.rows == "all":
            correct = correct_probability(features, targets, seed)
        else:
            correct = layer.probabilities(features)[np.arange(len(targets)), targets]
        if layer.alone_is_trained:
            judged = np.arange(len(targets))
        unsure = judged[correct[judged] < 0.5]
        tried = []
        for gamma in sorted(map(float, np.atleast_1d(self.gamma)), reverse=True):
            weights = row_weights(correct, targets, gamma, self.row_weights)
            changes = change(
                features, targets, weights, len(layer.weight), self.regularization, seed
            )
            loss = -mean_over_classes(changes[judged], targets[judged])
            gain = mean_over_classes(changes[unsure], targets[unsure])
            share = effective_share(weights, targets)
            tried.append({"gamma": gamma, "loss": loss, "gain": gain, "effective": share})
            bounded = loss <= self.max_loss and share >= self.min_effective
            if bounded:
                break
        self.gamma_, self.changes_ = None, pd.DataFrame(tried)
        enough = len(unsure) >= _MIN_UNSURE and gain > self.min_gain
        if (enough and bounded) or self.allow_worse:
            self.gamma_ = gamma
            return lambda layer, features: retrain(
                features, targets, weights, (layer.weight, layer.bias), self.regularization
            )
        warnings.warn(
            f"{type(self).__name__} keeps the given net: with gamma={gamma:g} a new layer would "
            f"cost {loss:.3f} of the accuracy on {len(judged)} rows, and add {gain:.3f} on the "
            f"{len(unsure)} of which the model is unsure, all classes weighing the same, and rest "
            f"on {share:.0%} of the rows of a class. Pass a larger max_loss or a smaller min_gain "
            f"or min_effective, and at least {_MIN_UNSURE} rows of which the model is unsure.",
            FairvisionWarning,
            stacklevel=5,
        )
        return None

    def _check_parameters(self) -> None:
        check_choices(self, rows=("all", "validation"), row_weights=("power", "exponential"))
        check_numbers(self, "min_effective", high=1)
        for name in ("gamma", "regularization", "max_loss", "min_gain"):
            values = np.atleast_1d(np.asarray(getattr(self, name), dtype=np.float64))
            if not values.size or not (values >= 0).all():
                raise InputError(f"{name} is {getattr(self, name)!r}; pass 0 or more.")

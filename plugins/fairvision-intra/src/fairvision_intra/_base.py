"""What the three methods share: a meta-estimator around a trained net."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fairvision.base import (
    all_or_nothing,
    check_groups,
    check_images,
    fit_or_frozen,
    fitted_attributes,
    is_images,
    stratified,
)
from fairvision.exceptions import InputError
from fairvision.nn import (
    Probabilities,
    TorchClassifier,
    as_module,
    as_seed,
    inference_size,
    isolated_rng,
)
from fairvision_intra._forward import Forward
from fairvision_intra._net import Inner, find_net
from fairvision_intra._objective import Metric, Objective
from fairvision_intra._search import Trials, search

__all__ = ["IntraProcessor", "Rows"]


def _has_features(self: Any) -> bool:
    getattr(self.debiased_, "transform")  # noqa: B009  # raises what `hasattr` understands
    return True


class IntraProcessor(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Base of the methods; see `RandomPerturbation` for parameters and attributes."""

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    estimator: Any
    bias: Metric
    performance: Metric
    epsilon: float
    margin: float
    min_performance: float | None
    n_thresholds: int
    n_bootstrap: int
    validation_fraction: float
    random_state: Any
    progress: bool | None
    callback: Callable[[dict[str, Any]], Any] | None

    # -- what a method says -------------------------------------------------------

    def _trials(self, tuning: Rows, judging: Rows, objective: Objective, seed: int) -> Trials:
        """Trials, the net as given first."""
        raise NotImplementedError

    def _n_trials(self, judging: Rows) -> int:
        raise NotImplementedError

    def _selection_fraction(self) -> float:
        """Share of the rows that only judge; 0 judges on all, tunes on all."""
        return 0.0

    # -- fitting ------------------------------------------------------------------

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Debias the net of the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
            What the estimator takes. Rows that the net was not trained on, if
            it is frozen.
        y : array-like of shape (n_samples,)
            Two classes.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
            Several columns are crossed.

        Returns
        -------
        self

        Raises
        ------
        GroupsRequiredError
            Without group labels.
        InputError
            If there is no net, the target is not binary, or the bias is
            undefined on the rows.
        """
        self._check_parameters()
        name = type(self).__name__
        groups = check_groups(sensitive_features, len(X), required_by=name, min_groups=1)
        assert groups is not None
        codes, labels = groups.intersection()
        if len(labels) < 2:
            raise InputError(f"{name} needs two groups or more; every row is in {labels[0]!r}.")
        y = np.asarray(y).reshape(-1)
        if len(y) != len(X):
            raise InputError(f"y has {len(y)} rows, X has {len(X)}. Pass one label per image.")
        seed = as_seed(self.random_state)
        rng = np.random.default_rng(seed)
        inner, rows = self._inner(X, y, sensitive_features, codes, rng, seed)
        inner.process_group.check_same(f"random_state of {name}, or rows", seed, len(rows))
        targets = _encode(y[rows], inner.classes, name)
        self._debias(inner, X, rows, targets, codes[rows], labels, rng)
        return self

    def _inner(
        self,
        X: Any,
        y: NDArray[Any],
        sensitive_features: Any,
        codes: NDArray[np.int64],
        rng: np.random.Generator,
        seed: int,
    ) -> tuple[Inner, NDArray[np.intp]]:
        """The fitted estimator, and the rows that it has not seen."""
        estimator = self.estimator
        fitted, rows = fit_or_frozen(
            TorchClassifier(random_state=seed) if estimator is None else estimator,
            X,
            y,
            sensitive_features,
            cells=np.unique(y, return_inverse=True)[1] * (codes.max() + 1) + codes,
            validation_fraction=self.validation_fraction,
            rng=rng,
        )
        return find_net(fitted, type(self).__name__), rows

    def _debias(
        self,
        inner: Inner,
        X: Any,
        rows: NDArray[np.intp],
        targets: NDArray[np.int64],
        groups: NDArray[np.int64],
        labels: list[Any],
        rng: np.random.Generator,
    ) -> None:
        groups, labels = _occurring(groups, labels)
        whole = Rows(inner, X, rows, targets, groups)
        tuning, judging = whole, whole
        if self._selection_fraction():
            parts = stratified(targets + 2 * groups, self._selection_fraction(), rng)
            tuning, judging = (whole.part(part) for part in parts)
        objective = Objective(
            judging.targets,
            judging.groups,
            classes=inner.classes,
            labels=labels,
            bias=self.bias,
            performance=self.performance,
            epsilon=self.epsilon,
            margin=self.margin,
            n_thresholds=self.n_thresholds,
            n_bootstrap=self.n_bootstrap,
            floor=self.min_performance,
            rng=rng,
        )
        if self.min_performance is None:
            objective.set_floor(judging.forward.scores())
        seed = int(rng.integers(2**32))
        with isolated_rng(seed, judging.forward.device):
            found = search(
                self._trials(tuning, judging, objective, seed),
                objective,
                total=self._n_trials(judging),
                owner=type(self).__name__,
                progress=self.progress,
                callback=self.callback,
            )
        self.module_ = _with_weights(inner.module, found.changed)
        self.estimator_, self.debiased_ = inner.outer, inner.around(self.module_)
        self.threshold_, self.feasible_ = found.outcome.threshold, found.outcome.feasible
        self.bias_, self.performance_ = found.outcome.bias, found.outcome.performance
        self.min_performance_, self.interrupted_ = objective.floor, found.interrupted
        self.objective_path_ = pd.DataFrame(found.path)
        self.classes_ = inner.classes
        self.sensitive_labels_ = labels

    def _check_parameters(self) -> None:
        if not 0 <= self.margin < self.epsilon:
            raise InputError(
                f"epsilon={self.epsilon!r}, margin={self.margin!r}: the search holds the bias "
                "below epsilon - margin, which must be above 0."
            )
        if not 0 < self.validation_fraction < 1:
            raise InputError(
                f"validation_fraction is {self.validation_fraction!r}; pass a share between 0 "
                "and 1, or a FrozenEstimator, to which all rows are validation data."
            )
        for name, low in (("n_thresholds", 3), ("n_bootstrap", 0)):
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass {low} or more.")

    # -- saving -------------------------------------------------------------------

    def __fairvision_getstate__(self) -> dict[str, Any]:
        # The net is that of `debiased_`.
        return {k: v for k, v in fitted_attributes(self).items() if k != "module_"}

    def __fairvision_setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        if "debiased_" in state:
            self.module_ = find_net(self.debiased_, type(self).__name__).module

    def __fairvision_module__(self) -> torch.nn.Module:
        check_is_fitted(self, "module_")
        around = as_module(self.debiased_)
        assert isinstance(around, Probabilities)
        return Probabilities(around.module, threshold=self.threshold_)

    # -- use ----------------------------------------------------------------------

    def _scores(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "module_")
        return np.asarray(self.debiased_.predict_proba(X), dtype=np.float64)[:, 1]

    def predict(self, X: Any) -> NDArray[Any]:
        """The second class where the net's probability of it is above `threshold_`."""
        scores = self._scores(X)  # raises where nothing was fitted
        return self.classes_[(scores > self.threshold_).astype(np.intp)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n_samples, 2): the net's, shifted so that 1/2 is the threshold.

        They rise with the net's scores. The shift multiplies the odds by
        (1 - threshold) / threshold.
        """
        score = self._scores(X)
        t = self.threshold_
        above, below = score * (1 - t), (1 - score) * t
        total = above + below
        # A threshold of 0 or 1 and a score of the same: 0 / 0 is below it.
        positive = np.divide(above, total, out=np.zeros_like(score), where=total > 0)
        return np.column_stack([1 - positive, positive])

    @available_if(_has_features)
    def transform(self, X: Any) -> NDArray[Any]:
        """The debiased net's features."""
        check_is_fitted(self, "module_")
        return self.debiased_.transform(X)


class Rows:
    """Validation rows and the net that scores them, computed when first asked for."""

    def __init__(
        self,
        inner: Inner,
        X: Any,
        rows: NDArray[np.intp],
        targets: NDArray[np.int64],
        groups: NDArray[np.int64],
    ) -> None:
        self.inner, self.targets, self.groups = inner, targets, groups
        self._X, self._rows = X, rows
        self._forward: Forward | None = None

    def part(self, chosen: NDArray[np.intp]) -> Rows:
        rows, targets, groups = self._rows[chosen], self.targets[chosen], self.groups[chosen]
        return Rows(self.inner, self._X, rows, targets, groups)

    @property
    def forward(self) -> Forward:
        if self._forward is None:
            X = self.inner.prepare(_safe_indexing(self._X, self._rows))
            if is_images(X):
                X = check_images(X, fitted_shape=getattr(self.inner.holder, "input_shape_", None))
            else:
                X = np.asarray(X, dtype=np.float64)
            batch_size = getattr(self.inner.holder, "batch_size", 64)
            device = next(self.inner.module.parameters()).device
            size = inference_size(batch_size, device)
            self._forward = Forward(self.inner.module, X, batch_size=size)
        return self._forward


def _occurring(groups: NDArray[np.int64], labels: list[Any]) -> tuple[NDArray[np.int64], list[Any]]:
    """Codes without gaps, for the groups that these rows have."""
    present, codes = np.unique(groups, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), [labels[i] for i in present]


def _encode(y: NDArray[Any], classes: NDArray[Any], owner: str) -> NDArray[np.int64]:
    if len(classes) != 2:
        raise InputError(
            f"{owner} takes binary targets; the net knows {len(classes)} classes "
            f"({classes.tolist()}). Debias one class against the rest."
        )
    unknown = sorted(set(y.tolist()) - set(classes.tolist()), key=str)
    if unknown:
        raise InputError(f"y has the label(s) {unknown}; the net knows {classes.tolist()}.")
    return (y == classes[1]).astype(np.int64)


def _with_weights(module: torch.nn.Module, changed: dict[str, torch.Tensor]) -> torch.nn.Module:
    own = copy.deepcopy(module).eval()
    parameters = dict(own.named_parameters())
    with torch.no_grad():
        for name, value in changed.items():
            parameters[name].copy_(value)
    return own

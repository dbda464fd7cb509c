"""Shared by the three methods: a meta-estimator around a trained net."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted

from fairvision.base import (
    ScoreMixin,
    all_or_nothing,
    check_form,
    check_groups,
    check_labels,
    check_numbers,
    code_labels,
    fit_on_all,
    fit_or_frozen,
    fitted_attributes,
    inner_has,
    is_images,
    leaves_worse_off,
    rows_of,
    stratified_folds,
    worst_cell,
)
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn import (
    Probabilities,
    TorchClassifier,
    as_module,
    as_seed,
    check_inputs,
    encode_labels,
    inference_size,
    isolated_rng,
)
from fairvision_intra._bounded_performance import BoundedPerformance, Metric, Outcome
from fairvision_intra._forward import Forward, last_layers
from fairvision_intra._net import FittedNet, find_net
from fairvision_intra._search import SearchResult, Trials, cross_fitted, search

__all__ = ["DebiasRows", "IntraProcessor"]

_SELECTION_FOLDS = 5
_TOLERANCE = 0.02  # less than chance makes of the objective
_GAIN_LEVEL = 0.8  # one-sided, of the exact tests that a gain in the worst cell must pass


@dataclass(eq=False)
class DebiasRows:
    """Rows to debias on, and the net that scores them.

    Parameters
    ----------
    net : FittedNet
    X : array-like of shape (n_samples, ...)
    index : ndarray of shape (n,)
        Row numbers in X.
    targets, groups : ndarray of shape (n,)
        Codes of class and group.
    """

    net: FittedNet
    X: Any
    index: NDArray[np.intp]
    targets: NDArray[np.int64]
    groups: NDArray[np.int64]
    _resumed: dict[str, Forward] = field(default_factory=dict, init=False)

    @cached_property
    def forward(self) -> Forward:
        """The net and these images; read at the first use."""
        X, holder = self.net.prepare(rows_of(self.X, self.index)), self.net.holder
        if is_images(X):
            shape, backbone = (getattr(holder, a, None) for a in ("input_shape_", "backbone"))
            X = check_inputs(X, backbone=backbone, fitted_shape=shape)
        else:
            X = np.asarray(X, dtype=np.float64)
        device = next(self.net.module.parameters()).device
        size = inference_size(getattr(holder, "batch_size", 64), device, X.shape[1:])
        return Forward(self.net.module, X, batch_size=size)

    def trained_from(self, n_layers: int | None) -> tuple[Forward, set[str]]:
        """The net from its last `n_layers` on, and the names of the parameters to train there."""
        if n_layers is not None:
            first = last_layers(self.forward, n_layers)[0]
            return self._resumed_at(first), set(self.forward.parameters_from(first))
        weights = dict(self.net.module.named_parameters())
        free = {name for name, weight in weights.items() if weight.requires_grad}
        if not free or len(free) == len(weights):
            # None is free in a net that was frozen for predicting.
            return self.forward, set(weights)
        layers = last_layers(self.forward, 0)  # all
        first = next((name for name in layers if f"{name}.weight" in free), layers[0])
        later = free <= set(self.forward.parameters_from(first))
        return self._resumed_at(first) if later else self.forward, free

    def _resumed_at(self, layer: str) -> Forward:
        if layer not in self._resumed:
            self._resumed[layer] = self.forward.resuming_at(layer)
        return self._resumed[layer]


# A dataclass writes each parameter once; its `__init__` stores them and does nothing else.
@dataclass(eq=False, repr=False)
class IntraProcessor(MetaEstimatorMixin, ScoreMixin, BaseEstimator):
    """Base of the methods; see `RandomPerturbation` for parameters and attributes."""

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    estimator: Any = None
    _: KW_ONLY
    bias: Metric = "equalized_odds_difference"
    performance: Metric = "worst_group_accuracy"
    epsilon: float | None = None
    margin: float = 0.01
    min_performance: float | None = None
    allow_worse: bool = False
    n_thresholds: int = 501
    n_bootstrap: int = 20
    debias_fraction: float = 0.4
    callbacks: Sequence[Callable[[dict[str, Any]], Any]] | None = None
    random_state: Any = None
    verbose: int = 0

    # -- for subclasses -----------------------------------------------------------

    def _trials(self, rows: DebiasRows, objective: BoundedPerformance, seed: int) -> Trials:
        """Yield the trials with their scores of the rows, first the net as given."""
        raise NotImplementedError

    def _n_trials(self, rows: DebiasRows) -> int:
        raise NotImplementedError

    def _span(self, own: float) -> tuple[float, float]:
        """The thresholds to search, of a net with a threshold of its own."""
        return 0.0, 1.0

    # -- fitting ------------------------------------------------------------------

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Debias the net of the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
            What the estimator takes. If the estimator is frozen, rows that the net
            was not trained on.
        y : array-like of shape (n_samples,)
            Two classes.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
            Several columns mean their intersection.

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
        check_form(X, passes_on=True)
        name = type(self).__name__
        groups = check_groups(sensitive_features, len(X), required_by=name)
        assert groups is not None
        codes, labels = groups.intersection()
        if len(labels) < 2:
            raise InputError(f"{name} needs two groups or more; every row is in {labels[0]!r}.")
        y = check_labels(y, n_samples=len(X))
        seed = as_seed(self.random_state)
        rng = np.random.default_rng(seed)
        estimator = TorchClassifier(random_state=seed) if self.estimator is None else self.estimator
        fitted, index = fit_or_frozen(
            estimator,
            X,
            y,
            sensitive_features,
            cells=code_labels(y)[0] * (codes.max() + 1) + codes,
            validation_fraction=self.debias_fraction,
            rng=rng,
        )
        net = find_net(fitted, name)
        net.process_group.check_same(f"random_state of {name}, or rows", seed, len(index))
        # Codes without gaps, of the groups that these rows have.
        present, codes = np.unique(codes[index], return_inverse=True)
        targets = _encode(y[index], net.classes, name)
        rows = DebiasRows(net, X, index, targets, codes.reshape(-1).astype(np.int64))
        changed = self._debias(rows, [labels[i] for i in present], rng)
        if not self.feasible_:
            net = find_net(fit_on_all(estimator, fitted, X, y, sensitive_features), name)
            self.threshold_ = net.threshold
        self.module_ = _with_weights(net.module, changed)
        self.estimator_, self.debiased_ = net.outer, net.with_module(self.module_)
        return self

    def _debias(self, rows: DebiasRows, labels: list[Any], rng: Any) -> dict[str, torch.Tensor]:
        """The weights to change, of the best trial if it may be kept."""
        net, owner = rows.net, type(self).__name__
        objective = BoundedPerformance(
            rows.targets,
            rows.groups,
            rng,
            classes=net.classes,
            labels=labels,
            bias=self.bias,
            performance=self.performance,
            epsilon=self.epsilon,
            margin=self.margin,
            n_thresholds=self.n_thresholds,
            n_bootstrap=self.n_bootstrap,
            floor=self.min_performance,
            own_threshold=net.threshold,
            tolerance=0.0 if self.allow_worse else _TOLERANCE,
            span=self._span(net.threshold),
        )
        given = rows.forward.scores()
        if self.min_performance is None:
            objective.set_floor(given)
        if not self.allow_worse:
            objective.allow_no_worse_than(given, net.threshold)
        seed = int(rng.integers(2**32))
        with isolated_rng(seed, rows.forward.device):
            best = search(
                self._trials(rows, objective, seed),
                objective,
                total=self._n_trials(rows),
                owner=owner,
                verbose=self.verbose,
                callbacks=self.callbacks or (),
            )
        self.feasible_ = best.outcome.feasible and (
            self.allow_worse or self._may_be_kept(best, rows, objective, rng)
        )
        self.trial_ = best.trial if self.feasible_ else 0
        outcome = best.outcome if self.feasible_ else objective.at(given, net.threshold)
        if not best.outcome.feasible:
            _warn_infeasible(owner, objective, best, outcome)
        self.threshold_ = outcome.threshold
        self.bias_, self.performance_ = outcome.bias, outcome.performance
        self.min_performance_, self.interrupted_ = objective.floor, best.interrupted
        self.objective_path_ = pd.DataFrame(best.path)
        self.classes_, self.sensitive_labels_ = net.classes, labels
        return best.changed if self.feasible_ else {}

    def _may_be_kept(
        self,
        best: SearchResult,
        rows: DebiasRows,
        objective: BoundedPerformance,
        rng: np.random.Generator,
    ) -> bool:
        """Whether the cross-fitted choice passes the test in the worst cell.

        With a bound on the bias, the choice must not lower the worst cell. Without a bound, its
        only possible gain is in the worst cell, and the rows must show that gain.
        """
        owner, threshold = type(self).__name__, rows.net.threshold
        folds = stratified_folds(rows.targets + 2 * rows.groups, _SELECTION_FOLDS, rng)
        after = cross_fitted(objective, best.scores, threshold, folds)
        before = best.scores[0] > threshold
        truth = rows.targets, rows.groups
        if self.epsilon is not None:
            return not leaves_worse_off(*truth, before, after, owner=owner)
        if leaves_worse_off(*truth, before=after, after=before, level=_GAIN_LEVEL):
            return True
        warnings.warn(
            f"{owner} returns the given net with its own threshold: {len(before)} rows show no "
            f"gain in the worst cell, {worst_cell(*truth, before).accuracy:.3f} before and "
            f"{worst_cell(*truth, after).accuracy:.3f} after. Pass more rows; allow_worse=True "
            "returns the best trial.",
            FairvisionWarning,
            stacklevel=4,
        )
        return False

    def _check_parameters(self) -> None:
        if self.margin < 0 or (self.epsilon is not None and self.margin >= self.epsilon):
            raise InputError(
                f"epsilon={self.epsilon!r}, margin={self.margin!r}: the search holds the bias "
                "below epsilon - margin, which must be above 0."
            )
        if not 0 < self.debias_fraction < 1:
            raise InputError(
                f"debias_fraction is {self.debias_fraction!r}; pass a share between 0 and 1, or a "
                "FrozenEstimator, which is debiased on all rows."
            )
        check_numbers(self, "n_thresholds", low=3, whole=True)
        check_numbers(self, "n_bootstrap", whole=True)

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
        debiased = as_module(self.debiased_)
        assert isinstance(debiased, Probabilities)
        return Probabilities(debiased.module, threshold=self.threshold_)

    # -- prediction ---------------------------------------------------------------

    def _scores(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "module_")
        return np.asarray(self.debiased_.predict_proba(X), dtype=np.float64)[:, 1]

    def predict(self, X: Any) -> NDArray[Any]:
        """The second class where the net's probability of it is above `threshold_`."""
        scores = self._scores(X)  # raises before fit
        return self.classes_[(scores > self.threshold_).astype(np.intp)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n_samples, 2): the net's, shifted so that 1/2 is the threshold.

        The shift multiplies the odds by (1 - threshold) / threshold, which keeps
        the order of the rows.
        """
        score, t = self._scores(X), self.threshold_
        above, below = score * (1 - t), (1 - score) * t
        total = above + below
        # 0 / 0, where threshold and score are both 0 or both 1, is below the threshold.
        positive = np.divide(above, total, out=np.zeros_like(score), where=total > 0)
        return np.column_stack([1 - positive, positive])

    @inner_has("transform", "debiased")
    def transform(self, X: Any) -> NDArray[Any]:
        """The debiased net's features."""
        check_is_fitted(self, "module_")
        return self.debiased_.transform(X)


def _encode(y: NDArray[Any], classes: NDArray[Any], owner: str) -> NDArray[np.int64]:
    if len(classes) != 2:
        raise InputError(
            f"{owner} takes binary targets; the net knows {len(classes)} classes "
            f"({classes.tolist()}). Debias one class against the rest."
        )
    return encode_labels(y, classes)


def _warn_infeasible(
    owner: str, objective: BoundedPerformance, best: SearchResult, given: Outcome
) -> None:
    """Warn that no trial met the bounds, and name the net that is returned."""
    required = [] if objective.epsilon is None else [f"a bias below epsilon={objective.epsilon}"]
    required.append(f"a performance of {objective.floor:.3f} or more")
    if objective.lowest_cell:
        required.append(f"a worst cell of {objective.lowest_cell:.3f} or more, the given net's")
    warnings.warn(
        f"{owner} found no net with {', '.join(required)}; it returns the given net with its own "
        f"threshold: performance {given.performance:.3f}, bias {given.bias:.3f}. The closest of "
        f"{len(best.path)} trials had {best.outcome.performance:.3f} and {best.outcome.bias:.3f}. "
        "Raise epsilon, allow more trials, or pass more rows.",
        FairvisionWarning,
        stacklevel=4,
    )


def _with_weights(module: torch.nn.Module, changed: dict[str, torch.Tensor]) -> torch.nn.Module:
    copied = copy.deepcopy(module).eval()
    copied.load_state_dict(changed, strict=False)
    return copied

"""What all three methods maximise: performance subject to a bound on bias."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer

from fairvision.exceptions import InputError
from fairvision.metrics import FairnessScorer, as_scorer, available_metrics
from fairvision_intra._rates import BIASES, NAMES, PERFORMANCES, Rates, cells_of, rates_at

__all__ = ["BoundedPerformance", "Outcome"]

Floats = NDArray[np.float64]
Metric = str | Callable[..., float]
# A metric that is not computed from counts is called once for each threshold.
_SLOW_THRESHOLDS = 25


@dataclass(frozen=True)
class Outcome:
    """Performance and bias of one net at its best threshold.

    Attributes
    ----------
    value : float
        Trials are ranked by it. Above 0, it is phi of the paper. From 0 to -1, no
        threshold was feasible, and it is minus the smallest bias. Below -1, no
        threshold reached the floor of performance and the lowest worst cell.
    threshold, performance, bias : float
        Performance and size of the gap on all rows at this threshold.
    feasible : bool
        Whether the performance reaches the floor, the worst cell is not below the
        lowest that is allowed, and the bias is below epsilon, and below epsilon -
        margin in at least one resample.
    """

    value: float
    threshold: float
    performance: float
    bias: float
    feasible: bool


@dataclass(eq=False)
class BoundedPerformance:
    """Performance where \\|bias\\| < epsilon - margin, 0 elsewhere (Savani et al. 2020, eq. 1).

    Resamples are drawn within each cell of class and group, so that none misses one.

    Parameters
    ----------
    targets : ndarray of shape (n,)
        Class codes 0 and 1.
    groups : ndarray of shape (n,)
        Group codes from 0.
    rng : Generator
        Draws the resamples.
    classes : sequence of two labels
        The labels of the class codes.
    labels : list or None
        The labels of the group codes.
    bias, performance : str or scorer
        See `RandomPerturbation`.
    epsilon : float or None
        None bounds nothing.
    margin : float
    n_thresholds : int
        Grid over `span`.
    n_bootstrap : int
        Resamples that phi is averaged over. They are drawn once, so that all trials
        are compared on the same rows. 0 takes the rows as they are.
    floor : float or None
        Performance below which no threshold is feasible; None until `set_floor`.
    lowest_cell : float
        Accuracy of the worst cell below which no threshold is feasible.
    own_threshold : float
        The given net's.
    span : tuple (lowest, highest)
        Of the thresholds.
    tolerance : float
        Of thresholds whose values are within it of the largest, the one nearest to the given
        net's is chosen: an extreme one suits the scores of these rows, not those of new rows.
    """

    targets: NDArray[np.int64]
    groups: NDArray[np.int64]
    rng: np.random.Generator
    classes: Any = (0, 1)
    labels: Any = None
    bias: Any = "equalized_odds_difference"
    performance: Any = "worst_group_accuracy"
    epsilon: float | None = None
    margin: float = 0.01
    n_thresholds: int = 501
    n_bootstrap: int = 5
    floor: float | None = None
    lowest_cell: float = 0.0
    own_threshold: float = 0.5
    span: tuple[float, float] = (0.0, 1.0)
    tolerance: float = 0.0
    thresholds: Floats = field(init=False)
    weights: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.classes = np.asarray(self.classes)
        if self.labels is None:
            self.labels = list(range(int(self.groups.max()) + 1))
        self.bias = _resolve(self.bias, BIASES)
        self.performance = _resolve(self.performance, PERFORMANCES)
        if not self._from_counts:
            self.n_thresholds, self.n_bootstrap = min(self.n_thresholds, _SLOW_THRESHOLDS), 0
        self.thresholds = np.linspace(*self.span, self.n_thresholds)
        n, cells = len(self.targets), cells_of(self.targets, self.groups)
        draws = [
            np.bincount(np.concatenate([self.rng.choice(c, len(c)) for c in cells]), minlength=n)
            for _ in range(self.n_bootstrap)
        ]
        # All rows come first; phi is averaged over the resamples.
        self.weights = np.stack([np.ones(n), *draws]).astype(np.float64)
        self._check_defined()

    @property
    def _from_counts(self) -> bool:
        return isinstance(self.bias, str) and isinstance(self.performance, str)

    def _check_defined(self) -> None:
        cells = np.bincount(self.groups * 2 + self.targets, minlength=2 * len(self.labels))
        empty = [
            f"group {self.labels[i // 2]!r} has no rows of class {self.classes.tolist()[i % 2]!r}"
            for i in np.flatnonzero(cells == 0)
        ]
        perfect = self.targets.astype(np.float64)
        if empty and np.isnan(self.measure(perfect, np.array([0.5]))[1][0, 0]):
            raise InputError(
                f"bias={self.bias!r} is undefined on the debiasing rows: {'; '.join(empty)}. "
                "Pass rows of every group and class, or a bias that needs fewer of them, such as "
                "'demographic_parity_difference'."
            )

    def without(self, rows: NDArray[np.intp]) -> BoundedPerformance:
        """The same objective, to which these rows do not count."""
        objective = copy.copy(self)
        objective.weights = self.weights.copy()
        objective.weights[:, rows] = 0
        return objective

    def measure(self, scores: Floats, thresholds: Floats) -> tuple[Floats, Floats]:
        """Performance and bias, each of shape (n_draws, n_thresholds); all rows come first."""
        if self._from_counts:
            with np.errstate(invalid="ignore", divide="ignore"):
                rates = rates_at(scores, thresholds, self.targets, self.groups, self.weights)
                return PERFORMANCES[self.performance](rates), BIASES[self.bias](rates)
        performance = [[self._score(self.performance, PERFORMANCES, scores, t) for t in thresholds]]
        bias = [[self._score(self.bias, BIASES, scores, t) for t in thresholds]]
        return np.array(performance, dtype=np.float64), np.array(bias, dtype=np.float64)

    def _worst_cell(self, scores: Floats, thresholds: Floats) -> Floats:
        """Of all rows, shape (n_thresholds,)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = rates_at(scores, thresholds, self.targets, self.groups, self.weights[:1])
            return PERFORMANCES["worst_group_accuracy"](rates)[0]

    def _score(self, metric: Any, formulas: Any, scores: Floats, threshold: float) -> float:
        """One metric, a name or a scorer, at one threshold on all rows."""
        if isinstance(metric, str):
            at = np.array([threshold])
            rates = rates_at(scores, at, self.targets, self.groups, self.weights[:1])
            return float(formulas[metric](rates)[0, 0])
        known, rows = {}, self.weights[0] > 0
        if isinstance(metric, FairnessScorer):
            names = np.array([str(label) for label in self.labels], dtype=object)
            known["sensitive_features"] = names[self.groups[rows]]
        classifier = _Thresholded(self.classes, threshold)
        truth = self.classes[self.targets[rows]]
        value = float(metric(classifier, scores[rows, None], truth, **known))
        return _size(metric, value) if formulas is BIASES else value

    def at(self, scores: Floats, threshold: float) -> Outcome:
        """The outcome of a net at its own threshold, marked as not feasible."""
        performance, bias = self.measure(scores, np.array([threshold]))
        return Outcome(0.0, threshold, float(performance[0, 0]), float(bias[0, 0]), False)

    def allow_no_worse_than(self, scores: Floats, threshold: float) -> None:
        """Require the worst cell of a net at this threshold, on the rows that count."""
        self.lowest_cell = float(self._worst_cell(scores, np.array([threshold]))[0])

    def set_floor(self, scores: Floats) -> None:
        """Set the floor halfway between a constant prediction and the net with these scores."""
        constant = max(
            float(self.measure(np.full(len(self.targets), value), np.array([0.5]))[0][0, 0])
            for value in (0.0, 1.0)
        )
        best = float(np.nanmax(self.measure(scores, self.thresholds)[0][0]))
        self.floor = (constant + best) / 2

    def best_threshold(self, scores: Floats) -> Outcome:
        """The threshold with the largest phi.

        Parameters
        ----------
        scores : ndarray of shape (n,)
            Of the class coded 1, in 0 to 1.
        """
        performance, bias = self.measure(scores, self.thresholds)
        resampled = slice(1, None) if len(performance) > 1 else slice(None)
        epsilon = np.inf if self.epsilon is None else self.epsilon
        # An undefined bias cannot show that the bound holds; without a bound it shows nothing.
        size = np.nan_to_num(bias, nan=0.0 if self.epsilon is None else np.inf)
        phi = np.where(size[resampled] < epsilon - self.margin, performance[resampled], 0.0)
        phi = np.nan_to_num(phi.mean(0))
        enough = performance[0] >= (-np.inf if self.floor is None else self.floor)
        enough &= self._worst_cell(scores, self.thresholds) >= self.lowest_cell
        # A lucky resample does not make up for a bias above the bound on all rows.
        phi[~enough | ~(size[0] < epsilon)] = 0.0
        if phi.max() > 0:
            best, value = self._chosen(phi), float(phi.max())
        elif enough.any():
            gap = np.where(enough, np.nan_to_num(bias[0], nan=1.0), np.inf)
            best, value = _middle_of_largest(-gap), -float(min(gap.min(), 1.0))
        else:
            score = np.nan_to_num(performance[0], nan=0.0)
            best, value = _middle_of_largest(score), -2.0 + float(score.max())
        return Outcome(
            value=value,
            threshold=float(self.thresholds[best]),
            performance=float(performance[0, best]),
            bias=float(bias[0, best]),
            feasible=value > 0,
        )

    def _chosen(self, phi: Floats) -> int:
        """Index of the threshold to take."""
        if not self.tolerance:
            return _middle_of_largest(phi)
        good = np.flatnonzero(phi >= phi.max() - self.tolerance)
        return int(good[np.argmin(abs(self.thresholds[good] - self.own_threshold))])


def _middle_of_largest(values: Floats) -> int:
    """Index of the largest value; of several equal ones the middle, far from both edges."""
    best = np.flatnonzero(values == values.max())
    return int(best[len(best) // 2])


def _resolve(metric: Metric, formulas: dict[str, Callable[[Rates], Any]]) -> Any:
    """The name of a metric that has a formula on counts; a scorer for any other."""
    if not isinstance(metric, str):
        if not callable(metric):
            raise InputError(f"{metric!r} is no metric; pass a name or a scorer.")
        return metric
    name = NAMES.get(metric, metric.replace("-", "_"))
    if name in formulas:
        return name
    if formulas is BIASES or name in available_metrics():
        return as_scorer(name)
    try:
        return get_scorer(metric)
    except ValueError:
        return as_scorer(metric)  # a plugin's metric, or an error that names the closest


def _size(scorer: Any, value: float) -> float:
    """The gap behind a score: scorers negate gaps and leave ratios as they are."""
    name = getattr(scorer, "metric", "")
    return 1 - value if name.endswith("_ratio") or name == "disparate_impact" else abs(value)


class _Thresholded(ClassifierMixin, BaseEstimator):
    """A classifier for scorers whose X is the scores, as a column."""

    def __init__(self, classes: NDArray[Any], threshold: float) -> None:
        self.classes = classes
        self.threshold = threshold
        self.classes_ = classes

    def predict(self, X: Floats) -> NDArray[Any]:
        return self.classes[(X[:, 0] > self.threshold).astype(int)]

    def predict_proba(self, X: Floats) -> Floats:
        return np.column_stack([1 - X[:, 0], X[:, 0]])

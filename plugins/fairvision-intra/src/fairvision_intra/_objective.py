"""The one objective of all three methods: performance subject to a bound on bias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer

from fairvision.exceptions import InputError
from fairvision.metrics import FairnessScorer, as_scorer, available_metrics
from fairvision_intra._rates import BIASES, NAMES, PERFORMANCES, Rates, rates_at

__all__ = ["Objective", "Outcome"]

Floats = NDArray[np.float64]
Metric = str | Callable[..., float]
# A metric that is not computed from counts is called once a threshold.
_SLOW_THRESHOLDS = 25


@dataclass(frozen=True)
class Outcome:
    """What the best threshold makes of one net's scores.

    Attributes
    ----------
    value : float
        What trials are ranked by. Above 0: phi of the paper. Otherwise no
        threshold was feasible, and nearer to 0 is less biased; below -1, none
        reached the floor of performance either.
    threshold, performance, bias : float
        Performance and size of the gap on all rows at this threshold.
    feasible : bool
        Whether the gap is below epsilon there, and below epsilon - margin in a
        resample, at the performance asked for.
    """

    value: float
    threshold: float
    performance: float
    bias: float
    feasible: bool


class Objective:
    """Performance where \\|bias\\| < epsilon - margin, 0 elsewhere (Savani et al. 2020, eq. 1).

    Parameters
    ----------
    targets : ndarray of shape (n,)
        Class codes 0 and 1.
    groups : ndarray of shape (n,)
        Group codes from 0.
    classes, labels : sequences
        What the codes stand for.
    bias, performance : str or scorer
        See `RandomPerturbation`.
    epsilon, margin : float
    n_thresholds : int
        Grid over 0 to 1.
    n_bootstrap : int
        Resamples that phi is averaged over; 0 takes the rows as they are. Drawn
        once, so that all trials are judged on the same ones.
    floor : float or None
        Performance below which nothing is feasible; None until `set_floor`.
    rng : Generator
    """

    def __init__(
        self,
        targets: NDArray[np.int64],
        groups: NDArray[np.int64],
        *,
        classes: Any = (0, 1),
        labels: Any = None,
        bias: Metric = "average_odds_difference",
        performance: Metric = "balanced_accuracy",
        epsilon: float = 0.05,
        margin: float = 0.01,
        n_thresholds: int = 501,
        n_bootstrap: int = 5,
        floor: float | None = None,
        rng: np.random.Generator,
    ) -> None:
        self.targets, self.groups = targets, groups
        self.classes = np.asarray(classes)
        self.labels = list(range(int(groups.max()) + 1)) if labels is None else list(labels)
        self.epsilon, self.margin, self.floor = epsilon, margin, floor
        self.bias, self.performance = _known(bias, BIASES), _known(performance, PERFORMANCES)
        self.counted = isinstance(self.bias, str) and isinstance(self.performance, str)
        if not self.counted:
            n_thresholds, n_bootstrap = min(n_thresholds, _SLOW_THRESHOLDS), 0
        self.thresholds = np.linspace(0, 1, n_thresholds)
        n = len(targets)
        draws = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(n_bootstrap)]
        # The rows as they are come first; phi is averaged over the others.
        self.weights = np.stack([np.ones(n), *draws]).astype(np.float64)
        self._check()

    def _check(self) -> None:
        cells = np.bincount(self.groups * 2 + self.targets, minlength=2 * len(self.labels))
        empty = [
            f"group {self.labels[i // 2]!r} has no rows of class {self.classes.tolist()[i % 2]!r}"
            for i in np.flatnonzero(cells == 0)
        ]
        perfect = self.targets.astype(np.float64)
        if not empty or not np.isnan(self.measure(perfect, np.array([0.5]))[1][0, 0]):
            return
        raise InputError(
            f"bias={self.bias!r} is undefined on the validation rows: {'; '.join(empty)}. "
            "Pass rows of every group and class, or a bias that needs fewer of them (as "
            "'demographic_parity_difference')."
        )

    def measure(self, scores: Floats, thresholds: Floats) -> tuple[Floats, Floats]:
        """Performance and bias, each of shape (n_draws, n_thresholds), all rows first."""
        if self.counted:
            with np.errstate(invalid="ignore", divide="ignore"):
                rates = rates_at(scores, thresholds, self.targets, self.groups, self.weights)
                return PERFORMANCES[self.performance](rates), BIASES[self.bias](rates)
        pairs = [self._score(scores, threshold) for threshold in thresholds]
        performance, bias = np.array(pairs, dtype=np.float64).T
        return performance[None], bias[None]

    def _score(self, scores: Floats, threshold: float) -> tuple[float, float]:
        cut = _Cut(self.classes, threshold)
        X, y = scores[:, None], self.classes[self.targets]
        values = []
        for metric, table in ((self.performance, PERFORMANCES), (self.bias, BIASES)):
            if isinstance(metric, str):
                rates = rates_at(
                    scores, np.array([threshold]), self.targets, self.groups, self.weights[:1]
                )
                values.append(float(table[metric](rates)[0, 0]))
            elif isinstance(metric, FairnessScorer):
                values.append(metric(cut, X, y, sensitive_features=self.groups_as_labels()))
            else:
                values.append(float(metric(cut, X, y)))
        if not isinstance(self.bias, str):
            values[1] = _size(self.bias, values[1])
        return values[0], values[1]

    def groups_as_labels(self) -> NDArray[Any]:
        labels = np.empty(len(self.labels), dtype=object)
        labels[:] = [str(label) for label in self.labels]
        return labels[self.groups]

    def set_floor(self, scores: Floats) -> None:
        """Ask for half of what the given net's performance has over a constant prediction's."""
        constant = max(
            float(self.measure(np.full(len(self.targets), value), np.array([0.5]))[0][0, 0])
            for value in (0.0, 1.0)
        )
        best = float(np.nanmax(self.measure(scores, self.thresholds)[0][0]))
        self.floor = (constant + best) / 2

    def search(self, scores: Floats) -> Outcome:
        """The threshold with the best phi.

        Parameters
        ----------
        scores : ndarray of shape (n,)
            Of the class coded 1, in 0 to 1.
        """
        performance, bias = self.measure(scores, self.thresholds)
        resampled = slice(1, None) if len(performance) > 1 else slice(None)
        # A resample in which a rate is undefined cannot show that the bound holds.
        within = bias[resampled] < self.epsilon - self.margin
        phi = np.where(within, performance[resampled], 0.0).mean(0)
        enough = performance[0] >= (-np.inf if self.floor is None else self.floor)
        # A lucky resample does not make up for rows that are out of bounds.
        phi[~enough | ~(bias[0] < self.epsilon)] = 0.0
        if phi.max() > 0:
            chosen, value = _middle(phi), float(phi.max())
        elif enough.any():
            gap = np.where(enough, np.nan_to_num(bias[0], nan=1.0), np.inf)
            chosen, value = _middle(-gap), -float(min(gap.min(), 1.0))
        else:
            chosen, value = _middle(performance[0]), -2.0 + float(performance[0].max())
        return Outcome(
            value=value,
            threshold=float(self.thresholds[chosen]),
            performance=float(performance[0, chosen]),
            bias=float(bias[0, chosen]),
            feasible=value > 0,
        )


def _middle(values: Floats) -> int:
    """Where the largest value is: the middle one of equals, farthest from both edges."""
    best = np.flatnonzero(values == values.max())
    return int(best[len(best) // 2])


def _known(metric: Metric, counted: dict[str, Callable[[Rates], Floats]]) -> Any:
    """A metric's name if it is computed from counts, else a scorer."""
    if not isinstance(metric, str):
        if not callable(metric):
            raise InputError(f"{metric!r} is no metric; pass a name or a scorer.")
        return metric
    name = NAMES.get(metric, metric.replace("-", "_"))
    if name in counted:
        return name
    if counted is BIASES or name in available_metrics():
        return as_scorer(name)
    try:
        return get_scorer(metric)
    except ValueError:
        return as_scorer(metric)  # a plugin's metric, or an error that names the closest


def _size(scorer: Any, value: float) -> float:
    """The gap behind a score: scorers turn gaps negative, and leave ratios as they are."""
    name = getattr(scorer, "metric", "")
    return 1 - value if name.endswith("_ratio") or name == "disparate_impact" else abs(value)


class _Cut(ClassifierMixin, BaseEstimator):
    """Scores and a threshold, as the fitted classifier that a scorer wants to see."""

    def __init__(self, classes: NDArray[Any], threshold: float) -> None:
        self.classes = classes
        self.threshold = threshold
        self.classes_ = classes

    def predict(self, X: Floats) -> NDArray[Any]:
        return self.classes[(X[:, 0] > self.threshold).astype(int)]

    def predict_proba(self, X: Floats) -> Floats:
        return np.column_stack([1 - X[:, 0], X[:, 0]])

"""Metrics as scikit-learn scorers that receive the groups by metadata routing."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED

from fairvision.exceptions import GroupsRequiredError
from fairvision.metrics.estimator import evaluate
from fairvision.metrics.selection import metric_direction, resolve_name

__all__ = ["FairnessScorer", "as_scorer"]


class FairnessScorer(BaseEstimator):
    """A scorer that asks for `sensitive_features`; make it with :func:`as_scorer`.

    Parameters
    ----------
    metric : str
    options : dict or None
        Further arguments of :func:`evaluate`, such as ``privileged``.
    """

    # Requested by default: a fairness score without groups has no meaning.
    # The estimator is an argument of `score`, but no metadata.
    __metadata_request__score: ClassVar[dict[str, Any]] = {
        "sensitive_features": True,
        "estimator": UNUSED,
    }

    def __init__(self, metric: str, options: dict[str, Any] | None = None) -> None:
        self.metric = metric
        self.options = options

    def __call__(self, estimator: Any, X: Any, y: ArrayLike, **metadata: Any) -> float:
        """Score as scikit-learn's scorers do; see `score`."""
        return self.score(estimator, X, y, **metadata)

    def _accept_sample_weight(self) -> bool:
        return True  # scikit-learn asks every scorer of several

    def score(
        self,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score a fitted estimator; NaN where the metric is undefined on these rows.

        Raises
        ------
        GroupsRequiredError
            If no groups were routed.
        """
        if sensitive_features is None:
            raise GroupsRequiredError(
                f"the scorer of {self.metric!r} got no sensitive_features. Pass them to fit, as "
                "in search.fit(X, y, sensitive_features=...), under "
                "sklearn.config_context(enable_metadata_routing=True)."
            )
        evaluation = evaluate(
            estimator,
            X,
            y,
            sensitive_features=sensitive_features,
            sample_weight=sample_weight,
            metrics=[self.metric],
            n_boot=0,
            random_state=0,
            **(self.options or {}),
        )
        return _utility(self.metric, float(evaluation.interval(self.metric)["value"]))


def _utility(name: str, value: float) -> float:
    """The metric's value turned so that greater is better."""
    direction = metric_direction(name)
    if direction == "near 0":
        return -abs(value)
    if direction == "near 1":
        return min(value, 1 / value) if value > 0 else value
    return value if direction == "higher" else -value


def as_scorer(name: str, **options: Any) -> FairnessScorer:
    """Make a scikit-learn scorer of a metric, greater being better.

    Gaps are negated, signed differences and bias amplification count by their
    size, and a disparate impact above 1 by its inverse.

    Parameters
    ----------
    name : str
        One of :func:`available_metrics`, or a plugin's metric.
    **options
        Further arguments of :func:`evaluate`, such as ``privileged="light"``.

    Returns
    -------
    FairnessScorer
        For ``scoring=`` of `GridSearchCV` or `cross_validate`, which route
        `sensitive_features` to it when metadata routing is enabled.

    Raises
    ------
    InputError
        If there is no such metric.

    Examples
    --------
    >>> from fairvision.metrics import as_scorer
    >>> as_scorer("accuracy_gap")
    FairnessScorer(metric='accuracy_gap')
    """
    return FairnessScorer(resolve_name(name), options or None)

"""fairlearn's ThresholdOptimizer behind our contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import Bunch, Tags, TransformerTags, _safe_indexing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fairvision.base import (
    all_or_nothing,
    check_groups,
    fit_or_frozen,
    fitted_attributes,
    groups_at_predict,
)
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier, as_seed
from fairvision.toolkits.inputs import read_binary

__all__ = ["ThresholdOptimizedClassifier"]


class _Scores(ClassifierMixin, BaseEstimator):
    """Hands fairlearn the scores that it is given: pixels are run through the net once."""

    def fit(self, X: Any, y: Any) -> Self:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> NDArray[np.float64]:
        return np.asarray(X, dtype=np.float64)[:, 0]


def _has_transform(self: Any) -> bool:
    getattr(getattr(self, "estimator_", self.estimator), "transform")  # noqa: B009
    return True


class ThresholdOptimizedClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A threshold for each group, some of them drawn (fairlearn's ThresholdOptimizer) [1]_.

    It must be told the group of every row that it predicts.

    Parameters
    ----------
    estimator : classifier or None, default=None
        With ``predict_proba``. In `FrozenEstimator` it is used as it is, and all
        rows are used to find thresholds; else it is cloned and fitted on a part
        of them. None is a `TorchClassifier`.
    constraints : str, default="equalized_odds"
        As fairlearn names them: ``"demographic_parity"``,
        ``"true_positive_rate_parity"``, ``"false_positive_rate_parity"``, ...
    objective : str, default="balanced_accuracy_score"
        As fairlearn names it; not every constraint goes with every objective.
    grid_size : int, default=1000
    debias_fraction : float, default=0.4
        Share of the rows that thresholds are found on.
    random_state : int, RandomState or None, default=None
        Of the split, and of the draws in `predict`.

    Attributes
    ----------
    estimator_ : the fitted estimator
    threshold_optimizer_ : fairlearn.postprocessing.ThresholdOptimizer
        Over the estimator's scores.
    classes_ : ndarray of shape (2,)
    groups_ : Groups

    References
    ----------
    .. [1] M. Hardt, E. Price, N. Srebro: Equality of Opportunity in Supervised
       Learning. NeurIPS 2016, arXiv:1610.02413.
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}
    __metadata_request__predict: ClassVar = {"sensitive_features": True}
    __metadata_request__predict_proba: ClassVar = {"sensitive_features": True}
    __metadata_request__score: ClassVar = {"sensitive_features": True}

    def __init__(
        self,
        estimator: Any = None,
        *,
        constraints: str = "equalized_odds",
        objective: str = "balanced_accuracy_score",
        grid_size: int = 1000,
        debias_fraction: float = 0.4,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.constraints = constraints
        self.objective = objective
        self.grid_size = grid_size
        self.debias_fraction = debias_fraction
        self.random_state = random_state

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Find the thresholds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
        y : array-like of shape (n_samples,)
            Two classes.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
            Several columns are crossed.

        Raises
        ------
        GroupsRequiredError
            Without group labels.
        InputError
            If the target is not binary, or a group has rows of one class only.
        """
        classes, codes, groups = read_binary(self, X, y, sensitive_features)
        self._check_estimator()
        cells, labels = groups.intersection()
        seed = as_seed(self.random_state)
        self.estimator_, rows = fit_or_frozen(
            TorchClassifier(random_state=seed) if self.estimator is None else self.estimator,
            X,
            classes[codes],
            sensitive_features,
            cells=codes * len(labels) + cells,
            validation_fraction=self.debias_fraction,
            rng=np.random.default_rng(seed),
        )
        self.classes_, self.groups_ = classes, groups
        self._check_support(codes[rows], cells[rows], labels)
        self.threshold_optimizer_ = self._optimizer()
        self.threshold_optimizer_.fit(
            self._scores(_rows(X, rows)), codes[rows], sensitive_features=cells[rows]
        )
        return self

    def _optimizer(self) -> Any:
        from fairlearn.postprocessing import ThresholdOptimizer

        return ThresholdOptimizer(
            estimator=_Scores(),
            constraints=self.constraints,
            objective=self.objective,
            grid_size=self.grid_size,
            flip=False,
            prefit=True,
            predict_method="predict",
        )

    def __fairvision_getstate__(self) -> dict[str, Any]:
        """fairlearn's rules of each group as numbers, in place of its objects."""
        state = fitted_attributes(self)
        optimizer = state.pop("threshold_optimizer_", None)
        if optimizer is not None:
            rules = optimizer.interpolated_thresholder_.interpolation_dict
            state["rules"] = {cell: _as_numbers(rule) for cell, rule in rules.items()}
        return state

    def __fairvision_setstate__(self, state: Mapping[str, Any]) -> None:
        # fairlearn offers no other way to make these than its own search.
        from fairlearn.postprocessing._interpolated_thresholder import InterpolatedThresholder

        for name in state.keys() - {"rules"}:
            setattr(self, name, state[name])
        if "rules" in state:
            rules = {cell: _from_numbers(rule) for cell, rule in state["rules"].items()}
            optimizer = self._optimizer()
            optimizer.estimator_ = optimizer.estimator
            optimizer.interpolated_thresholder_ = InterpolatedThresholder(
                _Scores(), rules, prefit=True, predict_method="predict"
            ).fit([], [])
            self.threshold_optimizer_ = optimizer

    def _check_estimator(self) -> None:
        if self.estimator is None:
            return
        if not hasattr(self.estimator, "predict_proba"):
            raise InputError(
                f"{type(self.estimator).__name__} has no predict_proba, so no scores to put "
                "thresholds on."
            )
        name = groups_at_predict(self.estimator)
        if name is not None:
            raise InputError(
                f"{name} reads the group of each row that it predicts itself; "
                f"{type(self).__name__} needs scores that are the same for every group."
            )

    def _check_support(self, codes: Any, cells: Any, labels: list[Any]) -> None:
        for cell, label in enumerate(labels):
            if len(np.unique(codes[cells == cell])) < 2:
                raise InputError(
                    f"group {label!r} has no rows of one of the classes {self.classes_.tolist()} "
                    "among those that thresholds are found on. Merge small groups."
                )

    def _scores(self, X: Any) -> NDArray[np.float64]:
        column = list(np.asarray(self.estimator_.classes_)).index(self.classes_[1])
        scores = np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)
        return scores[:, column : column + 1]

    def _positive(self, X: Any, sensitive_features: Any) -> NDArray[np.float64]:
        """Probability that the randomised thresholds give the second class."""
        check_is_fitted(self)
        groups = check_groups(sensitive_features, len(X), required_by=type(self).__name__)
        # fairlearn calls rows of groups that it never saw negative, without a word.
        cells = self.groups_.cells_of(groups)  # type: ignore[arg-type]
        # fairlearn offers drawn labels only; what they are drawn by is behind an underscore.
        pmf = self.threshold_optimizer_._pmf_predict(self._scores(X), sensitive_features=cells)
        return np.asarray(pmf, dtype=np.float64)[:, 1]

    def predict(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Labels, drawn where a group's threshold is a mixture of two.

        The same `random_state` draws the same; with None every call draws anew.

        Raises
        ------
        GroupsRequiredError
            Without group labels.
        InputError
            If a group was not there at fit.
        """
        positive = self._positive(X, sensitive_features)
        draws = np.random.default_rng(as_seed(self.random_state)).random(len(positive))
        return self.classes_[(positive > draws).astype(int)]

    def predict_proba(self, X: Any, *, sensitive_features: Any = None) -> NDArray[np.float64]:
        """How likely `predict` is to draw each class, shape (n_samples, 2)."""
        positive = self._positive(X, sensitive_features)
        return np.column_stack([1 - positive, positive])

    def score(
        self, X: Any, y: ArrayLike, sample_weight: Any = None, *, sensitive_features: Any = None
    ) -> float:
        """Accuracy."""
        from sklearn.metrics import accuracy_score

        predicted = self.predict(X, sensitive_features=sensitive_features)
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags()  # it has `transform`, where the estimator has
        tags.classifier_tags.multi_class = False
        return tags

    @available_if(_has_transform)
    def transform(self, X: Any) -> NDArray[Any]:
        """The estimator's features."""
        check_is_fitted(self)
        return self.estimator_.transform(X)


def _as_numbers(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule's probabilities, and its operations as pairs of operator and threshold."""
    return {
        name: (value.operator, float(value.threshold)) if hasattr(value, "operator") else value
        for name, value in rule.items()
    }


def _from_numbers(rule: Mapping[str, Any]) -> Bunch:
    from fairlearn.postprocessing._threshold_operation import ThresholdOperation

    return Bunch(
        **{k: ThresholdOperation(*v) if isinstance(v, tuple) else v for k, v in rule.items()}
    )


def _rows(X: Any, rows: NDArray[np.intp]) -> Any:
    return X if len(rows) == len(X) else _safe_indexing(X, rows)

"""fairlearn's ThresholdOptimizer on images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch, Tags, TransformerTags, _safe_indexing
from sklearn.utils.validation import check_is_fitted

from fairvision.base import (
    all_or_nothing,
    check_groups,
    check_labels,
    cross_fitted,
    fit_on_all,
    fitted_attributes,
    groups_at_predict,
    inner_has,
    leaves_worse_off,
    rows_for,
    stratified_folds,
)
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier, as_seed, check_scores
from fairvision.toolkits.inputs import check_binary, draw_labels

__all__ = ["ThresholdOptimizedClassifier"]

_FOLDS = 5


class _Scores(ClassifierMixin, BaseEstimator):
    """The estimator that fairlearn sees: X already holds the scores of the real one."""

    def fit(self, X: Any, y: Any) -> Self:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> NDArray[np.float64]:
        return np.asarray(X, dtype=np.float64)[:, 0]


@dataclass(eq=False, repr=False)
class ThresholdOptimizedClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A threshold for each group, randomized if needed (fairlearn's ThresholdOptimizer) [1]_.

    `predict` needs the group of every row.

    Thresholds for each group are found on four fifths of each cell of class and group, in
    turn, and judged by the rest. Where they leave the worst cell worse off than the
    estimator's own predictions, the estimator is kept as it is, with a warning.

    Parameters
    ----------
    estimator : classifier or None, default=None
        It must have ``predict_proba``. A `FrozenEstimator` is used as it is. Any other is
        cloned and fitted on all rows; thresholds are found on the scores of clones that were
        fitted to other rows. None is a `TorchClassifier`.
    constraints : str, default="equalized_odds"
        As fairlearn names them: ``"demographic_parity"``,
        ``"true_positive_rate_parity"``, ``"false_positive_rate_parity"``, ...
    objective : str, default="balanced_accuracy_score"
        The score to maximize, as fairlearn names it; each constraint allows certain ones.
    grid_size : int, default=1000
        Number of points at which fairlearn compares the groups' rates.
    n_folds : int, default=3
        Number of folds, each scored by a clone that was fitted on the others: so many
        trainings more.
    allow_worse : bool, default=False
        Whether the thresholds may leave the worst cell worse off, beyond chance.
    random_state : int, RandomState or None, default=None
        For the split of the rows, and the draws in `predict`.

    Attributes
    ----------
    estimator_ : the fitted estimator
    threshold_optimizer_ : fairlearn.postprocessing.ThresholdOptimizer or None
        Fitted on the estimator's scores. None where the estimator is kept as it is.
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

    estimator: Any = None
    _: KW_ONLY
    constraints: str = "equalized_odds"
    objective: str = "balanced_accuracy_score"
    grid_size: int = 1000
    n_folds: int = 3
    allow_worse: bool = False
    random_state: Any = None

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Find the thresholds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
        y : array-like of shape (n_samples,)
            Two classes.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
            Several columns mean their intersection.

        Raises
        ------
        GroupsRequiredError
            Without group labels.
        InputError
            If the target is not binary, or a group has rows of one class only.
        """
        classes, codes, groups = check_binary(self, X, y, sensitive_features)
        self._check_estimator()
        group_codes, labels = groups.intersection()
        seed = as_seed(self.random_state)
        rng = np.random.default_rng(seed)
        self.classes_, self.groups_ = classes, groups
        given = TorchClassifier(random_state=seed) if self.estimator is None else self.estimator
        cells = codes * len(labels) + group_codes
        # The only row of a cell is in no fold.
        scored = isinstance(given, FrozenEstimator) | (np.bincount(cells)[cells] > 1)
        self._check_support(codes[scored], group_codes[scored], labels)
        data = X, classes[codes], sensitive_features
        parts = []
        for fitted, rows in cross_fitted(given, *data, cells=cells, n_folds=self.n_folds, rng=rng):
            some = X if len(rows) == len(X) else rows_for(fitted, X, rows)
            parts.append((rows, self._scores(some, fitted), np.asarray(fitted.predict(some))))
        rows, scores, predicted = map(np.concatenate, zip(*parts, strict=True))
        self.estimator_ = fit_on_all(given, given, *data)
        codes, group_codes = codes[rows], group_codes[rows]
        self.threshold_optimizer_ = self._fit_thresholds(scores, codes, group_codes)
        if not self.allow_worse:
            before, names = predicted == classes[1], _safe_indexing(labels, group_codes)
            if self._leaves_worse_off(scores, codes, group_codes, names, before, rng):
                self.threshold_optimizer_ = None
        return self

    def _fit_thresholds(self, scores: Any, codes: Any, group_codes: Any) -> Any:
        optimizer = self._optimizer()
        return optimizer.fit(scores, codes, sensitive_features=group_codes)

    def _leaves_worse_off(
        self, scores: Any, codes: Any, group_codes: Any, names: Any, given: Any, rng: Any
    ) -> bool:
        """Whether thresholds found on other rows lower the worst cell of the given labels."""
        after = given.copy()
        cells = codes * (group_codes.max() + 1) + group_codes
        for fold in stratified_folds(cells, _FOLDS, rng):
            rest = np.setdiff1d(np.arange(len(codes)), fold)
            optimizer = self._fit_thresholds(scores[rest], codes[rest], group_codes[rest])
            pmf = optimizer._pmf_predict(scores[fold], sensitive_features=group_codes[fold])
            after[fold] = rng.random(len(fold)) < np.asarray(pmf)[:, 1]
        truth = self.classes_[codes]
        before, after = (self.classes_[labels.astype(int)] for labels in (given, after))
        return leaves_worse_off(truth, names, before, after, owner=type(self).__name__)

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
        """The fitted attributes, with fairlearn's rule of each group as numbers."""
        state = fitted_attributes(self)
        optimizer = state.pop("threshold_optimizer_", None)
        if optimizer is not None:
            rules = optimizer.interpolated_thresholder_.interpolation_dict
            state["rules"] = {group: _as_numbers(rule) for group, rule in rules.items()}
        return state

    def __fairvision_setstate__(self, state: Mapping[str, Any]) -> None:
        # fairlearn has no public way to restore a fitted ThresholdOptimizer.
        from fairlearn.postprocessing._interpolated_thresholder import InterpolatedThresholder

        for name in state.keys() - {"rules"}:
            setattr(self, name, state[name])
        if "rules" in state:
            rules = {group: _from_numbers(rule) for group, rule in state["rules"].items()}
            optimizer = self._optimizer()
            optimizer.estimator_ = optimizer.estimator
            optimizer.interpolated_thresholder_ = InterpolatedThresholder(
                _Scores(), rules, prefit=True, predict_method="predict"
            ).fit([], [])
            self.threshold_optimizer_ = optimizer
        elif "classes_" in state:
            self.threshold_optimizer_ = None

    def _check_estimator(self) -> None:
        if self.estimator is None:
            return
        if not hasattr(self.estimator, "predict_proba"):
            raise InputError(
                f"{type(self.estimator).__name__} has no predict_proba; thresholds need its scores."
            )
        name = groups_at_predict(self.estimator)
        if name is not None:
            raise InputError(
                f"{name} reads groups at predict; {type(self).__name__} needs an estimator whose "
                "scores are the same for every group."
            )

    def _check_support(self, codes: Any, group_codes: Any, labels: list[Any]) -> None:
        for group, label in enumerate(labels):
            if len(np.unique(codes[group_codes == group])) < 2:
                raise InputError(
                    f"group {label!r} has no rows of one of the classes {self.classes_.tolist()} "
                    "among the rows for the thresholds. Merge small groups."
                )

    def _scores(self, X: Any, fitted: Any = None) -> NDArray[np.float64]:
        fitted = self.estimator_ if fitted is None else fitted
        column = list(np.asarray(fitted.classes_)).index(self.classes_[1])
        scores = np.asarray(fitted.predict_proba(X), dtype=np.float64)
        # fairlearn never ends with NaN.
        return check_scores(scores, type(fitted).__name__)[:, column : column + 1]

    def _positive(self, X: Any, sensitive_features: Any) -> NDArray[np.float64]:
        """Probability that `predict` gives the second class."""
        check_is_fitted(self)
        groups = check_groups(sensitive_features, len(X), required_by=type(self).__name__)
        # cells_of raises for an unknown group; fairlearn would predict the first class.
        group_codes = self.groups_.cells_of(groups)  # type: ignore[arg-type]
        # fairlearn's public predict returns drawn labels only.
        optimizer = self.threshold_optimizer_
        if optimizer is None:
            return self._scores(X)[:, 0]
        pmf = optimizer._pmf_predict(self._scores(X), sensitive_features=group_codes)
        return np.asarray(pmf, dtype=np.float64)[:, 1]

    def predict(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Labels, drawn if a group's threshold is a mixture of two.

        An int as `random_state` draws the same for the n-th row of every call; None draws anew.

        Raises
        ------
        GroupsRequiredError
            Without group labels.
        InputError
            If a group does not occur in `fit`.
        """
        positive = self._positive(X, sensitive_features)
        if self.threshold_optimizer_ is None:
            return np.asarray(self.estimator_.predict(X))
        return draw_labels(self.classes_, positive, self.random_state)

    def predict_proba(self, X: Any, *, sensitive_features: Any = None) -> NDArray[np.float64]:
        """Probability that `predict` draws each class, shape (n_samples, 2)."""
        positive = self._positive(X, sensitive_features)
        return np.column_stack([1 - positive, positive])

    def score(
        self, X: Any, y: ArrayLike, sample_weight: Any = None, *, sensitive_features: Any = None
    ) -> float:
        """Accuracy."""
        from sklearn.metrics import accuracy_score

        predicted = self.predict(X, sensitive_features=sensitive_features)
        return float(accuracy_score(check_labels(y), predicted, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags()  # `transform` exists if the estimator has it
        tags.classifier_tags.multi_class = False
        return tags

    @inner_has("transform", "estimator")
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

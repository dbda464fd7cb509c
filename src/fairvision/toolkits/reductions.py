"""fairlearn's ExponentiatedGradient on images."""

from __future__ import annotations

import warnings
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from fairvision.base import ScoreMixin, all_or_nothing, fitted_attributes, stratified
from fairvision.exceptions import ConstraintMetWarning, InputError
from fairvision.nn import TorchClassifier, as_seed
from fairvision.toolkits.inputs import check_binary, draw_labels
from fairvision.toolkits.oracle import RowNumberClassifier, Trainer

__all__ = ["ExponentiatedGradientClassifier"]

_CONSTRAINTS = {
    "demographic_parity": "DemographicParity",
    "equalized_odds": "EqualizedOdds",
    "error_rate_parity": "ErrorRateParity",
    "false_positive_rate_parity": "FalsePositiveRateParity",
    "true_positive_rate_parity": "TruePositiveRateParity",
}


@dataclass(eq=False, repr=False)
class ExponentiatedGradientClassifier(MetaEstimatorMixin, ScoreMixin, BaseEstimator):
    """A mixture of classifiers trained on reweighted rows (fairlearn's ExponentiatedGradient) [1]_.

    `fit` reads the groups, `predict` does not. ERM training comes first. If it satisfies the
    constraint, it is the result, and a `ConstraintMetWarning` says so. A net that predicts
    all its training rows correctly satisfies every constraint on rates within a class there,
    however large its gap on other rows; `constraint_fraction` measures the gap on other rows.

    Parameters
    ----------
    estimator : classifier or None, default=None
        Its ``fit`` must take ``sample_weight``. None is a `TorchClassifier`.
    constraints : str or fairlearn Moment, default="equalized_odds"
        ``"demographic_parity"``, ``"equalized_odds"``, ``"error_rate_parity"``,
        ``"false_positive_rate_parity"`` or ``"true_positive_rate_parity"``.
    difference_bound : float, default=0.02
        Largest allowed difference between a group's rate and the rate of all rows; used if
        `constraints` is a str.
    eps : float, default=0.01
        Violation of the constraint that ends the search, as in fairlearn.
    max_iter : int, default=3
        Iterations; three of them take 7 to 13 trainings. fairlearn's default of 50 is for
        estimators that train faster than nets.
    nu, eta0
        As in fairlearn.
    run_linprog_step : bool, default=True
        Optimize the shares of the classifiers after each iteration. Without it an iteration
        takes two trainings, and more iterations are needed.
    constraint_fraction : float, default=0.0
        Share of the rows on which the constraint is measured, and on which no net is trained.
        0 measures it on the training rows, as published. A Moment must then depend on target
        and group alone.
    random_state : int, RandomState or None, default=None
        For the draw in `predict`, the choice of the held-out rows, and the default estimator.

    Attributes
    ----------
    exponentiated_gradient_ : fairlearn.reductions.ExponentiatedGradient or None
        Fitted on row numbers; None if ERM training satisfies the constraint.
    estimators_ : list
        The classifiers of the mixture.
    shares_ : ndarray
        Their shares, summing to 1.
    classes_ : ndarray of shape (2,)
    n_trainings_ : int
        Number of trainings; ERM training counts once.

    Warns
    -----
    ConstraintMetWarning
        If ERM training is the result.

    References
    ----------
    .. [1] A. Agarwal, A. Beygelzimer, M. Dudik, J. Langford, H. Wallach: A
       Reductions Approach to Fair Classification. ICML 2018, arXiv:1803.02453.
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    estimator: Any = None
    _: KW_ONLY
    constraints: Any = "equalized_odds"
    difference_bound: float = 0.02
    eps: float = 0.01
    max_iter: int = 3
    nu: float | None = None
    eta0: float = 2.0
    run_linprog_step: bool = True
    constraint_fraction: float = 0.0
    random_state: Any = None

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Train the mixture.

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
            If the target is not binary, `constraints` is unknown, or `constraint_fraction`
            is not in [0, 1).
        """
        classes, codes, groups = check_binary(self, X, y, sensitive_features)
        estimator = self.estimator
        if estimator is None:
            estimator = TorchClassifier(random_state=as_seed(self.random_state))
        if getattr(estimator, "class_weight", None) is not None:
            raise InputError(
                f"class_weight of {type(estimator).__name__} is {estimator.class_weight!r}, but "
                "the reduction sets labels and weights of the rows itself. Pass class_weight=None."
            )
        codes_of_groups, labels = groups.intersection()
        cells = codes * len(labels) + codes_of_groups
        train_rows, constraint_rows = self._split(cells)
        trainer = Trainer(X, classes, codes, cells, train_rows)
        with warnings.catch_warnings():
            # fairlearn assigns to pandas tables in a deprecated way.
            warnings.filterwarnings("ignore", category=FutureWarning, module="fairlearn")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="fairlearn")
            mixture, shares, reduction = self._search(
                RowNumberClassifier(estimator, trainer),
                (constraint_rows[:, None], codes[constraint_rows]),
                codes_of_groups[constraint_rows],
            )
        if reduction is None:
            self._warn_of_erm()
        self.classes_, self.groups_ = classes, groups
        self.estimators_ = [getattr(member, "estimator_", member) for member in mixture]
        self.shares_ = shares / shares.sum()
        self.n_trainings_ = trainer.n_trainings
        # All trainings take as many steps, and fairlearn keeps only some of the classifiers.
        steps = max(getattr(estimator, "n_steps_", 0) for estimator in self.estimators_)
        if steps:
            self.n_steps_ = self.n_trainings_ * steps
        trainer.images = trainer.erm = None  # a fitted estimator keeps no training images
        self.exponentiated_gradient_ = reduction
        return self

    def _split(self, cells: NDArray[np.int64]) -> tuple[Any, NDArray[np.intp]]:
        """Rows to train on (None: the same) and rows to measure the constraint on."""
        if not 0 <= self.constraint_fraction < 1:
            raise InputError(
                f"constraint_fraction is {self.constraint_fraction!r}; pass a share in [0, 1)."
            )
        if self.constraint_fraction == 0:
            return None, np.arange(len(cells))
        rng = np.random.default_rng(as_seed(self.random_state))
        return stratified(cells, self.constraint_fraction, rng)

    def _search(
        self, estimator: RowNumberClassifier, data: tuple[Any, Any], groups: Any
    ) -> tuple[list[Any], NDArray[np.float64], Any]:
        """The mixture's classifiers, their shares, and fairlearn's fitted reduction.

        The reduction is None if ERM training satisfies the constraint: it then has the
        smallest error of all, and fairlearn would only repeat it.
        """
        from fairlearn.reductions import ExponentiatedGradient

        moment = self._moment()
        moment.load_data(*data, sensitive_features=groups)
        erm = clone(estimator).fit(*data, sample_weight=np.ones(len(groups)))
        if (moment.gamma(erm.predict) - moment.bound()).max() <= 0:
            return [erm], np.ones(1), None
        reduction = ExponentiatedGradient(
            estimator,
            self._moment(),
            eps=self.eps,
            max_iter=self.max_iter,
            nu=self.nu,
            eta0=self.eta0,
            run_linprog_step=self.run_linprog_step,
        )
        reduction.fit(*data, sensitive_features=groups)
        shares = reduction.weights_[reduction.weights_ > 0]
        # The index of weights_ names the predictors; its order is not theirs.
        return [reduction.predictors_[i] for i in shares.index], shares.to_numpy(), reduction

    def _warn_of_erm(self) -> None:
        name = self.constraints if isinstance(self.constraints, str) else "the constraint"
        warnings.warn(
            f"ERM training already satisfies {name} on the rows where it is measured, so the "
            "result is ERM training. Its gap on other rows may be large. Measure the constraint "
            "on held-out rows (constraint_fraction=0.3), or train the net for fewer epochs.",
            ConstraintMetWarning,
            stacklevel=4,
        )

    def _moment(self) -> Any:
        from fairlearn import reductions

        if not isinstance(self.constraints, str):
            return clone(self.constraints, safe=False)
        if self.constraints not in _CONSTRAINTS:
            raise InputError(
                f"constraints is {self.constraints!r}; pass one of {sorted(_CONSTRAINTS)}, or a "
                "Moment of fairlearn.reductions."
            )
        moment = getattr(reductions, _CONSTRAINTS[self.constraints])
        return moment(difference_bound=self.difference_bound)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability that `predict` draws each class, shape (n_samples, 2)."""
        check_is_fitted(self)
        votes = np.stack([self._votes(estimator, X) for estimator in self.estimators_])
        positive = self.shares_ @ votes
        return np.column_stack([1 - positive, positive])

    def _votes(self, estimator: Any, X: Any) -> NDArray[np.bool_]:
        """Which rows a classifier gives the second class."""
        # Files of the first format hold classifiers of the codes 0 and 1.
        known = set(np.asarray(estimator.classes_).tolist()) <= set(self.classes_.tolist())
        return np.asarray(estimator.predict(X)) == (self.classes_[1] if known else 1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels, drawn by the classifiers' shares.

        An int as `random_state` draws the same for the n-th row of every call; None draws anew.
        """
        positive = self.predict_proba(X)[:, 1]
        return draw_labels(self.classes_, positive, self.random_state)

    def __fairvision_getstate__(self) -> dict[str, Any]:
        # `predict` needs the estimators alone.
        state = fitted_attributes(self)
        state.pop("exponentiated_gradient_", None)
        return state

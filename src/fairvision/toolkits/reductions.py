"""fairlearn's ExponentiatedGradient behind our contract."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from fairvision.base import all_or_nothing, fitted_attributes, stratified
from fairvision.exceptions import ConstraintMetWarning, InputError
from fairvision.nn import TorchClassifier, as_seed
from fairvision.toolkits.inputs import read_binary
from fairvision.toolkits.oracle import OnRows, Trainings

__all__ = ["ExponentiatedGradientClassifier"]

_CONSTRAINTS = {
    "demographic_parity": "DemographicParity",
    "equalized_odds": "EqualizedOdds",
    "error_rate_parity": "ErrorRateParity",
    "false_positive_rate_parity": "FalsePositiveRateParity",
    "true_positive_rate_parity": "TruePositiveRateParity",
}


class ExponentiatedGradientClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A draw among classifiers trained on reweighted rows (fairlearn's ExponentiatedGradient) [1]_.

    The groups are read at fit only. Plain training comes first. If it satisfies the
    constraint on the training rows there is nothing to do: the result is plain training,
    at the cost of one training, and a `ConstraintMetWarning` says so. A net that fits its
    training rows does so whenever `constraints` compares rates within a class, however
    large its gap on other rows; `constraint_fraction` measures the constraint there.

    Parameters
    ----------
    estimator : classifier or None, default=None
        Whose ``fit`` takes ``sample_weight``. None is a `TorchClassifier`.
    constraints : str or fairlearn Moment, default="equalized_odds"
        ``"demographic_parity"``, ``"equalized_odds"``, ``"error_rate_parity"``,
        ``"false_positive_rate_parity"`` or ``"true_positive_rate_parity"``.
    difference_bound : float, default=0.02
        How far a group's rate may be from everybody's, where constraints is a str.
    eps : float, default=0.01
        The violation that is let pass; fairlearn's.
    max_iter : int, default=3
        Iterations: 7 to 13 trainings in three of them. fairlearn's own default, 50, is meant
        for faster learners than nets.
    nu, eta0
        As in fairlearn.
    run_linprog_step : bool, default=True
        Find the best shares of the classifiers so far after each iteration. Without it an
        iteration costs two trainings, and the gap takes longer to close.
    constraint_fraction : float, default=0.0
        Share of the rows that the constraint is measured on and no net is trained on: there
        a net has a gap also where it fits its training rows. 0 measures it on the training
        rows, as published. With a Moment, one that depends on target and group alone.
    random_state : int, RandomState or None, default=None
        Of the draw in `predict`, of the held-out rows, and of the default estimator.

    Attributes
    ----------
    exponentiated_gradient_ : fairlearn.reductions.ExponentiatedGradient or None
        Fitted on row numbers; None where plain training was enough.
    estimators_ : list
        The classifiers with a share in the mixture.
    shares_ : ndarray
        Their shares, summing to 1.
    classes_ : ndarray of shape (2,)
    n_trainings_ : int
        Plain training counts once, however often fairlearn asked for it.

    Warns
    -----
    ConstraintMetWarning
        If plain training is the result.

    References
    ----------
    .. [1] A. Agarwal, A. Beygelzimer, M. Dudik, J. Langford, H. Wallach: A
       Reductions Approach to Fair Classification. ICML 2018, arXiv:1803.02453.
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    def __init__(
        self,
        estimator: Any = None,
        *,
        constraints: Any = "equalized_odds",
        difference_bound: float = 0.02,
        eps: float = 0.01,
        max_iter: int = 3,
        nu: float | None = None,
        eta0: float = 2.0,
        run_linprog_step: bool = True,
        constraint_fraction: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.constraints = constraints
        self.difference_bound = difference_bound
        self.eps = eps
        self.max_iter = max_iter
        self.nu = nu
        self.eta0 = eta0
        self.run_linprog_step = run_linprog_step
        self.constraint_fraction = constraint_fraction
        self.random_state = random_state

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Train the mixture.

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
            If the target is not binary, `constraints` is unknown, or `constraint_fraction`
            is no share.
        """
        classes, codes, groups = read_binary(self, X, y, sensitive_features)
        estimator = self.estimator
        if estimator is None:
            estimator = TorchClassifier(random_state=as_seed(self.random_state))
        codes_of_groups, labels = groups.intersection()
        cells = codes * len(labels) + codes_of_groups
        trained, measured = self._parts(cells)
        trainings = Trainings(X, codes, cells, trained)
        with warnings.catch_warnings():
            # fairlearn fills its tables in a way that pandas is about to forbid.
            warnings.filterwarnings("ignore", category=FutureWarning, module="fairlearn")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="fairlearn")
            mixture, shares, reduction = self._search(
                OnRows(estimator, trainings),
                (measured[:, None], codes[measured]),
                codes_of_groups[measured],
            )
        if reduction is None:
            self._warn_of_plain_training()
        self.classes_, self.groups_ = classes, groups
        self.estimators_ = [_inner(predictor) for predictor in mixture]
        self.shares_ = shares / shares.sum()
        self.n_trainings_ = trainings.count
        # Every training takes as many steps; fairlearn keeps only some of the trained.
        steps = max(getattr(estimator, "n_steps_", 0) for estimator in self.estimators_)
        if steps:
            self.n_steps_ = self.n_trainings_ * steps
        trainings.images = trainings.plain = None  # the training images are not ours to keep
        self.exponentiated_gradient_ = reduction
        return self

    def _parts(self, cells: NDArray[np.int64]) -> tuple[Any, NDArray[np.intp]]:
        """Rows to train on, None for the same, and rows to measure the constraint on."""
        if not 0 <= self.constraint_fraction < 1:
            raise InputError(
                f"constraint_fraction is {self.constraint_fraction!r}; pass a share from 0 to "
                "below 1."
            )
        if self.constraint_fraction == 0:
            return None, np.arange(len(cells))
        rng = np.random.default_rng(as_seed(self.random_state))
        return stratified(cells, self.constraint_fraction, rng)

    def _search(
        self, estimator: OnRows, data: tuple[Any, Any], groups: Any
    ) -> tuple[list[Any], NDArray[np.float64], Any]:
        """The mixture's classifiers, their shares, and fairlearn's search for them.

        The search is None if plain training is within the constraint: then it has
        the least error of all, and fairlearn would train it again and again.
        """
        from fairlearn.reductions import ExponentiatedGradient

        moment = self._moment()
        moment.load_data(*data, sensitive_features=groups)
        plain = clone(estimator).fit(*data, sample_weight=np.ones(len(groups)))
        if (moment.gamma(plain.predict) - moment.bound()).max() <= 0:
            return [plain], np.ones(1), None
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
        # fairlearn lists the shares in the order in which it gave them: names, not places.
        return [reduction.predictors_[i] for i in shares.index], shares.to_numpy(), reduction

    def _warn_of_plain_training(self) -> None:
        name = self.constraints if isinstance(self.constraints, str) else "the constraint"
        warnings.warn(
            f"plain training already satisfies {name} on the rows where it is measured, so there "
            "is nothing to reweight and this is plain training. Its gap on others may be large: "
            "a net that fits its training rows leaves none there to close. Measure the constraint "
            "on rows held out (constraint_fraction=0.3), or train the net less.",
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
        """How likely `predict` is to draw each class, shape (n_samples, 2)."""
        check_is_fitted(self)
        votes = np.stack([np.asarray(estimator.predict(X)) for estimator in self.estimators_])
        positive = self.shares_ @ votes
        return np.column_stack([1 - positive, positive])

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels, drawn by the classifiers' shares.

        The same `random_state` draws the same; with None every call draws anew.
        """
        positive = self.predict_proba(X)[:, 1]
        draws = np.random.default_rng(as_seed(self.random_state)).random(len(positive))
        return self.classes_[(positive > draws).astype(int)]

    def __fairvision_getstate__(self) -> dict[str, Any]:
        # What predicts is in `estimators_`.
        left_out = "exponentiated_gradient_"
        return {k: v for k, v in fitted_attributes(self).items() if k != left_out}


def _inner(predictor: Any) -> Any:
    return predictor.estimator_ if isinstance(predictor, OnRows) else predictor

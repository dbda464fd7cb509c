"""fairlearn's ExponentiatedGradient behind our contract."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from fairvision.base import all_or_nothing, fitted_attributes
from fairvision.exceptions import ConstraintMetWarning, InputError
from fairvision.nn import TorchClassifier, as_seed
from fairvision.toolkits.inputs import read_binary

__all__ = ["ExponentiatedGradientClassifier"]

_CONSTRAINTS = {
    "demographic_parity": "DemographicParity",
    "equalized_odds": "EqualizedOdds",
    "error_rate_parity": "ErrorRateParity",
    "false_positive_rate_parity": "FalsePositiveRateParity",
    "true_positive_rate_parity": "TruePositiveRateParity",
}


@dataclass
class _Trainings:
    """What the trainings of a fit share: the images, and plain training, which is done once.

    fairlearn asks for plain training several times over: at the first iteration, and
    whenever its multipliers come back to 0.
    """

    images: Any
    y: NDArray[Any]
    plain: Any = None
    count: int = 0

    def train(self, estimator: Any, rows: Any, y: Any, weights: Any) -> Any:
        plain = np.array_equal(y, self.y) and np.allclose(weights, 1)
        if plain and self.plain is not None:
            return self.plain
        fitted = clone(estimator)
        fitted.fit(_safe_indexing(self.images, rows), y, sample_weight=weights)
        self.count += 1
        if plain:
            self.plain = fitted
        return fitted


class _OnRows(ClassifierMixin, BaseEstimator):
    """The estimator on images that are named by their row numbers.

    fairlearn checks, copies and keeps X; images stay out of its hands, and
    lazily read ones on disk.
    """

    def __init__(self, estimator: Any, trainings: Any) -> None:
        self.estimator = estimator
        self.trainings = trainings

    def __sklearn_clone__(self) -> _OnRows:
        return _OnRows(clone(self.estimator), self.trainings)

    def __deepcopy__(self, memo: Any) -> _OnRows:
        return self.__sklearn_clone__()

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        labels, weights = np.asarray(y), np.asarray(sample_weight)
        self.estimator_ = self.trainings.train(self.estimator, _rows(X), labels, weights)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        images = _safe_indexing(self.trainings.images, _rows(X))
        return np.asarray(self.estimator_.predict(images))


def _rows(X: Any) -> NDArray[np.intp]:
    return np.asarray(X)[:, 0].astype(np.intp)


class ExponentiatedGradientClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A draw among classifiers trained on reweighted rows (fairlearn's ExponentiatedGradient) [1]_.

    The groups are read at fit only. Plain training comes first. If it satisfies the
    constraint on the training rows there is nothing to do: the result is plain training,
    at the cost of one training, and a `ConstraintMetWarning` says so. A net that fits its
    training rows does so whenever `constraints` compares rates within a class, however
    large its gap on other rows.

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
    random_state : int, RandomState or None, default=None
        Of the draw in `predict`, and of the default estimator.

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
            If the target is not binary, or `constraints` is unknown.
        """
        classes, codes, groups = read_binary(self, X, y, sensitive_features)
        estimator = self.estimator
        if estimator is None:
            estimator = TorchClassifier(random_state=as_seed(self.random_state))
        trainings = _Trainings(X, codes)
        data = np.arange(len(X))[:, None], codes
        with warnings.catch_warnings():
            # fairlearn fills its tables in a way that pandas is about to forbid.
            warnings.filterwarnings("ignore", category=FutureWarning, module="fairlearn")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="fairlearn")
            mixture, shares, reduction = self._search(
                _OnRows(estimator, trainings), data, groups.intersection()[0]
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

    def _search(
        self, estimator: _OnRows, data: tuple[Any, Any], groups: Any
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
            f"plain training already satisfies {name} on its own rows, so there is nothing to "
            "reweight and this is plain training. The gap on other rows may be large: a net "
            "that fits its training rows leaves no gap there to close. Train it less (max_epochs, "
            "weight_decay), or take a method that waits for no gap, such as balanced-sampling.",
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
    return predictor.estimator_ if isinstance(predictor, _OnRows) else predictor

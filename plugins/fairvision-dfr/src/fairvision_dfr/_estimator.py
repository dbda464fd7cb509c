"""Last-layer retraining as a meta-estimator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fairvision.base import (
    all_or_nothing,
    check_choices,
    check_form,
    check_groups,
    check_labels,
    check_numbers,
    code_labels,
    leaves_worse_off,
    stratified_splits,
)
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn import LastLayer, LastLayerClassifier
from fairvision_dfr._algorithm import Layer, Penalty, retrain, with_outputs

__all__ = ["LastLayerRetraining"]

_FOLDS = 5
_MIN_ROWS = 2  # of a cell: one to fit on, one to predict


@dataclass(eq=False, repr=False)
class LastLayerRetraining(LastLayerClassifier):
    """Train a net's last layer again on rows balanced over target and group [1]_.

    The features stay as they are. Subsets with as many rows of every cell (target and group)
    are drawn, a logistic regression is fitted to each, and the mean of their weights becomes
    the last layer. Groups are read in `fit` only.

    The chosen C has the best cross-fitted accuracy in the worst cell: each row that the net was
    not trained on is predicted by layers that were not fitted to it. If the worst cell is then
    significantly below that of the given net, the given net is kept.

    The estimator is fitted twice: without the rows held out, to choose C and to judge, then on all
    rows (see `refit`).

    Parameters
    ----------
    estimator : classifier or None, default=None
        A `TorchClassifier` or a method built on it, also in a `Pipeline`. A `FrozenEstimator` is
        used as it is; any other estimator is cloned and fitted. None is a
        `TorchClassifier`.
    penalty : {"l2", "l1"}, default="l2"
        Norm of the weights that is penalized; the paper takes "l1".
    C : float or sequence of float, default=(10.0, 1.0, 0.1, 0.01)
        Inverse strength of the penalty, as in scikit-learn; of several, one is chosen.
    n_draws : int, default=10
        Balanced subsets whose layers are averaged.
    rows : {"all", "validation"}, default="all"
        Fit the layer on all rows, or, as in the paper, on rows that the net was not trained on.
        The choice of C uses the latter rows in both cases.
    debias_fraction : float, default=0.4
        Share of the rows held out from the first training of the net.
    refit : bool, default=True
        Fit the estimator again, on all rows, before the new layer is fitted: a net from nothing
        is worse with fewer rows. False is better where the net knows its rows by heart, as trained
        blocks of a pretrained net do. An estimator is fitted once if it is frozen, if only its
        last layer is trained, with ``rows="validation"``, and with `held_out`.
    allow_worse : bool, default=False
        Take the new layer even if the worst cell falls.
    random_state : int, RandomState, Generator or None, default=None

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator with the new last layer; an ordinary one, to be saved, exported
        or post-processed.
    retrained_ : bool
        Whether the last layer is a new one.
    refitted_ : bool
        Whether the estimator was fitted a second time, on all rows.
    C_ : float or None
        The C of the new layer.
    scores_ : DataFrame of shape (n_C, 3)
        For each C the cross-fitted accuracy in the worst cell and the mean over the cells, on
        features of the net without the rows held out.
    classes_ : ndarray of shape (n_classes,)
    sensitive_labels_ : list
        The groups.

    References
    ----------
    .. [1] P. Kirichenko, P. Izmailov, A. G. Wilson: Last Layer Re-Training is Sufficient for
       Robustness to Spurious Correlations. ICLR 2023, arXiv:2204.02937.

    Examples
    --------
    >>> from fairvision.datasets import load
    >>> from fairvision.nn import TorchClassifier
    >>> from fairvision_dfr import LastLayerRetraining
    >>> faces = load("faces", n_samples=200, image_size=32, random_state=0)
    >>> model = LastLayerRetraining(TorchClassifier(max_epochs=2), random_state=0)
    >>> model = model.fit(
    ...     faces.images, faces.target, sensitive_features=faces.sensitive_features
    ... )
    >>> model.predict_proba(faces.images[:5]).shape
    (5, 2)
    """

    estimator: Any = None
    _: KW_ONLY
    penalty: Penalty = "l2"
    C: float | Sequence[float] = (10.0, 1.0, 0.1, 0.01)
    n_draws: int = 10
    rows: Literal["all", "validation"] = "all"
    debias_fraction: float = 0.4
    refit: bool = True
    allow_worse: bool = False
    random_state: Any = None

    @all_or_nothing
    def fit(
        self, X: Any, y: ArrayLike, *, sensitive_features: Any = None, held_out: Any = None
    ) -> Self:
        """Fit the estimator unless it is frozen, then its last layer again.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the estimator takes.
        y : array-like of shape (n_samples,)
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
            Several columns mean their intersection.
        held_out : array-like of bool of shape (n_samples,), default=None
            Rows that the estimator is not trained on, or, if it is frozen, was not trained on.
            None holds out `debias_fraction` of every cell, or all rows for a frozen estimator.

        Returns
        -------
        self

        Warns
        -----
        FairvisionWarning
            If the given net is kept: because a cell has no rows, or the worst cell would fall.

        Raises
        ------
        GroupsRequiredError
            Without group labels.
        InputError
            If the estimator holds no net, or a parameter is invalid. Nothing is changed.
        """
        self._check_parameters()
        check_form(X, passes_on=True)
        groups = check_groups(sensitive_features, len(X), required_by=type(self).__name__)
        assert groups is not None
        codes, labels = groups.intersection()
        y = check_labels(y, n_samples=len(X))
        return self._fit_layer(
            X,
            y,
            sensitive_features,
            cells=code_labels(y)[0] * len(labels) + codes,
            held_out=held_out,
            choose=partial(self._choose, y, codes, labels),
            refit=self.refit and self.rows == "all",
        )

    def _choose(
        self,
        y: NDArray[Any],
        group_codes: NDArray[np.int64],
        labels: list[Any],
        layer: LastLayer,
        features: NDArray[np.float64],
        rows: Any,
        judged: NDArray[np.intp],
        seed: int,
    ) -> Callable[[LastLayer, NDArray[Any]], Layer] | None:
        """Choose C; None if a cell is empty or the worst cell would fall."""
        owner = type(self).__name__
        if not layer.has_bias:
            raise InputError(
                f"{owner} needs a last layer with a bias, but the net's last layer has none."
            )
        cells = (layer.encode(y) * len(labels) + group_codes)[rows]
        self.scores_, self.sensitive_labels_ = pd.DataFrame(), labels
        self.C_: float | None = None
        n_rows = np.bincount(cells, minlength=len(layer.classes) * len(labels))
        if n_rows.min() < _MIN_ROWS:
            number, group = divmod(int(np.argmax(n_rows < _MIN_ROWS)), len(labels))
            target = layer.classes.tolist()[number]
            warnings.warn(
                f"{owner} keeps the given net: fewer than {_MIN_ROWS} rows have target {target!r} "
                f"and group {labels[group]!r}. Add rows or merge groups.",
                FairvisionWarning,
                stacklevel=5,
            )
            return None
        grid = [float(C) for C in np.atleast_1d(self.C)]
        predicted = {}
        if len(grid) > 1 or not self.allow_worse:
            predicted = {C: self._cross_fit(features, cells, C, seed)[judged] for C in grid}
            self.scores_ = _scores(predicted, cells[judged], len(labels))
        best = grid[0] if self.scores_.empty else float(self.scores_["C"].iloc[0])
        if not self.allow_worse:
            before = layer.probabilities(features[judged]).argmax(1)
            target, group = layer.classes[cells[judged] // len(labels)], cells[judged] % len(labels)
            after = layer.classes[predicted[best]]
            names = np.array([str(label) for label in labels])[group]
            if leaves_worse_off(target, names, layer.classes[before], after, owner=owner):
                return None
        self.C_ = best
        return partial(self._new_layer, y, group_codes, rows, best, seed)

    def _new_layer(
        self,
        y: NDArray[Any],
        group_codes: NDArray[np.int64],
        rows: Any,
        C: float,
        seed: int,
        layer: LastLayer,
        features: NDArray[np.float64],
    ) -> Layer:
        cells = (layer.encode(y) * len(self.sensitive_labels_) + group_codes)[rows]
        weight, bias = self._layer(features, cells, C, self.n_draws, seed)
        return with_outputs(weight, bias, len(layer.weight))

    def _layer(
        self, features: NDArray[Any], cells: NDArray[Any], C: float, n_draws: int, seed: int
    ) -> Layer:
        return retrain(
            features,
            cells // len(self.sensitive_labels_),
            cells,
            C=C,
            penalty=self.penalty,
            n_draws=n_draws,
            rng=np.random.default_rng(seed),
        )

    def _cross_fit(
        self, features: NDArray[Any], cells: NDArray[Any], C: float, seed: int
    ) -> NDArray[np.intp]:
        """The class of each row by layers that were not fitted to it."""
        predicted = np.zeros(len(cells), dtype=np.intp)
        n_draws = -(-self.n_draws // _FOLDS)
        for rest, fold in stratified_splits(cells, _FOLDS, seed):
            weight, bias = self._layer(features[rest], cells[rest], C, n_draws, seed)
            logits = features[fold] @ weight.T + bias
            predicted[fold] = logits[:, 0] > 0 if len(weight) == 1 else logits.argmax(1)
        return predicted

    def _check_parameters(self) -> None:
        check_choices(self, penalty=("l1", "l2"), rows=("all", "validation"))
        check_numbers(self, "n_draws", low=1, whole=True)
        grid = np.atleast_1d(np.asarray(self.C, dtype=np.float64))
        if not grid.size or not (grid > 0).all():
            raise InputError(f"C is {self.C!r}; pass one positive number or several.")


def _scores(
    predicted: dict[float, NDArray[np.intp]], cells: NDArray[Any], n_groups: int
) -> pd.DataFrame:
    """The accuracies in the worst cell and on average over the cells, the best C first."""
    rows = []
    for C, codes in predicted.items():
        correct = codes == cells // n_groups
        accuracy = [correct[cells == cell].mean() for cell in np.unique(cells)]
        rows.append({"C": C, "worst_cell": min(accuracy), "mean_cell": float(np.mean(accuracy))})
    table = pd.DataFrame(rows)
    return table.sort_values(
        ["worst_cell", "mean_cell"], ascending=False, kind="stable", ignore_index=True
    )

"""The paper's steps as functions of arrays: balanced draws, logistic regressions, their mean."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

__all__ = ["Layer", "Penalty", "balanced_rows", "retrain", "with_outputs"]

Penalty = Literal["l1", "l2"]
Layer = tuple[NDArray[np.float64], NDArray[np.float64]]

# scikit-learn 1.8 renamed the parameter.
_RENAMED = parse_version(sklearn.__version__) >= parse_version("1.8")
_L1: dict[str, Any] = {"l1_ratio": 1.0} if _RENAMED else {"penalty": "l1"}


def balanced_rows(cells: NDArray[Any], rng: np.random.Generator) -> NDArray[np.intp]:
    """As many rows of every cell as the smallest one has, drawn without replacement."""
    members = [np.flatnonzero(cells == cell) for cell in np.unique(cells)]
    size = min(map(len, members))
    return np.sort(np.concatenate([rng.permutation(rows)[:size] for rows in members]))


def retrain(
    features: NDArray[Any],
    targets: NDArray[Any],
    cells: NDArray[Any],
    *,
    C: float,
    penalty: Penalty,
    n_draws: int,
    rng: np.random.Generator,
) -> Layer:
    """The mean of logistic regressions on balanced draws.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Standardised over all rows before the draws.
    targets, cells : ndarray of shape (n_samples,)
        Codes of the class, and of target and group.
    C : float
        Inverse strength of the penalty, as in scikit-learn.
    penalty : {"l1", "l2"}
    n_draws : int
    rng : Generator

    Returns
    -------
    weight : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
    bias : ndarray of shape (n_classes,) or (1,)
        For features that are not standardised.
    """
    scaler = StandardScaler().fit(features)
    scaled = scaler.transform(features)
    models = []
    for _ in range(n_draws):
        rows = balanced_rows(cells, rng)
        model = _regression(C, penalty, len(np.unique(targets)), int(rng.integers(2**31)))
        models.append(model.fit(scaled[rows], targets[rows]))
    weight = np.mean([model.coef_ for model in models], axis=0) / scaler.scale_
    bias = np.mean([model.intercept_ for model in models], axis=0) - weight @ scaler.mean_
    return weight, bias


def _regression(C: float, penalty: Penalty, n_classes: int, seed: int) -> LogisticRegression:
    if penalty == "l2":
        return LogisticRegression(C=C, max_iter=1000)
    # liblinear is the faster one, and takes two classes only.
    solver = "liblinear" if n_classes == 2 else "saga"
    return LogisticRegression(C=C, solver=solver, max_iter=1000, random_state=seed, **_L1)


def with_outputs(weight: NDArray[Any], bias: NDArray[Any], n_outputs: int) -> Layer:
    """The layer with one output for each class, where two classes have one between them."""
    if len(weight) == n_outputs:
        return weight, bias
    return np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2

"""The paper's equations as functions of arrays: the rows' weights, and the new last layer."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairvision.base import stratified_splits

__all__ = [
    "Layer",
    "Weights",
    "change",
    "correct_probability",
    "effective_share",
    "mean_over_classes",
    "retrain",
    "row_weights",
]

# Weight of the squared norm for each feature, beside the mean cross-entropy: chosen on
# photographs (benchmarks/photographs.py, seeds 0 to 4 and 10 to 21).
_PENALTY = 3e-3
# The same of a layer trained plainly.
_LIGHT_PENALTY = 4e-5

_N_FOLDS = 5

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]
Weights = Literal["power", "exponential"]


def row_weights(
    correct: NDArray[np.float64], targets: NDArray[np.int64], gamma: float, kind: Weights
) -> NDArray[np.float64]:
    """Weights that fall with the probability of the true class; every class has the same sum.

    Parameters
    ----------
    correct : ndarray of shape (n_samples,)
        Probability p of the true class by the first model.
    targets : ndarray of shape (n_samples,)
        Codes of the class.
    gamma : float
    kind : {"power", "exponential"}
        (1 - p)^gamma or exp(-gamma p).

    Returns
    -------
    ndarray of shape (n_samples,)
        Their sum is 1.
    """
    if kind == "power":
        weights = np.maximum(1 - correct, 1e-6) ** gamma  # a class may be all sure
    else:
        weights = np.exp(-gamma * correct)
    sums = np.bincount(targets, weights)
    return weights / sums[targets] / np.count_nonzero(sums)


def effective_share(weights: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Kish's effective number of rows, (sum w)^2 / sum w^2, as a share of a class; the least."""
    n, sums = np.bincount(targets), np.bincount(targets, weights)
    squares, present = np.bincount(targets, weights**2), n > 0
    return float(np.min(sums[present] ** 2 / squares[present] / n[present]))


def _log_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each class; one output is the second of two classes."""
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    return log_softmax(logits, axis=1)


def retrain(
    features: NDArray[np.float64],
    targets: NDArray[np.int64],
    weights: NDArray[np.float64],
    first: Layer,
    regularization: float,
) -> Layer:
    """The layer of least weighted cross-entropy that stays near the first one.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    targets : ndarray of shape (n_samples,)
    weights : ndarray of shape (n_samples,)
    first : (weight, bias)
        Of shapes (n_outputs, n_features) and (n_outputs,).
    regularization : float
        Weight of the squared distance to `first`, for standardised features, for each of
        them: with more features, a smaller step changes the scores as much.

    Returns
    -------
    (weight, bias)
        Of the same shapes.
    """
    scaler = StandardScaler().fit(features)
    inputs = np.column_stack([scaler.transform(features), np.ones(len(features))])
    start = np.column_stack([first[0] * scaler.scale_, first[1] + first[0] @ scaler.mean_])
    rows, pull = np.arange(len(targets)), regularization * features.shape[1]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        layer = flat.reshape(start.shape)
        logs = _log_probabilities(inputs @ layer.T)
        slope = np.exp(logs) * weights[:, None]
        slope[rows, targets] -= weights
        move = layer - start
        gradient = slope[:, -len(layer) :].T @ inputs + 2 * pull * move
        value = -weights @ logs[rows, targets] + pull * np.square(move).sum()
        return float(value), gradient.ravel()

    best = minimize(
        loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 100, "ftol": 1e-7}
    )
    layer = best.x.reshape(start.shape)
    weight = layer[:, :-1] / scaler.scale_
    return weight, layer[:, -1] - weight @ scaler.mean_


def correct_probability(
    features: NDArray[np.float64], targets: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Probability of each row's true class by logistic regressions on other rows.

    Their weights are held near zero, so they learn only what most rows share, which is the bias;
    rows that contradict it get a low probability. A last regression turns their scores into
    probabilities.
    """
    splits = stratified_splits(targets, _N_FOLDS, seed)
    strength = 1 / (2 * _PENALTY * features.shape[1] * len(splits[0][0]))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    scores = cross_val_predict(model, features, targets, cv=splits, method="decision_function")
    scores = scores.reshape(len(targets), -1)
    model = LogisticRegression(C=1e4, max_iter=1000).fit(scores, targets)
    columns = np.searchsorted(model.classes_, targets)
    return np.asarray(model.predict_proba(scores))[np.arange(len(targets)), columns]


def change(
    features: NDArray[np.float64],
    targets: NDArray[np.int64],
    weights: NDArray[np.float64],
    n_outputs: int,
    regularization: float,
    seed: int,
) -> NDArray[np.float64]:
    """The change of each row's accuracy by reweighting: 1, 0 or -1.

    Both layers are fitted to other rows: one plainly, and one around it on weighed rows.
    """
    right = np.empty((2, len(targets)))
    zero = np.zeros((n_outputs, features.shape[1])), np.zeros(n_outputs)
    for rest, fold in stratified_splits(targets, _N_FOLDS, seed):
        known, codes, shares = features[rest], targets[rest], weights[rest]
        plain = retrain(known, codes, np.full(len(rest), 1 / len(rest)), zero, _LIGHT_PENALTY)
        new = retrain(known, codes, shares / shares.sum(), plain, regularization)
        for row, (weight, bias) in zip(right, (plain, new), strict=True):
            logs = _log_probabilities(features[fold] @ weight.T + bias)
            row[fold] = logs.argmax(1) == targets[fold]
    return right[1] - right[0]


def mean_over_classes(values: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """The mean of the classes' means; 0 where there are no rows."""
    if not len(targets):
        return 0.0
    sums, n_rows = np.bincount(targets, values), np.bincount(targets)
    return float(np.mean(sums[n_rows > 0] / n_rows[n_rows > 0]))

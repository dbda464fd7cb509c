"""`Run`: the result of one method with one seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Predictions", "Run"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a run predicts for some rows; the fields are those of `Run`."""

    rows: NDArray[np.int64]
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    y_score: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Run:
    """The result of one method with one seed.

    Attributes
    ----------
    request : dict
        All that decides the result: `Plan.request`.
    method, seed : the label and the seed
    n_train, n_test : int
    n_steps : int or None
        Optimisation steps, where the method counts them.
    train_seconds : float
        Of `fit`.
    evaluation : dict
        `Evaluation.to_dict`.
    worst_group : dict or None
        The class and group with the lowest accuracy; None if a class and group has no rows.
    leakage : dict or None
        By sensitive attribute, how well a fresh probe predicts it from the test features,
        or a ``note`` that says why there is no value; None for a method without features.
    history : list of dict
        Training curves, an entry an epoch.
    rows, y_true, y_pred : ndarray of shape (n_test,)
        Row numbers in the data set, classes, predicted classes.
    y_score : ndarray of shape (n_test,) or (n_test, n_classes), or None
    threshold : float or None
        The threshold calibrated on the validation rows, if the data set has any; else the
        test rows calibrate it.
    artifacts : dict or None
        What a report shows of the fitted estimator, `fairvision.comparison.artifacts`.
    validation : Predictions or None
        The same of the validation rows, by which a method is chosen.
    model : bytes or None
        The file of the fitted estimator, where models are kept. A run that was read from disk
        leaves it there.
    model_note : str or None
        Why there is none, where models are kept.
    """

    request: dict[str, Any]
    method: str
    seed: int
    n_train: int
    n_test: int
    n_steps: int | None
    train_seconds: float
    evaluation: dict[str, Any]
    worst_group: dict[str, Any] | None
    leakage: dict[str, Any] | None
    history: list[dict[str, Any]]
    rows: NDArray[np.int64]
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    y_score: NDArray[np.float64] | None
    threshold: float | None = None
    artifacts: dict[str, Any] | None = None
    validation: Predictions | None = None
    model: bytes | None = None
    model_note: str | None = None

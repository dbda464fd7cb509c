"""The input of post-processing: a fitted estimator, and rows that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import _safe_indexing

from fairvision.base.fitting import fit_with_groups, readable_by, rows_for
from fairvision.exceptions import InputError

__all__ = [
    "cross_fitted",
    "fit_on_all",
    "fit_or_frozen",
    "stratified",
    "stratified_folds",
    "stratified_splits",
    "take_groups",
]


def fit_or_frozen(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    sensitive_features: Any,
    *,
    cells: NDArray[np.int64],
    validation_fraction: float,
    rng: np.random.Generator,
    held_out: Any = None,
) -> tuple[Any, NDArray[np.intp]]:
    """Fit a clone on a part of the rows, or take a frozen estimator as it is.

    Parameters
    ----------
    estimator : estimator
        In `FrozenEstimator` it is used as it is, and all rows are validation rows.
    X, y, sensitive_features
        All rows.
    cells : ndarray of shape (n_samples,)
        Both splits get their share of each cell.
    validation_fraction : float
        Share of the rows held out.
    rng : Generator
    held_out : array-like of bool of shape (n_samples,), default=None
        The rows to hold out, in place of a share of them. A frozen estimator was trained
        on the others.

    Returns
    -------
    estimator
        Fitted.
    rows : ndarray
        Rows that it was not fitted on.
    """
    held = None if held_out is None else _row_numbers(held_out, len(y))
    if isinstance(estimator, FrozenEstimator):
        return estimator, np.arange(len(y)) if held is None else held
    if held is None and not 0 < validation_fraction < 1:
        raise InputError(
            f"the share of rows to hold out is {validation_fraction!r}; pass one between 0 and 1, "
            "or a FrozenEstimator, to which all rows are validation data."
        )
    if held is None:
        rest, held = stratified(cells, validation_fraction, rng)
    else:
        rest = np.setdiff1d(np.arange(len(y)), held)
        if not len(rest):
            raise InputError(
                "held_out holds out every row, but the estimator must be fitted. Leave "
                "some rows for it, or pass a FrozenEstimator."
            )
    return _fit_rows(estimator, X, y, sensitive_features, rest), held


def _fit_rows(
    estimator: Any, X: Any, y: NDArray[Any], sensitive_features: Any, rows: NDArray[np.intp]
) -> Any:
    return fit_with_groups(
        clone(estimator),
        rows_for(estimator, X, rows),
        y[rows],
        sensitive_features=take_groups(sensitive_features, rows),
    )


def cross_fitted(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    sensitive_features: Any,
    *,
    cells: NDArray[np.int64],
    n_folds: int,
    rng: np.random.Generator,
) -> Iterator[tuple[Any, NDArray[np.intp]]]:
    """Clones fitted on the rows outside each fold, with the row numbers of the fold.

    Every row is in one fold, so a net that was not fitted on it predicts it; this matters for
    cells with few rows. A frozen estimator is returned once, with all rows. For the parameters
    see `fit_or_frozen`; the folds are those of `stratified_folds`.
    """
    if isinstance(estimator, FrozenEstimator):
        yield estimator, np.arange(len(y))
        return
    if n_folds < 2:
        raise InputError(f"n_folds is {n_folds!r}; pass 2 or more, or a FrozenEstimator.")
    for fold in stratified_folds(cells, n_folds, rng):
        rest = np.setdiff1d(np.arange(len(y)), fold)
        yield _fit_rows(estimator, X, y, sensitive_features, rest), fold


def fit_on_all(
    estimator: Any,
    fitted: Any,
    X: Any,
    y: NDArray[Any],
    sensitive_features: Any,
    *,
    held_out: Any = None,
) -> Any:
    """A clone fitted on all rows, after the held-out rows have been used.

    Otherwise a method that changes nothing would still cost the estimator these rows.

    Parameters
    ----------
    estimator : estimator
        As in `fit_or_frozen`.
    fitted : estimator
        Kept where `estimator` is frozen, or `held_out` names rows that it must not see.
    X, y, sensitive_features
        All rows.
    held_out : array-like of bool of shape (n_samples,), default=None
    """
    if held_out is not None or isinstance(estimator, FrozenEstimator):
        return fitted
    some = readable_by(estimator, X)
    return fit_with_groups(clone(estimator), some, y, sensitive_features=sensitive_features)


def _row_numbers(held_out: Any, n_samples: int) -> NDArray[np.intp]:
    mask = np.asarray(held_out)
    if mask.shape != (n_samples,) or mask.dtype != bool:
        raise InputError(
            f"held_out has shape {mask.shape} and dtype {mask.dtype}; pass one bool for each of "
            f"the {n_samples} rows."
        )
    if not mask.any():
        raise InputError("held_out holds out no row. Hold some out, or pass None.")
    return np.flatnonzero(mask)


def stratified(
    cells: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers of two parts, the second with `fraction` of every cell.

    A cell of two rows or more has one in each part at least.
    """
    held = []
    for cell in np.unique(cells):
        rows = rng.permutation(np.flatnonzero(cells == cell))
        n = int(np.clip(round(fraction * len(rows)), min(1, len(rows) - 1), max(1, len(rows) - 1)))
        held.append(rows[:n])
    second = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(cells)), second), second


def stratified_folds(
    cells: NDArray[np.int64], n_folds: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Row numbers of each fold, which has its share of every cell.

    The rows outside a fold have rows of every cell: the row of a cell that has no other
    is in no fold.
    """
    folds: list[list[NDArray[np.intp]]] = [[] for _ in range(n_folds)]
    for cell in np.unique(cells):
        rows = rng.permutation(np.flatnonzero(cells == cell))
        for i in range(n_folds if len(rows) > 1 else 0):
            folds[i].append(rows[i::n_folds])
    return [np.sort(np.concatenate(fold)) for fold in folds if sum(map(len, fold))]


def stratified_splits(
    cells: NDArray[np.int64], n_folds: int, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Row numbers to fit on and to predict, by scikit-learn's `StratifiedKFold`.

    There are fewer folds than `n_folds` where the smallest cell has fewer rows, so that
    every cell of two rows or more is in every part to fit on.
    """
    n_folds = min(n_folds, int(np.unique(cells, return_counts=True)[1].min()))
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return list(splitter.split(cells, cells))


def take_groups(sensitive_features: Any, rows: NDArray[Any]) -> Any:
    """Some rows of group labels in any form; None stays None."""
    if sensitive_features is None:
        return None
    if isinstance(sensitive_features, dict):
        return {name: _safe_indexing(col, rows) for name, col in sensitive_features.items()}
    return _safe_indexing(sensitive_features, rows)

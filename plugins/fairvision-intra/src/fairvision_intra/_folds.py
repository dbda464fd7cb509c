"""Rows by cell of class and group, and folds that each have their share of every cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cells_of", "stratified_folds"]

Rows = NDArray[np.intp]


def cells_of(targets: NDArray[np.int64], groups: NDArray[np.int64]) -> list[Rows]:
    """Row numbers of each cell that has rows."""
    cell = targets + 2 * groups
    return [np.flatnonzero(cell == code) for code in np.unique(cell)]


def stratified_folds(cells: list[Rows], n_folds: int, rng: np.random.Generator) -> list[Rows]:
    """Row numbers of each fold; the rest of the rows has rows of every cell.

    The row of a cell that has no other is in no fold.
    """
    rows = [rng.permutation(cell) for cell in cells if len(cell) > 1]
    folds = [np.concatenate([r[i::n_folds] for r in rows]) for i in range(n_folds if rows else 0)]
    return [np.sort(fold) for fold in folds if len(fold)]

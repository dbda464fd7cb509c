"""Rows as a table of cells, which is all that metrics of counts need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fairvision.metrics.confusion import Pairs, add_by_place
from fairvision.metrics.inputs import Predictions

__all__ = ["Cells", "count_cells"]

# Up to this many dense cells are counted by `bincount`; beyond it only occupied ones are kept.
_DENSE = 1 << 22
# With more classes, draws are tables of the pairs of labels that occur, not of all pairs.
_MAX_CLASSES = 64


@dataclass(frozen=True, eq=False)
class Cells:
    """Distinct rows and how often each occurs.

    Two rows are the same when group, true label, every predicted label and
    weight are the same; a bootstrap of rows then draws these counts from one
    multinomial distribution, exactly.

    Attributes
    ----------
    shape : tuple (n_groups, n_classes, n_classes)
        Of a table: group, true label, predicted label.
    place : tuple of ndarray of shape (n_cells,), int64
        For each set of predictions, where a cell lies in the flattened table.
    rows : ndarray of shape (n_cells,), int64
        How many rows each cell stands for.
    weight : ndarray of shape (n_cells,), float64
        The weight of one such row.
    """

    shape: tuple[int, int, int]
    place: tuple[NDArray[np.int64], ...]
    rows: NDArray[np.int64]
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def pairs(self) -> Pairs | None:
        """The pairs of true and predicted label that occur; None for few classes."""
        n_classes = self.shape[1]
        if n_classes <= _MAX_CLASSES:
            return None
        flat = np.unique(np.concatenate(self.place) % n_classes**2)
        return Pairs(flat // n_classes, flat % n_classes, n_classes)

    @property
    def drawn_shape(self) -> tuple[int, int, int]:
        """Shape of a table of `drawn`."""
        return self.shape if self.pairs is None else (self.shape[0], 1, len(self.pairs.true))

    def drawn(self, amounts: NDArray[np.floating], index: int = 0) -> NDArray[np.float64]:
        """The `table` of many draws: of `pairs` alone, where there are such."""
        if self.pairs is None:
            return self.table(amounts, index)
        n_classes = self.pairs.n_classes
        group, flat = np.divmod(self.place[index], n_classes**2)
        known = self.pairs.true * n_classes + self.pairs.predicted
        place = group * len(known) + np.searchsorted(known, flat)
        return add_by_place(amounts, place, self.drawn_shape)

    def table(self, amounts: NDArray[np.floating], index: int = 0) -> NDArray[np.float64]:
        """Add up `amounts` of shape (..., n_cells) into tables of shape (..., *shape).

        `index` says by which set of predictions.
        """
        return add_by_place(amounts, self.place[index], self.shape)

    def weighted(self) -> NDArray[np.float64]:
        """Sums of weights, shape (n_groups, n_classes, n_classes)."""
        return self.table(self.rows * self.weight)

    def counted(self) -> NDArray[np.float64]:
        """Numbers of rows, shape (n_groups, n_classes, n_classes)."""
        return self.table(self.rows.astype(np.float64))


def _distinct_weights(
    weight: NDArray[np.float64] | None, n: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if weight is None:
        return np.zeros(1, dtype=np.int64), np.ones(1)  # broadcasts over the rows
    values, codes = np.unique(weight, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), values


def count_cells(data: Predictions, group: NDArray[np.int64], n_groups: int) -> Cells:
    """Count the distinct rows of `data`.

    Parameters
    ----------
    data : Predictions
    group : ndarray of shape (n_samples,)
        Group codes in ``range(n_groups)``.
    n_groups : int
    """
    n_classes = len(data.classes)
    weight_codes, weights = _distinct_weights(data.weight, len(data))
    sizes = (n_groups, *[n_classes] * (1 + len(data.y_pred)), len(weights))
    # int64 holds 9e18 cells: more than rows x labels x weights ever need.
    code = group.astype(np.int64)
    for labels, size in zip((data.y_true, *data.y_pred, weight_codes), sizes[1:], strict=True):
        code = code * size + labels
    total = int(np.prod(sizes, dtype=np.float64))
    if total <= max(_DENSE, 2 * len(data)) and total < 1 << 27:
        rows = np.bincount(code, minlength=total)
        occupied = np.flatnonzero(rows)
        rows = rows[occupied]
    else:
        occupied, rows = np.unique(code, return_counts=True)
    columns = np.unravel_index(occupied, sizes)
    place = tuple(
        np.ravel_multi_index((columns[0], columns[1], predicted), (n_groups, n_classes, n_classes))
        for predicted in columns[2:-1]
    )
    return Cells(
        shape=(n_groups, n_classes, n_classes),
        place=place,
        rows=rows.astype(np.int64),
        weight=weights[columns[-1]],
    )

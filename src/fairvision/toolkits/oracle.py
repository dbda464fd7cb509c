"""The trainings that fairlearn's reductions ask for, on images that it never sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import _safe_indexing

__all__ = ["OnRows", "Trainings"]


@dataclass
class Trainings:
    """What the trainings of a fit share: the rows, and plain training, which is done once.

    fairlearn asks for plain training several times over: at the first iteration, and
    whenever its multipliers come back to 0.
    """

    images: Any
    #: Of all rows: their class, and the number of their class and group.
    y: NDArray[np.int64]
    cells: NDArray[np.int64]
    #: Rows to train on, where they are not those that fairlearn asks for.
    rows: NDArray[np.intp] | None = None
    plain: Any = None
    count: int = 0

    def train(self, estimator: Any, rows: Any, y: Any, weights: Any) -> Any:
        plain = np.array_equal(y, self.y[rows]) and np.allclose(weights, 1)
        if plain and self.plain is not None:
            return self.plain
        if self.rows is not None:
            rows, y, weights = self._moved(self.rows, rows, y, weights)
        fitted = clone(estimator)
        fitted.fit(_safe_indexing(self.images, rows), y, sample_weight=weights)
        self.count += 1
        if plain:
            self.plain = fitted
        return fitted

    def _moved(self, to: Any, rows: Any, y: Any, weights: Any) -> tuple[Any, Any, Any]:
        """What fairlearn asks for, on other rows: it asks the same of a whole cell."""
        labels, moved = self.y[to].copy(), np.ones(len(to))
        for cell, first in zip(*np.unique(self.cells[rows], return_index=True), strict=True):
            here = self.cells[to] == cell
            labels[here], moved[here] = y[first], weights[first]
        return to, labels, moved / moved.mean()


class OnRows(ClassifierMixin, BaseEstimator):
    """The estimator on images that are named by their row numbers.

    fairlearn checks, copies and keeps X; images stay out of its hands, and
    lazily read ones on disk.
    """

    def __init__(self, estimator: Any, trainings: Any) -> None:
        self.estimator = estimator
        self.trainings = trainings

    def __sklearn_clone__(self) -> OnRows:
        return OnRows(clone(self.estimator), self.trainings)

    def __deepcopy__(self, memo: Any) -> OnRows:
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

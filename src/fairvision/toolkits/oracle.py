"""The estimator that fairlearn's reductions train: it gets row numbers instead of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from fairvision.base import rows_for

__all__ = ["RowNumberClassifier", "Trainer"]


@dataclass
class Trainer:
    """The images of one `fit`, and the trainings on them. ERM training is done once.

    fairlearn repeats ERM training: at the first iteration, and whenever its multipliers
    return to 0.
    """

    images: Any
    #: Two labels, as the estimator sees them; fairlearn computes with their codes.
    classes: NDArray[Any]
    #: The class code of each row, and the code of its class and group.
    y: NDArray[np.int64]
    cells: NDArray[np.int64]
    #: The rows to train on; None for those that fairlearn names.
    train_rows: NDArray[np.intp] | None = None
    erm: Any = None
    n_trainings: int = 0

    def train(self, estimator: Any, rows: Any, y: Any, weights: Any) -> Any:
        is_erm = np.array_equal(y, self.y[rows]) and np.allclose(weights, 1)
        if is_erm and self.erm is not None:
            return self.erm
        if self.train_rows is not None:
            rows, y, weights = self._transfer(self.train_rows, rows, y, weights)
        fitted = clone(estimator)
        fitted.fit(self.images_of(rows, fitted), self.classes[y], sample_weight=weights)
        self.n_trainings += 1
        if is_erm:
            self.erm = fitted
        return fitted

    def images_of(self, rows: NDArray[np.intp], reader: Any) -> Any:
        """The images of some rows, for an estimator; all of them are no copy."""
        every = np.array_equal(rows, np.arange(len(self.images)))
        return self.images if every else rows_for(reader, self.images, rows)

    def _transfer(self, to: Any, rows: Any, y: Any, weights: Any) -> tuple[Any, Any, Any]:
        """Give other rows the label and weight that fairlearn gives to all rows of their cell."""
        new_y, new_weights = self.y[to].copy(), np.ones(len(to))
        for cell, first in zip(*np.unique(self.cells[rows], return_index=True), strict=True):
            in_cell = self.cells[to] == cell
            new_y[in_cell], new_weights[in_cell] = y[first], weights[first]
        return to, new_y, new_weights / new_weights.mean()


class RowNumberClassifier(ClassifierMixin, BaseEstimator):
    """The estimator as fairlearn sees it: X holds row numbers.

    fairlearn checks, copies and keeps X, which images on disk would not survive.
    """

    def __init__(self, estimator: Any, trainer: Any) -> None:
        self.estimator = estimator
        self.trainer = trainer

    def __sklearn_clone__(self) -> RowNumberClassifier:
        return RowNumberClassifier(clone(self.estimator), self.trainer)

    def __deepcopy__(self, memo: Any) -> RowNumberClassifier:
        return self.__sklearn_clone__()

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        labels, weights = np.asarray(y), np.asarray(sample_weight)
        self.estimator_ = self.trainer.train(self.estimator, _row_numbers(X), labels, weights)
        self.classes_ = np.arange(2)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        images = self.trainer.images_of(_row_numbers(X), self.estimator_)
        positive = np.asarray(self.estimator_.predict(images)) == self.trainer.classes[1]
        return positive.astype(np.int64)


def _row_numbers(X: Any) -> NDArray[np.intp]:
    return np.asarray(X)[:, 0].astype(np.intp)

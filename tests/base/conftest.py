"""Pictures that carry their row number, so that no test can mix rows up unseen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass
class Numbered:
    images: NDArray[np.uint8]
    target: NDArray[np.int64]
    groups: NDArray[np.str_]


@pytest.fixture
def recorder() -> Any:
    """A classifier that keeps what it is fitted on; it predicts the first pixel's parity."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Recorder(ClassifierMixin, BaseEstimator):
        __metadata_request__fit = {"sensitive_features": True}  # noqa: RUF012

        def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Self:
            self.X_, self.y_, self.groups_ = np.asarray(X), np.asarray(y), sensitive_features
            self.classes_ = np.unique(self.y_)
            return self

        def predict(self, X: Any) -> NDArray[Any]:
            return self.classes_[np.asarray(X)[:, 0, 0, 0] % 2]

        @property
        def rows_(self) -> NDArray[np.int64]:
            return self.X_[:, 0, 0, 0].astype(np.int64)

    return Recorder()


@pytest.fixture(scope="session")
def numbered() -> Numbered:
    """30 images, the row number in every pixel; 20 of class 0, 10 of class 1."""
    rows = np.arange(30, dtype=np.uint8)
    images = np.tile(rows[:, None, None, None], (1, 3, 4, 4))
    groups = np.array([f"group of {row}" for row in rows])
    return Numbered(images, (rows >= 20).astype(int), groups)

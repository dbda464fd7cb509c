"""Features with a core and a spurious direction, and a net that relies on the spurious one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fairvision.nn import TorchClassifier


@dataclass(frozen=True, eq=False)
class Rows:
    """Features, targets and groups."""

    X: NDArray[np.float64]
    y: NDArray[Any]
    groups: NDArray[Any]

    def worst(self, model: Any) -> float:
        """Accuracy in the worst cell of target and group."""
        right = model.predict(self.X) == self.y
        return min(
            right[(self.y == y) & (self.groups == g)].mean()
            for y in np.unique(self.y)
            for g in np.unique(self.groups)
        )


def draw(n: int, agree: float, seed: int) -> Rows:
    """Rows whose group is their target at this rate: column 0 shows the target, 1 the group."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    group = np.where(np.arange(n) // 2 % 100 < 100 * agree, y, 1 - y)
    X = rng.normal(0, 1, (n, 6))
    X[:, 0] += 1.0 * (2 * y - 1)
    X[:, 1] += 3 * (2 * group - 1)
    return Rows(X, y, np.array(["a", "b"])[group])


@pytest.fixture(scope="session")
def biased() -> Rows:
    return draw(1000, 0.95, 0)


@pytest.fixture(scope="session")
def balanced() -> Rows:
    return draw(400, 0.5, 1)


@pytest.fixture(scope="session")
def test_rows() -> Rows:
    return draw(4000, 0.5, 2)


@pytest.fixture(scope="session")
def net(biased: Rows) -> TorchClassifier:
    """A linear net, trained plainly."""
    model = TorchClassifier(
        "torch.nn:Identity", lr=0.05, max_epochs=10, random_state=0, device="cpu"
    )
    return model.fit(biased.X, biased.y)

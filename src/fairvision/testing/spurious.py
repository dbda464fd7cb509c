"""Features with a core and a spurious direction, as pytest fixtures for post-processing methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fairvision.testing._data import Samples

if TYPE_CHECKING:
    from fairvision.nn import TorchClassifier


def draw(n_samples: int, agreement: float, seed: int) -> Samples:
    """Draw samples: column 0 shows the target, column 1 the group, which agree at this rate."""
    rng = np.random.default_rng(seed)
    index = np.arange(n_samples)
    y = index % 2
    group = np.where(index // 2 % 100 < 100 * agreement, y, 1 - y)
    X = rng.normal(0, 1, (n_samples, 6))
    X[:, 0] += 1.0 * (2 * y - 1)
    X[:, 1] += 3 * (2 * group - 1)
    return Samples(X, y, np.array(["a", "b"])[group])


@pytest.fixture(scope="session")
def biased() -> Samples:
    """Training samples: 95 in 100 of a class are in one group."""
    return draw(1000, 0.95, 0)


@pytest.fixture(scope="session")
def balanced() -> Samples:
    """Samples whose target and group are independent."""
    return draw(400, 0.5, 1)


@pytest.fixture(scope="session")
def test_rows() -> Samples:
    """Test samples whose target and group are independent."""
    return draw(4000, 0.5, 2)


@pytest.fixture(scope="session")
def net(biased: Samples) -> TorchClassifier:
    """A linear net trained by ERM, which relies on the group."""
    from fairvision.nn import TorchClassifier

    model = TorchClassifier(
        "torch.nn:Identity", lr=0.05, max_epochs=10, random_state=0, device="cpu"
    )
    return model.fit(biased.X, biased.y)

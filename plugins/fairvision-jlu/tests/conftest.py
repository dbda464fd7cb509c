"""Small pictures in which a strong square says the attribute and a weak one the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from sklearn.utils import Bunch


def pictures(n: int, rate: float, seed: int, n_classes: int = 2) -> Bunch:
    """Grey 16 x 16 pictures; attribute = target (modulo 2) in `rate` of the rows."""
    from sklearn.utils import Bunch

    rng = np.random.default_rng(seed)
    target = np.arange(n) % n_classes
    attribute = np.where(rng.random(n) < rate, target % 2, 1 - target % 2)
    images = rng.normal(0.5, 0.15, (n, 1, 16, 16))
    images[:, 0, 2:6, 2:6] += 0.10 * (target[:, None, None] - (n_classes - 1) / 2)
    images[:, 0, 9:15, 9:15] += 0.3 * (attribute[:, None, None] - 0.5)
    images = (images.clip(0, 1) * 255).astype(np.uint8)
    return Bunch(images=images, target=target, groups=np.array(["no", "yes"])[attribute])


@pytest.fixture(scope="session")
def biased() -> Bunch:
    return pictures(600, 0.9, seed=0)


@pytest.fixture(scope="session")
def balanced() -> Bunch:
    return pictures(600, 0.5, seed=1)


@pytest.fixture(scope="session")
def five_classes() -> Bunch:
    return pictures(600, 0.8, seed=4, n_classes=5)

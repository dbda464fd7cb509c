"""Pictures, wider than high, in which one square says the attribute and another the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from sklearn.utils import Bunch

    from fairvision_attribution import RegionClassifier

#: Where the attribute and the target are drawn: rows, columns.
ATTRIBUTE = (slice(1, 6), slice(12, 17))
TARGET = (slice(9, 14), slice(2, 7))


def pictures(n: int, rate: float, seed: int, faint: float = 0.4) -> Bunch:
    """Grey 16 x 20 pictures; the attribute equals the target in `rate` of the rows.

    The target's square is as bright as the attribute's unless `faint`.
    """
    from sklearn.utils import Bunch

    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    attribute = np.where(rng.random(n) < rate, target, 1 - target)
    images = rng.normal(0.5, 0.1, (n, 1, 16, 20))
    images[:, 0, *ATTRIBUTE] += 0.4 * (attribute - 0.5)[:, None, None]
    images[:, 0, *TARGET] += faint * (target - 0.5)[:, None, None]
    images = (images.clip(0, 1) * 255).astype(np.uint8)
    return Bunch(images=images, target=target, groups=np.array(["no", "yes"])[attribute])


@pytest.fixture(scope="session")
def balanced() -> Bunch:
    return pictures(300, 0.5, seed=0)


@pytest.fixture(scope="session")
def biased() -> Bunch:
    return pictures(400, 0.9, seed=1)


@pytest.fixture(scope="session")
def fresh() -> Bunch:
    return pictures(200, 0.5, seed=2)


@pytest.fixture(scope="session")
def tempting() -> Bunch:
    """The attribute is easier to see than the target, and goes with it."""
    return pictures(400, 0.9, seed=3, faint=0.08)


@pytest.fixture(scope="session")
def honest() -> Bunch:
    """The same pictures without the bias."""
    return pictures(400, 0.5, seed=4, faint=0.08)


@pytest.fixture(scope="session")
def regions(balanced: Bunch) -> RegionClassifier:
    """A region classifier of the attribute; tests must not change it."""
    from fairvision_attribution import RegionClassifier

    model = RegionClassifier(max_epochs=10, random_state=0, device="cpu")
    return model.fit(balanced.images, balanced.groups)


@pytest.fixture
def where() -> Bunch:
    """Boolean pictures of both squares."""
    from sklearn.utils import Bunch

    attribute, target = np.zeros((2, 16, 20), dtype=bool)
    attribute[ATTRIBUTE], target[TARGET] = True, True
    return Bunch(attribute=attribute, target=target)

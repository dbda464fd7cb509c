"""Small pictures whose class a net learns in seconds: class 1 is redder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass
class Pictures:
    images: NDArray[np.uint8]
    target: NDArray[np.int64]
    groups: NDArray[np.str_]


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    rng = np.random.default_rng(0)
    target = np.tile([0, 1], 24)
    images = rng.integers(0, 100, (48, 3, 16, 16), dtype=np.uint8)
    images[:, 0] += (target * 60).astype(np.uint8)[:, None, None]
    images.setflags(write=False)  # no test may change what the next one reads
    return Pictures(images, target, rng.choice(["left", "right"], 48))

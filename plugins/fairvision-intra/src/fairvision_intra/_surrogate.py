"""Random proposals in a box, until a surrogate model takes their place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Surrogate"]


class Surrogate:
    """Proposes points of a box around 0."""

    def __init__(self, n_dims: int, scale: float, seed: int) -> None:
        self.rng, self.n_dims, self.scale = np.random.default_rng(seed), n_dims, scale

    def ask(self) -> NDArray[np.float64]:
        return self.rng.uniform(-self.scale, self.scale, self.n_dims)

    def tell(self, steps: NDArray[np.float64], value: float) -> None:
        """Learn what a proposal was worth."""

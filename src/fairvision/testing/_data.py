"""Two small data sets: stripes for the contract, drawn faces for the behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, their targets and their groups."""

    X: NDArray[Any]
    y: NDArray[Any]
    groups: NDArray[Any]

    def take(self, indices: Any) -> Samples:
        """Some of the samples."""
        return Samples(self.X[indices], self.y[indices], self.groups[indices])

    def worst(self, model: Any) -> float:
        """A model's accuracy in the worst cell of target and group."""
        from fairvision.base import worst_cell

        return worst_cell(self.y, self.groups, model.predict(self.X)).accuracy


def stripes(
    n: int = 64, *, channels: int = 3, n_classes: int = 2, n_groups: int = 2, seed: int = 0
) -> Samples:
    """Noise of 16 x 16 pixels with a bright row for the class and a bright column for the group.

    Three quarters of a class are in one group; every class occurs in every group.
    """
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    own = np.arange(n) // n_classes % 4 > 0
    other = (y + 1 + np.arange(n) // (4 * n_classes) % max(1, n_groups - 1)) % n_groups
    groups = np.where(own, y % n_groups, other)
    X = rng.integers(0, 120, (n, channels, 16, 16), dtype=np.uint8)
    X[np.arange(n), :, 2 + 4 * y] = 220
    X[np.arange(n), :, :, 1 + 4 * groups] = 180
    order = rng.permutation(n)
    return Samples(X[order], y[order], np.array(["a", "b", "c"])[groups[order]])


def features(n: int = 64, seed: int = 0) -> Samples:
    """Eight features, each on a scale of its own; three tell the class, one the group.

    Every class has as many rows of every group.
    """
    rng = np.random.default_rng(seed)
    y, g = np.arange(n) % 2, np.arange(n) // 2 % 2
    X = rng.normal(size=(n, 8))
    X[:, :3] += 3 * y[:, None]
    X[:, 3] += 3 * g
    X = (X + 5) * np.array([0.01, 1, 100, 1, 1, 10, 0.1, 1])
    return Samples(X.astype(np.float32), y, np.array(["a", "b"])[g])


def maps(n: int = 64, seed: int = 0) -> Samples:
    """The features as maps of 2 x 2, which average to them up to noise."""
    data = features(n, seed)
    noise = np.random.default_rng(seed).normal(1, 0.1, (n, 8, 2, 2))
    return Samples((data.X[..., None, None] * noise).astype(np.float32), data.y, data.groups)


@cache
def _drawn() -> Samples:
    from fairvision.datasets import load_faces

    drawn = load_faces(3000, 32, target="eyeglasses", sensitive="hat", random_state=0)
    # At half the size the eyeglasses are still visible, and training is four times as fast.
    small = np.asarray(drawn.images).reshape(3000, 3, 16, 2, 16, 2).mean((3, 5))
    groups = np.where(drawn.attributes["hat"], "hat", "bare head")
    return Samples(small.round().astype(np.uint8), np.asarray(drawn.target), groups)


@cache
def faces(rate: float, seed: int) -> tuple[Samples, Samples]:
    """600 training faces whose hats go with eyeglasses at this rate, and 800 unbiased test faces.

    At a rate of 0.95, ERM training learns the hat instead of the eyeglasses.
    """
    from fairvision.datasets import biased_split

    drawn = _drawn()
    split = biased_split(
        {},
        target=drawn.y,
        confounder=drawn.groups,
        confounding=rate,
        n_train=600,
        n_test=800,
        random_state=seed,
    )
    return drawn.take(split.train), drawn.take(split.test)

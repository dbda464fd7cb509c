"""Pictures that are no faces: plain backgrounds, textures, scrambled faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]


def plain(n: int, size: int, rng: np.random.Generator) -> Images:
    """A colour that runs into another one, with the grain of a camera."""
    ends = rng.uniform(0, 255, (2, n, 3, 1, 1))
    angle = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    ramp = np.clip(x * np.cos(angle) + y * np.sin(angle) + 0.5, 0, 1)[:, None]
    return _bytes(ends[0] * (1 - ramp) + ends[1] * ramp + rng.normal(0, 4, (n, 3, size, size)))


def textures(n: int, size: int, rng: np.random.Generator) -> Images:
    """Stripes, checks and smooth noise between two colours."""
    y, x = np.mgrid[0:size, 0:size]
    first, second = rng.uniform(0, 255, (2, n, 3, 1, 1))
    pattern = np.empty((n, 1, size, size))
    for i, kind in enumerate(rng.integers(3, size=n)):
        turn, period = rng.uniform(0, np.pi), rng.uniform(3, size / 2)
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        if kind == 0:
            pattern[i] = np.sin(2 * np.pi * u / period)
        elif kind == 1:
            pattern[i] = np.sign(np.sin(2 * np.pi * u / period) * np.sin(2 * np.pi * v / period))
        else:
            grid = rng.normal(0, 1, 2 * [int(rng.integers(3, 12))])
            pattern[i] = np.kron(grid, np.ones(2 * [-(-size // len(grid))]))[:size, :size]
    mix = 0.5 + 0.5 * np.clip(pattern, -1, 1)
    return _bytes(first * mix + second * (1 - mix) + rng.normal(0, 4, (n, 3, size, size)))


def scrambled(faces: Images, rng: np.random.Generator, *, hard: bool = False) -> Images:
    """Faces cut into 2 x 2 or 4 x 4 blocks, the blocks in another order.

    The hard ones have just two of the four middle blocks of 4 x 4, or of the
    four quarters, exchanged.
    """
    n, channels, size, _ = faces.shape
    out = np.empty_like(faces)
    for i, parts in enumerate(rng.choice([2, 4], n)):
        side = size // parts
        blocks = faces[i].reshape(channels, parts, side, parts, side).transpose(1, 3, 0, 2, 4)
        blocks = blocks.reshape(parts**2, channels, side, side)
        order = _two_exchanged(parts, rng) if hard else _permuted(parts**2, rng)
        grid = blocks[order].reshape(parts, parts, channels, side, side)
        out[i] = grid.transpose(2, 0, 3, 1, 4).reshape(channels, size, size)
    return out


def _permuted(n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    order = rng.permutation(n)
    return order if (order != np.arange(n)).any() else _permuted(n, rng)


def _two_exchanged(parts: int, rng: np.random.Generator) -> NDArray[np.intp]:
    middle = [0, 1, 2, 3] if parts == 2 else [5, 6, 9, 10]
    order = np.arange(parts**2)
    one, other = rng.choice(middle, 2, replace=False)
    order[[one, other]] = order[[other, one]]
    return order


def _bytes(values: NDArray[np.float64]) -> Images:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)

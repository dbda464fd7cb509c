"""From any form of `random_state` to a seed or a generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.exceptions import InputError

__all__ = ["RandomState", "as_generator", "as_seed", "numbered_rows", "row_draws"]

_NUMBERS: ContextVar[NDArray[np.intp] | None] = ContextVar("row numbers", default=None)

RandomState = int | np.integer[Any] | np.random.RandomState | np.random.Generator | None


def as_seed(random_state: RandomState) -> int:
    """Turn any form of `random_state` into one seed.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        An int is the seed. A RandomState or Generator is advanced. None takes fresh
        entropy from the operating system; numpy's global generator is neither
        read nor advanced.

    Returns
    -------
    int
        From 0 to 2**32 - 1.

    Raises
    ------
    InputError
        If it is something else, or an int out of this range.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**32))
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        if not 0 <= random_state < 2**32:
            raise InputError(f"random_state is {random_state}; pass an int from 0 to 2**32 - 1.")
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**32, dtype=np.uint32))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    raise InputError(
        f"random_state is {random_state!r}; pass an int, a numpy RandomState or Generator, or None."
    )


def as_generator(random_state: RandomState) -> np.random.Generator:
    """A Generator as it is, or a new one seeded with `as_seed`.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None

    Returns
    -------
    Generator
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    return np.random.default_rng(as_seed(random_state))


@contextmanager
def numbered_rows(numbers: ArrayLike) -> Iterator[None]:
    """Say which rows of a longer data set X is, so that `row_draws` gives each its own number.

    Parameters
    ----------
    numbers : array-like of int of shape (n_samples,)
        The place of each row, ascending from 0.
    """
    token = _NUMBERS.set(np.asarray(numbers, dtype=np.intp))
    try:
        yield
    finally:
        _NUMBERS.reset(token)


def row_draws(random_state: RandomState, n_samples: int) -> NDArray[np.float64]:
    """A random number for each row, for a `predict` that draws.

    It depends on the seed and the row's place alone: batches inside `numbered_rows` give what all
    rows at once would give.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
    n_samples : int

    Returns
    -------
    ndarray of shape (n_samples,)
        Uniform in [0, 1).
    """
    numbers = _NUMBERS.get()
    if numbers is None or len(numbers) != n_samples or n_samples == 0:
        numbers = np.arange(n_samples)
    first, last = (numbers[0], numbers[-1]) if n_samples else (0, -1)
    # One step of PCG64 is one number, and those before the first cost nothing.
    generator = np.random.Generator(np.random.PCG64(as_seed(random_state)).advance(int(first)))
    return generator.random(last - first + 1)[numbers - first]

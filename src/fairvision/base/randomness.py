"""From any form of `random_state` to a seed or a generator."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairvision.exceptions import InputError

__all__ = ["RandomState", "as_generator", "as_seed"]

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

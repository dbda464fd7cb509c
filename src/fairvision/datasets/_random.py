"""Randomness from `random_state` alone."""

from __future__ import annotations

import numpy as np

__all__ = ["RandomLike", "as_generator"]

RandomLike = int | np.integer | np.random.Generator | np.random.RandomState | None


def as_generator(random_state: RandomLike) -> np.random.Generator:
    """Turn any of scikit-learn's forms of `random_state` into a numpy Generator.

    Parameters
    ----------
    random_state : int, Generator, RandomState or None
        An int gives the same numbers each time; a Generator or RandomState is
        advanced; None takes entropy from the system, never the global state.
    """
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**32, size=4, dtype=np.uint32))
    return np.random.default_rng(random_state)

"""Randomness from `random_state` alone, and the global generators left as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from fairvision.exceptions import InputError

__all__ = ["as_seed", "isolated_rng"]

RandomState = int | np.integer[Any] | np.random.RandomState | np.random.Generator | None


def as_seed(random_state: RandomState) -> int:
    """Turn any form of `random_state` into one seed.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        None takes fresh entropy from the operating system: numpy's global
        generator is neither read nor advanced.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**32))
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        if random_state < 0:
            raise InputError(f"random_state is {random_state}; pass an int of 0 or more.")
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**32, dtype=np.uint32))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    raise InputError(
        f"random_state is {random_state!r}; pass an int, a numpy RandomState or Generator, or None."
    )


@contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Seed torch, numpy and random inside the block; restore all three after it.

    Weight initialisation, dropout and torchvision's transforms only know the
    global generators, so they are seeded here and put back. cuDNN is held to
    its deterministic kernels for the same bits on the same machine.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with (
            torch.random.fork_rng(devices=devices),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
        ):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)

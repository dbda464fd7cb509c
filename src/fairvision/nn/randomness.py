"""Randomness from `random_state` alone, and the global generators left as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fairvision.base import RandomState, as_seed

__all__ = ["RandomState", "as_seed", "isolated_rng"]


@contextmanager
def isolated_rng(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch, numpy and random inside the block; restore all three after it.

    Parameters
    ----------
    seed : int
    device : torch device
        Where the block computes. CUDA's generators are left alone, and CUDA
        asleep, if that is the CPU and nobody has used CUDA yet.

    Weight initialisation, dropout and torchvision's transforms only know the
    global generators, so they are seeded here and put back. cuDNN is held to
    its deterministic kernels for the same bits on the same machine.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with_cuda = torch.device(device).type == "cuda" or torch.cuda.is_initialized()
    devices = range(torch.cuda.device_count()) if with_cuda else ()
    try:
        with (
            torch.random.fork_rng(devices=devices),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
        ):
            torch.default_generator.manual_seed(seed)
            if with_cuda:
                torch.cuda.manual_seed_all(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)

"""Randomness from `random_state` alone; the global generators stay as they were."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fairvision.base import RandomState, as_seed
from fairvision.nn.device import generator_states, seed_device, set_generator_states

__all__ = ["RandomState", "as_seed", "isolated_rng"]

# One lock for the process, because torch, numpy and random have one global generator each.
_LOCK = threading.RLock()


@contextmanager
def isolated_rng(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch, numpy and random inside the block; restore all three afterwards.

    Only one thread at a time can be inside such a block; it may enter another one.
    Do not wait in the block for a thread that needs one, too.

    Parameters
    ----------
    seed : int
    device : torch device
        The device that the block computes on. CUDA's generators are left alone if
        that is the CPU and nobody has used CUDA yet.

    Notes
    -----
    Weight initialisation, dropout and torchvision's transforms draw from the
    global generators. cuDNN uses deterministic algorithms inside the block, for the
    same bits on the same machine.
    """
    with _LOCK:
        numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
        with_cuda = torch.device(device).type == "cuda" or torch.cuda.is_initialized()
        devices = range(torch.cuda.device_count()) if with_cuda else ()
        other = "cpu" if torch.device(device).type == "cuda" else device  # forked below
        device_states = generator_states(other)
        try:
            with (
                torch.random.fork_rng(devices=devices),
                torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
            ):
                torch.default_generator.manual_seed(seed)
                if with_cuda:
                    torch.cuda.manual_seed_all(seed)
                seed_device(other, seed)
                np.random.seed(seed)  # noqa: NPY002
                random.seed(seed)
                yield
        finally:
            set_generator_states(other, device_states)
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)

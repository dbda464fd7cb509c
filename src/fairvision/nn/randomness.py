"""Randomness from `random_state` alone; the global generators stay as they were."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from fairvision.base import RandomState, as_seed
from fairvision.nn.device import generator_state, seed_device, set_generator_state

__all__ = ["RandomState", "as_seed", "isolated_rng", "seeded_rng"]

# One lock for the process, because torch, numpy and random have one global generator each.
_LOCK = threading.RLock()
#: How cuBLAS is allowed to use memory: https://docs.nvidia.com/cuda/cublas/#results-reproducibility
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def isolated_rng(
    seed: int, device: torch.device | str = "cpu", *, deterministic: bool = True
) -> Iterator[None]:
    """Seed torch, numpy and random inside the block; restore all three afterwards.

    Only one thread at a time can be inside such a block; the same thread may nest blocks. Inside
    the block, do not wait for a thread that also enters one: that would deadlock.

    Parameters
    ----------
    seed : int
    device : torch device
        The device that the block computes on; of several GPUs it is the current one there.
        CUDA's generators are left alone if that is the CPU and nobody has used CUDA yet.
    deterministic : bool
        Compute the same bits each time on CUDA, too; torch warns of an operation that
        cannot. False allows faster kernels there.

    Notes
    -----
    Weight initialisation, dropout and torchvision's transforms draw from the
    global generators.
    """
    with _LOCK, seeded_rng(seed, device, deterministic=deterministic):
        yield


@contextmanager
def seeded_rng(
    seed: int, device: torch.device | str = "cpu", *, deterministic: bool = True
) -> Iterator[None]:
    """Like `isolated_rng`, but other threads may enter a block, too.

    It is for code that waits for threads which fit models. Code inside that draws from the global
    generators itself must run in one thread.

    Parameters
    ----------
    seed, device, deterministic
        As in `isolated_rng`.
    """
    cuda = torch.device(device).type == "cuda"
    with_cuda = cuda or torch.cuda.is_initialized()
    devices = range(torch.cuda.device_count()) if with_cuda else ()
    other = "cpu" if cuda else device  # forked below
    device_state = generator_state(other)
    with _SHARED.entered(), _restored(other, device_state):
        # Streams, and so CUDA graphs, belong to the current device unless told otherwise.
        current: Any = torch.cuda.device(device) if cuda else nullcontext()
        forked = torch.random.fork_rng(devices=devices)
        with current, forked, _algorithms(device, deterministic):
            torch.default_generator.manual_seed(seed)
            if with_cuda:
                torch.cuda.manual_seed_all(seed)
            seed_device(other, seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            yield


@contextmanager
def _restored(device: torch.device | str, state: Any) -> Iterator[None]:
    """Restore the generators of numpy and Python, and of a device that torch does not fork."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        set_generator_state(device, state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


class _Shared:
    """What all threads share, as it was before the first of them entered a block.

    Blocks of several threads may overlap. Each restores what it found, which may be what another
    thread had set; so the last one to leave restores what the first one found.
    """

    def __init__(self) -> None:
        self._lock, self._n_inside = threading.Lock(), 0
        self._before: Any = ()

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self._lock:
            if not self._n_inside:
                self._before = self._read()
            self._n_inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_inside -= 1
                if not self._n_inside:
                    self._restore(*self._before)

    @staticmethod
    def _read() -> tuple[Any, ...]:
        generators = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
        return (*generators, torch.get_deterministic_debug_mode(), _kernels())

    @staticmethod
    def _restore(numpy: Any, python: Any, cpu: Any, mode: int, kernels: tuple[bool, ...]) -> None:
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)
        torch.set_rng_state(cpu)
        torch.set_deterministic_debug_mode(mode)
        _set_kernels(*kernels)


_SHARED = _Shared()


def _kernels() -> tuple[bool, ...]:
    cudnn: Any = torch.backends.cudnn
    settings: Any = torch.utils.deterministic
    return cudnn.benchmark, cudnn.deterministic, settings.fill_uninitialized_memory


def _set_kernels(benchmark: bool, deterministic: bool, fill: bool) -> None:
    # One by one: `cudnn.flags` would turn TF32 on again for somebody who turned it off.
    cudnn: Any = torch.backends.cudnn
    cudnn.benchmark, cudnn.deterministic = benchmark, deterministic
    settings: Any = torch.utils.deterministic
    settings.fill_uninitialized_memory = fill


@contextmanager
def _algorithms(device: torch.device | str, deterministic: bool) -> Iterator[None]:
    """Let CUDA use deterministic kernels only, or the fastest; the settings are restored."""
    cuda = torch.device(device).type == "cuda"
    mode = torch.get_deterministic_debug_mode()  # somebody who turned it on keeps it
    fast = cuda and not deterministic and not mode
    kernels = _kernels()
    if cuda:
        # It stays set: torch looks once, at the process's first matrix product on a GPU, and
        # warns of every product if it was not set then.
        os.environ.setdefault(_CUBLAS, ":4096:8")
    try:
        quick_fill = cuda and deterministic and not mode  # filling memory costs time
        _set_kernels(fast, not fast, kernels[2] and not quick_fill)
        if quick_fill:
            torch.set_deterministic_debug_mode("warn")
        yield
    finally:
        _set_kernels(*kernels)
        torch.set_deterministic_debug_mode(mode)

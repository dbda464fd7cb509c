"""The CUDA device of a worker process."""

from __future__ import annotations

import multiprocessing
import sys

import torch

__all__ = ["device_of_worker"]


def device_of_worker(device: str) -> str:
    """The device of this process; on several CUDA devices, workers take turns.

    A worker keeps its device, so that it uses the memory of one only. A device with a number is
    returned as it is, and so are those that a cluster assigns to its workers.
    """
    number = _worker_number()
    if device not in ("auto", "cuda") or number is None or torch.cuda.device_count() < 2:
        return device
    return f"cuda:{number % torch.cuda.device_count()}"


def _worker_number() -> int | None:
    """The number of a worker that a comparison started on this machine, from 0."""
    kind, _, number = multiprocessing.current_process().name.rpartition("-")
    if kind == "LokyProcess" and number.isdecimal():
        return int(number) - 1
    distributed = sys.modules.get("distributed")
    if distributed is None or "dask_cuda" in sys.modules:  # which gives each worker a device
        return None
    try:  # Dask numbers the workers of a `LocalCluster`; others have names
        name = distributed.get_worker().name
    except ValueError:  # this process is none
        return None
    return name if isinstance(name, int) else None

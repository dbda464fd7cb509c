"""The device that a model computes on, of any kind that torch knows."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from fairvision.exceptions import InputError

__all__ = [
    "as_double",
    "choose_device",
    "computes_bfloat16",
    "device_or_cpu",
    "generator_state",
    "numbered",
    "seed_device",
    "set_generator_state",
    "supported_dtype",
    "to_device",
]


def choose_device(device: str | torch.device) -> torch.device:
    """The torch device of a `device` parameter.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes CUDA if there is one, else the CPU; or any name that
        `torch.device` takes: ``"cuda:1"``, ``"mps"``, ``"xpu"``.

    Raises
    ------
    InputError
        If torch knows no such device, or sees none here.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(device, (str, torch.device)):
        raise InputError(f"device is {device!r}; pass 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'.")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"device is {device!r}; pass 'auto', 'cpu', 'cuda' or 'cuda:1'. ({error})"
        ) from error
    n_devices = _count(chosen.type)
    if (chosen.index or 0) >= n_devices:
        raise InputError(
            f"device is {str(device)!r}, but torch sees {n_devices} {chosen.type.upper()} "
            "device(s). Pass 'cpu' or 'auto'."
        )
    return chosen


def device_or_cpu(device: str | torch.device) -> torch.device:
    """The torch device of a `device` parameter that was saved.

    Where there is none of that number, the kind's first; where there is none of the kind, the CPU.
    """
    kind = str(device).partition(":")[0]
    for name in (device, kind):
        try:
            return choose_device(name)
        except InputError:
            continue
    return torch.device("cpu")


def numbered(device: torch.device) -> torch.device:
    """The current CUDA device by its number: each thread has a current device of its own."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _count(kind: str) -> int:
    """How many devices of a kind torch can compute on here."""
    if kind == "cpu":
        return 1
    backend = getattr(torch.backends, kind, None)
    module = getattr(torch, kind, None)
    available = getattr(backend, "is_available", None) or getattr(module, "is_available", None)
    # "meta" computes nothing; other kinds say whether they are there.
    if kind == "meta" or available is None or not available():
        return 0
    return int(module.device_count()) if hasattr(module, "device_count") else 1  # type: ignore[union-attr]


def to_device(tensor: Tensor, device: str | torch.device) -> Tensor:
    """Copy a tensor of the CPU to the device; to CUDA while this thread goes on."""
    device = torch.device(device)
    if device.type == "cuda" and tensor.device.type == "cpu":
        # A copy from ordinary memory would wait for all work on the card.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def supported_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The floating dtype, or single precision where the device has no double one."""
    return torch.float32 if device.type == "mps" else dtype


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a CUDA device multiplies in bfloat16 itself: since Ampere."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


def as_double(scores: Tensor) -> Tensor:
    """Scores in double precision, on the CPU if their device has none."""
    return (scores.cpu() if scores.device.type == "mps" else scores).double()


def _module(device: torch.device | str) -> Any:
    """torch's module for the random generators of a device, such as `torch.xpu`; CPU: None."""
    kind = torch.device(device).type
    return None if kind == "cpu" else getattr(torch, kind, None)


def generator_state(device: torch.device | str) -> Tensor | None:
    """The state of a device's own generator; None for the CPU."""
    module = _module(device)
    if module is None:
        return None
    with _current(module, device):
        return module.get_rng_state()


def set_generator_state(device: torch.device | str, state: Tensor | None) -> None:
    """Restore what `generator_state` gave, of this or another device of the kind."""
    module = _module(device)
    if module is not None and state is not None:
        with _current(module, device):
            module.set_rng_state(state)


def seed_device(device: torch.device | str, seed: int) -> None:
    """Seed the generator of a device; that of the CPU is left alone."""
    module = _module(device)
    if module is not None:
        with _current(module, device):
            module.manual_seed(seed)


def _current(module: Any, device: torch.device | str) -> Any:
    """Make it the current device of its kind; mps has one device only."""
    return module.device(torch.device(device)) if hasattr(module, "device") else nullcontext()

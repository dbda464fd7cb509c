"""The device that a model computes on."""

from __future__ import annotations

import torch

from fairvision.exceptions import InputError

__all__ = ["choose_device"]


def choose_device(device: str) -> torch.device:
    """The torch device of a `device` parameter.

    Parameters
    ----------
    device : str
        ``"auto"`` takes CUDA if there is one, else the CPU; or any name that
        `torch.device` takes.

    Raises
    ------
    InputError
        If torch knows no such device, or has fewer CUDA devices.
    """
    n_cuda = torch.cuda.device_count()
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"device is {device!r}; pass 'auto', 'cpu', 'cuda' or 'cuda:1'. ({error})"
        ) from error
    if chosen.type == "cuda" and (chosen.index or 0) >= n_cuda:
        raise InputError(
            f"device is {device!r}, but torch sees {n_cuda} CUDA device(s). Pass 'cpu' or 'auto'."
        )
    return chosen

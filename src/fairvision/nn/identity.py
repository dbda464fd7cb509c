"""A hash of everything that decides the result of a training."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from fairvision.base import TakenRows, take
from fairvision.nn.objective import Objective
from fairvision.nn.rows import Rows

__all__ = ["fingerprint"]

# Of images that are computed on access, so many are hashed, evenly spaced.
_N_HASHED = 64
_PRINTABLE = (str, bytes, bool, int, float, complex, PurePath, torch.device, torch.dtype)


def fingerprint(*values: Any) -> str:
    """A hash that is the same in every process for equal values.

    Numbers, text, arrays, tensors and containers are hashed by content; modules by
    structure and weights; `Rows` by labels, weights and images (image files by content;
    of other images that are read on access, 64); functions and classes by name; objectives and
    callbacks by their settings; anything else by its class.
    """
    digest = hashlib.sha256()
    for chunk in _chunks(values):
        digest.update(chunk)
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def random_states() -> tuple[Any, ...]:
    """The states of torch's, numpy's and Python's global generators."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def _chunks(value: Any) -> Iterator[Any]:
    yield type(value).__qualname__.encode()
    if value is None or isinstance(value, _PRINTABLE):
        yield repr(value).encode()
    elif isinstance(value, np.generic):
        yield repr(value.item()).encode()
    elif isinstance(value, Mapping):
        yield from _chunks([item for pair in value.items() for item in pair])
    elif isinstance(value, (set, frozenset)):
        yield from _chunks(sorted(value, key=repr))
    elif isinstance(value, (list, tuple)):
        yield str(len(value)).encode()
        for item in value:
            yield from _chunks(item)
    elif isinstance(value, (Tensor, np.ndarray)):
        yield from _array(value)
    else:
        yield from _object(value)


def _object(value: Any) -> Iterator[Any]:
    if isinstance(value, nn.Module):
        yield repr(value).encode()
        yield from _chunks(value.state_dict())
    elif isinstance(value, Rows):
        yield from _chunks([value.targets, value.groups, value.weights, value.dtype])
        yield from _images(value.images)
    elif isinstance(value, partial):
        yield from _chunks([value.func, value.args, value.keywords])
    elif isinstance(value, (type, FunctionType, BuiltinFunctionType, MethodType)):
        yield f"{value.__module__}.{value.__qualname__}".encode()
    elif isinstance(value, (Objective, Callback)):
        yield from _chunks({k: v for k, v in vars(value).items() if not k.endswith("_")})


def _array(value: Tensor | np.ndarray[Any, Any] | TakenRows) -> Iterator[Any]:
    yield f"{value.dtype} {tuple(value.shape)}".encode()
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy()
    elif isinstance(value, np.ndarray) and value.dtype.hasobject:
        yield from _chunks(value.tolist())
    else:
        for row in value if value.ndim > 1 else [value]:  # a row at a time: no copy of all
            yield np.ascontiguousarray(row).view(np.uint8)


def _images(images: Any) -> Iterator[Any]:
    if isinstance(images, (np.ndarray, Tensor)):
        yield from _chunks(images)
    elif isinstance(images, TakenRows):  # as the array of these rows
        yield np.ndarray.__qualname__.encode()
        yield from _array(images)
    elif hasattr(images, "fingerprint"):
        yield images.fingerprint().encode()
    else:
        some = np.unique(np.linspace(0, len(images) - 1, _N_HASHED).astype(np.int64))
        yield from _chunks([len(images), np.asarray(take(images, some))])

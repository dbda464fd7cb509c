"""What tells one training from another: a hash of all that decides its end."""

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

from fairvision.base import take
from fairvision.nn.objective import Objective
from fairvision.nn.rows import Rows

__all__ = ["fingerprint"]

# Of images that are decoded on access, as many are looked at, spread over all.
_LOOKED_AT = 64
_PRINTABLE = (str, bytes, bool, int, float, complex, PurePath, torch.device, torch.dtype)


def fingerprint(*values: Any) -> str:
    """A hash that is the same in another process, for what is the same there.

    Numbers, text, arrays, tensors and containers count by content; modules by structure
    and weights; `Rows` by labels, weights and images (all that are in memory, 64 and all
    paths where they are read on access); functions and classes by name; objectives and callbacks
    by their settings; anything else by its class.
    """
    digest = hashlib.sha256()
    for part in _parts(values):
        digest.update(part)
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def random_states() -> tuple[Any, ...]:
    """The states of torch's, numpy's and Python's global generators."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def _parts(value: Any) -> Iterator[Any]:
    yield type(value).__qualname__.encode()
    if value is None or isinstance(value, _PRINTABLE):
        yield repr(value).encode()
    elif isinstance(value, np.generic):
        yield repr(value.item()).encode()
    elif isinstance(value, Mapping):
        yield from _parts([item for pair in value.items() for item in pair])
    elif isinstance(value, (set, frozenset)):
        yield from _parts(sorted(value, key=repr))
    elif isinstance(value, (list, tuple)):
        yield str(len(value)).encode()
        for item in value:
            yield from _parts(item)
    elif isinstance(value, (Tensor, np.ndarray)):
        yield from _array(value)
    else:
        yield from _thing(value)


def _thing(value: Any) -> Iterator[Any]:
    if isinstance(value, nn.Module):
        yield repr(value).encode()
        yield from _parts(value.state_dict())
    elif isinstance(value, Rows):
        yield from _parts([value.targets, value.groups, value.weights, value.dtype])
        yield from _images(value.images)
    elif isinstance(value, partial):
        yield from _parts([value.func, value.args, value.keywords])
    elif isinstance(value, (type, FunctionType, BuiltinFunctionType, MethodType)):
        yield f"{value.__module__}.{value.__qualname__}".encode()
    elif isinstance(value, (Objective, Callback)):
        yield from _parts({k: v for k, v in vars(value).items() if not k.endswith("_")})


def _array(value: Tensor | np.ndarray[Any, Any]) -> Iterator[Any]:
    yield f"{value.dtype} {tuple(value.shape)}".encode()
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy()
    elif value.dtype.hasobject:
        yield from _parts(value.tolist())
    else:
        for row in value if value.ndim > 1 else [value]:  # a row at a time: no copy of all
            yield np.ascontiguousarray(row).view(np.uint8)


def _images(images: Any) -> Iterator[Any]:
    if isinstance(images, (np.ndarray, Tensor)):
        yield from _parts(images)
    else:
        some = np.unique(np.linspace(0, len(images) - 1, _LOOKED_AT).astype(np.int64))
        paths = list(map(str, getattr(images, "paths", ())))
        yield from _parts([len(images), paths, np.asarray(take(images, some))])

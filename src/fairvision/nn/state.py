"""Read, set and replace what a module holds: tensors and methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["check_structure", "get_tensors", "put_tensors", "wrapped_methods"]

#: Inputs of up to so many values need no check. The meta device costs a second of imports.
_SMALL = 2**18


def get_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, also the buffers that are not in the state dict."""
    return {**dict(module.named_buffers(remove_duplicate=False)), **module.state_dict()}


def put_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set the tensors of a module of the same structure; their dtypes stay.

    Raises
    ------
    RuntimeError
        If names or shapes differ.
    """
    named = module.state_dict().keys()
    non_persistent = {name for name, _ in module.named_buffers(remove_duplicate=False)} - named
    module.load_state_dict(
        {k: v for k, v in tensors.items() if k not in non_persistent}, assign=True
    )
    for name in non_persistent & tensors.keys():
        owner, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(owner), leaf, tensors[name])


def check_structure(
    make: Callable[[], nn.Module], input_shape: Sequence[int], tensors: Mapping[str, Tensor]
) -> None:
    """Check that tensors fit a module before it is built and takes memory.

    A forged file may state a large input, whose module would be a thousand times as large
    as the file.

    Raises
    ------
    RuntimeError
        If names or shapes differ.
    """
    if math.prod(input_shape) <= _SMALL:
        return
    try:
        with torch.device("meta"):
            module = make()
    except Exception:  # building it for real gives the error, or works without a meta device
        return
    put_tensors(module, tensors)


@contextmanager
def wrapped_methods(
    module: nn.Module, names: Sequence[str], wrap: Callable[..., Any]
) -> Iterator[None]:
    """Replace methods of one module by ``wrap(method)`` inside the block."""
    before = {name: vars(module).get(name) for name in names}
    for name in names:
        setattr(module, name, wrap(getattr(module, name)))
    try:
        yield
    finally:
        for name, method in before.items():
            delattr(module, name)
            if method is not None:
                setattr(module, name, method)

"""A module's tensors, taken out and put back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

__all__ = ["check_structure", "get_tensors", "put_tensors"]

#: Values of an input for which any module is small. Drafts cost torch a second of imports, once.
_SMALL = 2**18


def get_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, with the buffers that a state dict leaves out."""
    return {**dict(module.named_buffers(remove_duplicate=False)), **module.state_dict()}


def put_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a module of the same structure the tensors of another, in their own precision.

    Raises
    ------
    RuntimeError
        If names or shapes differ.
    """
    named = module.state_dict().keys()
    loose = {name for name, _ in module.named_buffers(remove_duplicate=False)} - named
    module.load_state_dict({k: v for k, v in tensors.items() if k not in loose}, assign=True)
    for name in loose & tensors.keys():
        owner, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(owner), leaf, tensors[name])


def check_structure(
    make: Callable[[], nn.Module], input_shape: Sequence[int], tensors: Mapping[str, Tensor]
) -> None:
    """Compare tensors with the module that they are meant for, before it takes much memory.

    A forged file may state a large input, whose module would be a thousand times the file.

    Raises
    ------
    RuntimeError
        If names or shapes differ.
    """
    if math.prod(input_shape) <= _SMALL:
        return
    try:
        with torch.device("meta"):
            draft = make()
    except Exception:  # it cannot be drawn up without values: its making says what is wrong
        return
    put_tensors(draft, tensors)

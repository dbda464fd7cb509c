"""A module's tensors, taken out and put back."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

__all__ = ["get_tensors", "put_tensors"]


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

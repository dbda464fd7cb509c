"""Faster training: compiled, and in mixed precision. Inside a block only."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["accelerated"]


@contextmanager
def accelerated(
    module: nn.Module,
    *,
    compile: bool | str | Callable[..., Any],
    precision: torch.dtype | None,
) -> Iterator[None]:
    """Train a module faster inside the block; after it, it is as it was, but trained.

    Parameters
    ----------
    module : nn.Module
        With ``features(x)`` and ``head``.
    compile : bool, str or callable
        True, or a backend of `torch.compile`.
    precision : torch.dtype or None
        Compute features and logits in this one where torch deems that safe.
        They come out in the module's own precision, so that what objectives do
        with them stays exact.

    Objectives put hooks on the head, which compiled code would not see: compiled is
    everything else.
    """
    parts = list(_around(module, module.head)) if compile else []
    try:
        for part in parts:
            part._compiled_call_impl = _compiled(part, compile)
        if precision is not None:
            _autocast(module, precision)
        with warnings.catch_warnings():
            if parts:  # torch's compiler looks there itself, and hides what it then says
                warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor that is not")
            yield
    finally:
        for part in parts:
            part._compiled_call_impl = None
        for name in ("features", "forward"):
            vars(module).pop(name, None)


def _compiled(part: nn.Module, compile: bool | str | Callable[..., Any]) -> Callable[..., Any]:
    """What `nn.Module.compile` makes, under a function of ours.

    torch 2.6 to 2.8 pass over a bare `nn.Sequential` otherwise, without a word.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return part._call_impl(*args, **kwargs)

    backend: Any = "inductor" if compile is True else compile
    return torch.compile(call, backend=backend)


def _around(module: nn.Module, head: Any) -> Iterator[nn.Module]:
    """The largest parts of a module that do not contain the head."""
    for child in module.children():
        if child is head:
            continue
        if any(part is head for part in child.modules()):
            yield from _around(child, head)
        else:
            yield child


def _autocast(module: Any, precision: torch.dtype) -> None:
    """Shadow `features` and `forward` of this one module by their autocast versions."""
    weight = next(module.parameters())

    def lowered(method: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def run(x: Tensor) -> Tensor:
            with torch.autocast(weight.device.type, precision):
                return method(x).to(weight.dtype)

        return run

    module.features, module.forward = lowered(module.features), lowered(module.forward)

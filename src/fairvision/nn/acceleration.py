"""Compiled and mixed-precision training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fairvision.nn.state import wrapped_methods

__all__ = ["accelerated"]


@contextmanager
def accelerated(
    module: nn.Module,
    *,
    compile: bool | str | Callable[..., Any],
    precision: torch.dtype | None,
    channels_last: bool = False,
) -> Iterator[None]:
    """Train a module faster inside the block. Afterwards it is an ordinary module again.

    Parameters
    ----------
    module : nn.Module
        With ``features(x)`` and ``head``.
    compile : bool, str or callable
        True, or a backend of `torch.compile`. The head is not compiled, because
        objectives put hooks on it.
    precision : torch.dtype or None
        `features` and `forward` run under `torch.autocast` in this dtype. Their outputs
        are cast back to the dtype of the module, in which objectives compute. So do the
        methods that the module names in ``autocast_methods``.
    channels_last : bool
        Hold weights and images with their channels last, as a GPU convolves fastest.
    """
    with ExitStack() as stack:
        if compile:
            for layer in _without_head(module, module.head):
                stack.callback(setattr, layer, "_compiled_call_impl", None)
                layer._compiled_call_impl = _compiled(layer, compile)
            # torch's compiler reads .grad of such tensors itself.
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor that is not")
        if channels_last:
            module.to(memory_format=torch.channels_last)
            stack.callback(module.to, memory_format=torch.contiguous_format)
        if precision is not None:
            wrap = partial(_autocast, next(module.parameters()), precision, channels_last)
            names = ["features", "forward", *getattr(module, "autocast_methods", ())]
            stack.enter_context(wrapped_methods(module, names, wrap))
        yield


def _compiled(layer: nn.Module, compile: bool | str | Callable[..., Any]) -> Callable[..., Any]:
    """What `nn.Module.compile` sets; torch 2.6 to 2.8 do not compile a bare `nn.Sequential`."""
    backend: Any = "inductor" if compile is True else compile
    return torch.compile(lambda *args, **kwargs: layer._call_impl(*args, **kwargs), backend=backend)


def _without_head(module: nn.Module, head: Any) -> Iterator[nn.Module]:
    """The largest submodules that do not contain the head."""
    for child in module.children():
        if all(layer is not head for layer in child.modules()):
            yield child
        elif child is not head:
            yield from _without_head(child, head)


def _autocast(
    weight: Tensor, precision: torch.dtype, channels_last: bool, method: Callable[..., Tensor]
) -> Callable[..., Tensor]:
    def run(x: Tensor, *args: Any) -> Tensor:
        if channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(weight.device.type, precision):
            return method(x, *args).to(weight.dtype)

    return run

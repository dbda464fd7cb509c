"""Compiled and mixed-precision training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["accelerated", "wrapped_methods"]

_Forward = Callable[..., Tensor]


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
    layers = list(_without_head(module, module.head)) if compile else []
    with ExitStack() as stack:
        for layer in layers:
            stack.callback(setattr, layer, "_compiled_call_impl", None)
            layer._compiled_call_impl = _compiled(layer, compile)
        if channels_last:
            module.to(memory_format=torch.channels_last)
            stack.callback(module.to, memory_format=torch.contiguous_format)
        if precision is not None:
            wrap = _autocast(next(module.parameters()), precision, channels_last)
            names = ["features", "forward", *getattr(module, "autocast_methods", ())]
            stack.enter_context(wrapped_methods(module, names, wrap))
        if layers:  # torch's compiler reads .grad of such tensors itself
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor that is not")
        yield


@contextmanager
def wrapped_methods(
    module: nn.Module, names: Sequence[str], wrap: Callable[[_Forward], _Forward]
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


def _compiled(layer: nn.Module, compile: bool | str | Callable[..., Any]) -> Callable[..., Any]:
    """What `nn.Module.compile` sets; torch 2.6 to 2.8 do not compile a bare `nn.Sequential`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return layer._call_impl(*args, **kwargs)

    backend: Any = "inductor" if compile is True else compile
    return torch.compile(call, backend=backend)


def _without_head(module: nn.Module, head: Any) -> Iterator[nn.Module]:
    """The largest submodules that do not contain the head."""
    for child in module.children():
        if all(layer is not head for layer in child.modules()):
            yield child
        elif child is not head:
            yield from _without_head(child, head)


def _autocast(
    weight: Tensor, precision: torch.dtype, channels_last: bool
) -> Callable[[_Forward], _Forward]:
    def wrap(method: _Forward) -> _Forward:
        def run(x: Tensor, *args: Any) -> Tensor:
            if channels_last and x.ndim == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast(weight.device.type, precision):
                return method(x, *args).to(weight.dtype)

        return run

    return wrap

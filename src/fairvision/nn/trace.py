"""In which order the submodules of a net run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from fairvision.nn.modules import evaluation_mode

__all__ = ["ModuleCall", "trace_calls"]


@dataclass
class ModuleCall:
    """One call of a submodule in a forward pass.

    Attributes
    ----------
    start, end : int
        When it started and ended: all starts and ends of the pass are numbered in order.
    one_input : bool
        Whether its only positional argument is a tensor.
    shape : torch.Size or None
        Of one row of its output; None if it returned anything but a floating tensor.
    """

    start: int
    end: int
    one_input: bool
    shape: torch.Size | None


def trace_calls(module: nn.Module, x: Tensor) -> dict[str, list[ModuleCall]]:
    """Every call of every submodule in one forward pass in evaluation mode, without gradients.

    Parameters
    ----------
    module : nn.Module
    x : Tensor of shape (n, ...)
        Images; two suffice.

    Returns
    -------
    dict of str to list of ModuleCall
        By name, as in ``module.named_modules()``; without submodules that did not run.
    """
    clock = count()
    calls: dict[str, list[ModuleCall]] = {}

    def watch(stack: ExitStack, name: str, layer: nn.Module) -> None:
        running: list[int] = []

        def after(_: nn.Module, inputs: Any, output: Any) -> None:
            floating = isinstance(output, Tensor) and output.is_floating_point()
            shape = output.shape[1:] if floating else None
            one_input = len(inputs) == 1 and isinstance(inputs[0], Tensor)
            call = ModuleCall(running.pop(), next(clock), one_input, shape)
            calls.setdefault(name, []).append(call)

        before = layer.register_forward_pre_hook(lambda *_: running.append(next(clock)))
        stack.enter_context(before)
        stack.enter_context(layer.register_forward_hook(after))

    with ExitStack() as stack, torch.no_grad(), evaluation_mode(module):
        for name, layer in module.named_modules():
            watch(stack, name, layer)
        module(x)
    return calls

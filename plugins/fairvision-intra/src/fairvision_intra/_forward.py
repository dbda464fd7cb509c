"""Scores of one set of images under many sets of weights, computing only what changes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from fairvision.base import take
from fairvision.nn import scale

__all__ = ["Forward", "layers_of"]


@dataclass
class _Call:
    """When a module ran, on what, and what came out."""

    start: int
    end: int
    entered: Any
    left: Any


def _trace(module: nn.Module, x: Tensor) -> dict[str, list[_Call]]:
    """Every call of every submodule in one forward pass, by name."""
    clock, handles = count(), []
    calls: dict[str, list[_Call]] = {}

    def watch(name: str, part: nn.Module) -> None:
        running: list[_Call] = []

        def before(_: nn.Module, args: Any) -> None:
            running.append(_Call(next(clock), -1, args, None))

        def after(_: nn.Module, args: Any, output: Any) -> None:
            call = running.pop()
            call.end, call.left = next(clock), output
            calls.setdefault(name, []).append(call)

        handles.append(part.register_forward_pre_hook(before))
        handles.append(part.register_forward_hook(after))

    for name, part in module.named_modules():
        watch(name, part)
    try:
        with torch.no_grad():
            module(x)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def layers_of(module: nn.Module, x: Tensor) -> list[str]:
    """Names of the layers with a weight matrix or kernel, in the order in which they run."""
    calls = _trace(module, x)
    layers = [
        (calls[name][0].start, name)
        for name, part in module.named_modules()
        if name in calls and isinstance(getattr(part, "weight", None), Tensor)
        if part.weight.dim() > 1
    ]
    return [name for _, name in sorted(layers)]


class _Sweep(nn.Module):
    """A module applied to batch after batch."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, batches: Iterator[Tensor]) -> Tensor:
        return torch.cat([self.module(x) for x in batches])


class Forward:
    """A private copy of a net in evaluation mode, and the images that it scores.

    Parameters
    ----------
    module : nn.Module
    images : array-like of shape (n, ...)
        Decoded once, kept as they are stored.
    batch_size : int
    """

    def __init__(self, module: nn.Module, images: Any, *, batch_size: int = 256) -> None:
        self.module = copy.deepcopy(module).eval()
        self.images = take(images, slice(None))
        self.batch_size = batch_size
        weight = next(self.module.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        #: Unless empty, what stands in for each batch of images.
        self._inputs: list[Tensor] = []
        self._entered = torch.empty(0)
        self._resume: nn.Module | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Any) -> Tensor:
        """Some images on the net's device, scaled."""
        return scale(self.images[rows], self.device, self.dtype)

    def batches(self) -> Iterator[Tensor]:
        for start in range(0, len(self), self.batch_size):
            yield self.batch(np.arange(start, min(start + self.batch_size, len(self))))

    def weights(self) -> dict[str, Tensor]:
        """The net's parameters by name, detached; not to be written to."""
        return {name: value.detach() for name, value in self.module.named_parameters()}

    def scores(self, changed: Mapping[str, Tensor] | None = None) -> NDArray[np.float64]:
        """Probability of the second class, with some parameters replaced.

        Parameters
        ----------
        changed : mapping of parameter name to Tensor, or None

        Returns
        -------
        ndarray of shape (n,)
        """
        with torch.inference_mode():
            weights = {f"module.{name}": value for name, value in (changed or {}).items()}
            # Weights are swapped once for all batches: swapping takes as long as a small layer.
            logits = functional_call(_Sweep(self.module), weights, (self._feed(),))
            # In double precision, as the classifier itself computes its probabilities.
            return logits.double().softmax(1)[:, 1].cpu().numpy()

    def _feed(self) -> Iterator[Tensor]:
        if self._resume is None:
            yield from self.batches()
            return
        blank = self.batch(slice(0, 1))[:1] * torch.nan
        for entered in self._inputs:
            self._entered = entered
            yield blank.expand(len(entered), *blank.shape[1:])

    def resuming_at(self, layer: str) -> Forward:
        """The same scores, computed from a layer on; what enters it is remembered.

        Everything that ran before is replaced by NaN. Where NaN shows in the
        result (a skip connection went around the layer), the module around it is
        tried; where none will do, every pass stays a whole one.
        """
        calls = _trace(self.module, self.batch(slice(0, 2)))
        parts = layer.split(".")
        for depth in range(len(parts), 0, -1):
            cut = ".".join(parts[:depth])
            if cut in calls and _single_tensor(calls[cut]):
                resumed = self._cut_at(cut, calls)
                if resumed._computes(self.scores()):
                    return resumed
        return self

    def _computes(self, expected: NDArray[np.float64]) -> bool:
        try:
            return np.array_equal(self.scores(), expected)
        except RuntimeError:  # something works in place on a blank, which has no memory
            return False

    def _cut_at(self, cut: str, calls: dict[str, list[_Call]]) -> Forward:
        resumed = Forward(self.module, self.images, batch_size=self.batch_size)
        resumed._inputs = self._entering(cut)
        begin = calls[cut][0].start
        for name, part in list(resumed.module.named_modules()):
            parent = name.rpartition(".")[0]
            around = name == "" or cut == name or cut.startswith(f"{name}.")
            beside = parent == "" or cut.startswith(f"{parent}.")
            if around or not beside or name not in calls:
                continue
            if all(call.end < begin for call in calls[name]) and _tensors(calls[name]):
                part.forward = _Blank(calls[name])
        resumed._resume = resumed.module.get_submodule(cut)
        resumed._resume.register_forward_pre_hook(
            lambda *_: (resumed._entered.clone(),)  # the module may work in place
        )
        return resumed

    def _entering(self, cut: str) -> list[Tensor]:
        """What enters a module, batch by batch."""
        seen: list[Tensor] = []
        part = self.module.get_submodule(cut)
        handle = part.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
        try:
            with torch.inference_mode():
                for x in self.batches():
                    self.module(x)
        finally:
            handle.remove()
        return seen


def _single_tensor(calls: list[_Call]) -> bool:
    return (
        len(calls) == 1 and len(calls[0].entered) == 1 and isinstance(calls[0].entered[0], Tensor)
    )


def _tensors(calls: list[_Call]) -> bool:
    return all(isinstance(call.left, Tensor) and call.left.is_floating_point() for call in calls)


class _Blank:
    """A forward that gives NaN of the right shape, without memory or arithmetic."""

    def __init__(self, calls: list[_Call]) -> None:
        self.outputs = [(call.left.shape[1:], call.left.dtype, call.left.device) for call in calls]
        self.count = 0

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        shape, dtype, device = self.outputs[self.count % len(self.outputs)]
        self.count += 1
        return torch.full((), torch.nan, dtype=dtype, device=device).expand(len(x), *shape)

"""Scores of one set of images under many sets of weights, without repeated computation."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from fairvision.base import take
from fairvision.nn import FrozenPrefix, as_double, scale, to_device, trace_calls

__all__ = ["Forward", "last_layers", "layers_of"]


def layers_of(module: nn.Module, x: Tensor) -> list[str]:
    """Names of the layers with a weight matrix or kernel, in the order in which they run."""
    calls = trace_calls(module, x)
    layers = [
        (calls[name][0].start, name)
        for name, layer in module.named_modules()
        if name in calls and isinstance(getattr(layer, "weight", None), Tensor)
        if layer.weight.dim() > 1
    ]
    return [name for _, name in sorted(layers)]


def last_layers(forward: Forward, n_layers: int) -> list[str]:
    """Names of the last layers with weights, in the order in which they run."""
    return layers_of(forward.module, forward.batch(slice(0, 2)))[-n_layers:]


class _AllBatches(nn.Module):
    """A module applied to batch after batch."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, batches: Iterator[Tensor]) -> Tensor:
        return torch.cat([self.module(x) for x in batches])


class Forward:
    """A copy of a net in evaluation mode, and the images that it scores.

    Parameters
    ----------
    module : nn.Module
    images : array-like of shape (n, ...)
        Decoded once, kept in their own dtype.
    batch_size : int
    """

    def __init__(self, module: nn.Module, images: Any, *, batch_size: int = 256) -> None:
        self.module = copy.deepcopy(module).eval()
        self.images = take(images, slice(None))
        self.batch_size = batch_size
        weight = next(self.module.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        #: Where computing starts late: what is left out, and what it gives for all images.
        self.prefix: FrozenPrefix | None = None
        self._stored: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Any) -> Tensor:
        """Some images on the net's device, scaled."""
        return scale(self.images[rows], self.device, self.dtype)

    def inputs(self, rows: NDArray[np.intp]) -> Tensor:
        """What the module takes for some images inside `resumed`."""
        if self._stored is None:
            return self.batch(rows)
        return self._stored[to_device(torch.from_numpy(rows), self.device)]

    def resumed(self) -> AbstractContextManager[None]:
        """Inside the block, the module starts where `inputs` were stored."""
        return nullcontext() if self.prefix is None else self.prefix.left_out()

    def batches(self, rows: NDArray[np.intp] | None = None) -> Iterator[Tensor]:
        """The inputs of some rows, or of all, a batch at a time."""
        rows = np.arange(len(self)) if rows is None else rows
        for start in range(0, len(rows), self.batch_size):
            yield self.inputs(rows[start : start + self.batch_size])

    def copy(self) -> Forward:
        """The same images and a net of its own, to train."""
        copied = copy.copy(self)
        # Together, so that the copy's prefix is that of the copy's module.
        copied.module, copied.prefix = copy.deepcopy((self.module, self.prefix))
        return copied

    def weights(self) -> dict[str, Tensor]:
        """The net's own parameters by name, detached. Do not write to them."""
        return {name: value.detach() for name, value in self.module.named_parameters()}

    def parameters_from(self, layer: str) -> list[str]:
        """Names of the parameters of this layer and of all modules that run after it."""
        calls = trace_calls(self.module, self.batch(slice(0, 2)))
        start = calls[layer][0].start
        later = {name for name, made in calls.items() if made[0].start >= start}
        return [name for name in self.weights() if name.rpartition(".")[0] in later]

    def scores(
        self, changed: Mapping[str, Tensor] | None = None, rows: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """Probability of the second class, with some parameters replaced.

        Parameters
        ----------
        changed : mapping of parameter name to Tensor, or None
        rows : ndarray of shape (n_rows,) or None
            Row numbers; None is all rows.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        with torch.inference_mode(), self.resumed():
            weights = {f"module.{name}": value for name, value in (changed or {}).items()}
            # Weights are swapped once for all batches: swapping takes as long as a small layer.
            logits = functional_call(_AllBatches(self.module), weights, (self.batches(rows),))
            # In double precision, as the classifier itself computes its probabilities.
            return as_double(logits).softmax(1)[:, 1].cpu().numpy()

    def resuming_at(self, layer: str) -> Forward:
        """A copy with the same scores that computes from a layer on, from the layer's stored input.

        If a skip connection goes around the layer, the module around it is tried next. If every
        module fails, this object itself is returned.
        """
        images = self.batch(slice(0, 2))
        calls, path = trace_calls(self.module, images), layer.split(".")
        for depth in range(len(path), 0, -1):
            cut = ".".join(path[:depth])
            if cut in calls and len(calls[cut]) == 1 and calls[cut][0].one_input:
                resumed = self.copy()
                resumed.prefix = FrozenPrefix(resumed.module, cut, calls, images)
                resumed._stored = torch.cat([resumed.prefix.compute(x) for x in self.batches()])
                if resumed._scores_equal(self.scores()):
                    return resumed
        return self

    def _scores_equal(self, expected: NDArray[np.float64]) -> bool:
        try:
            return np.array_equal(self.scores(), expected)
        except RuntimeError:  # a module works in place on an expanded tensor
            return False

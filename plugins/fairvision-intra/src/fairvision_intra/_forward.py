"""Scores of one set of images under many sets of weights, without repeated computation."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from fairvision.base import take
from fairvision.nn import ModuleCall, as_double, nan_rows, scale, to_device, trace_calls

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
        #: Where computing starts late: the inputs of that module for all images.
        self._stored: Tensor | None = None
        self._resume = _Resume()

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Any) -> Tensor:
        """Some images on the net's device, scaled."""
        return scale(self.images[rows], self.device, self.dtype)

    def inputs(self, rows: NDArray[np.intp]) -> Tensor:
        """What the module takes for some images: NaN in their place where it starts late."""
        if self._stored is None:
            return self.batch(rows)
        self._resume.current = self._stored[to_device(torch.from_numpy(rows), self.device)]
        image = self.batch(slice(0, 1))
        return nan_rows(len(rows), image.shape[1:], like=image)

    def batches(self, rows: NDArray[np.intp] | None = None) -> Iterator[Tensor]:
        """The inputs of some rows, or of all, a batch at a time."""
        rows = np.arange(len(self)) if rows is None else rows
        for start in range(0, len(rows), self.batch_size):
            yield self.inputs(rows[start : start + self.batch_size])

    def copy(self) -> Forward:
        """The same images and a net of its own, to train."""
        copied = copy.copy(self)
        # Together, so that the copy's hook reads the copy's inputs.
        copied.module, copied._resume = copy.deepcopy((self.module, self._resume))
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
        with torch.inference_mode():
            weights = {f"module.{name}": value for name, value in (changed or {}).items()}
            # Weights are swapped once for all batches: swapping takes as long as a small layer.
            logits = functional_call(_AllBatches(self.module), weights, (self.batches(rows),))
            # In double precision, as the classifier itself computes its probabilities.
            return as_double(logits).softmax(1)[:, 1].cpu().numpy()

    def resuming_at(self, layer: str) -> Forward:
        """A copy with the same scores that computes from a layer on, from the layer's stored input.

        Modules that ran before the layer return NaN. If NaN reaches the scores
        (a skip connection goes around the layer), the module around the layer is
        tried next. If every module fails, this object itself is returned.
        """
        calls = trace_calls(self.module, self.batch(slice(0, 2)))
        path = layer.split(".")
        for depth in range(len(path), 0, -1):
            cut = ".".join(path[:depth])
            if cut in calls and len(calls[cut]) == 1 and calls[cut][0].one_input:
                resumed = self._cut_at(cut, calls)
                if resumed._scores_equal(self.scores()):
                    return resumed
        return self

    def _scores_equal(self, expected: NDArray[np.float64]) -> bool:
        try:
            return np.array_equal(self.scores(), expected)
        except RuntimeError:  # a module works in place on an expanded tensor
            return False

    def _cut_at(self, cut: str, calls: dict[str, list[ModuleCall]]) -> Forward:
        resumed = Forward(self.module, self.images, batch_size=self.batch_size)
        resumed._stored = torch.cat(self._inputs_of(cut))
        begin = calls[cut][0].start
        for name, module in list(resumed.module.named_modules()):
            parent = name.rpartition(".")[0]
            around = name == "" or cut == name or cut.startswith(f"{name}.")
            beside = parent == "" or cut.startswith(f"{parent}.")
            if around or not beside or name not in calls:
                continue
            if all(call.end < begin and call.shape is not None for call in calls[name]):
                module.forward = _Blank(calls[name])
        resumed.module.get_submodule(cut).register_forward_pre_hook(resumed._resume)
        return resumed

    def _inputs_of(self, cut: str) -> list[Tensor]:
        """The input of a module for each batch."""
        inputs: list[Tensor] = []
        module = self.module.get_submodule(cut)
        hook = module.register_forward_pre_hook(lambda _, args: inputs.append(args[0].clone()))
        with hook, torch.no_grad():  # training may resume here, and takes no inference tensors
            for x in self.batches():
                self.module(x)
        return inputs


class _Resume:
    """A hook that puts stored activations in place of a module's input."""

    def __init__(self) -> None:
        self.current = torch.empty(0)

    def __call__(self, *_: Any) -> tuple[Tensor]:
        return (self.current.clone(),)  # the module may work in place


class _Blank:
    """A forward that returns NaN of the right shape, without memory or arithmetic."""

    def __init__(self, calls: list[ModuleCall]) -> None:
        self.shapes = [call.shape for call in calls]
        self.count = 0

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        shape = self.shapes[self.count % len(self.shapes)]
        assert shape is not None
        self.count += 1
        return nan_rows(len(x), shape, like=x)

"""The frozen layers in front of those that are trained: computed once, then left out."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairvision.nn.modules import evaluation_mode
from fairvision.nn.net import inference_size
from fairvision.nn.prefetch import prefetch
from fairvision.nn.rows import Rows
from fairvision.nn.state import wrapped_methods
from fairvision.nn.trace import ModuleCall, trace_calls

__all__ = ["FrozenPrefix", "find_prefix", "frozen_modules"]

#: Bytes that are kept in memory; more go to a temporary file.
_IN_MEMORY = 2**30
#: Rows that are computed at a time, at most.
_ROWS = 64


def _first_trained(module: nn.Module, calls: dict[str, list[ModuleCall]]) -> str:
    """The first layer to run that owns weights which are trained."""
    owners = [
        (calls[name][0].start, name)
        for name, layer in module.named_modules()
        if name in calls and any(p.requires_grad for p in layer.parameters(recurse=False))
    ]
    return min(owners)[1]


def frozen_modules(module: nn.Module, x: Tensor) -> tuple[str, ...]:
    """Names of the modules to keep in evaluation mode while others are trained.

    These are the modules whose weights are all frozen, with their batch normalisation, and
    whatever runs before the first layer that is trained.
    """
    if all(p.requires_grad for p in module.parameters()):
        return ()
    calls = trace_calls(module, x)
    begin = calls[_first_trained(module, calls)][0].start
    names = []
    for name, layer in module.named_modules():
        parameters = list(layer.parameters())
        before = name in calls and all(call.end < begin for call in calls[name])
        if not any(p.requires_grad for p in parameters) and (parameters or before):
            names.append(name)
    return tuple(names)


class FrozenPrefix:
    """What a module computes before one of its layers, stored for all rows.

    Inside `left_out`, the module accepts a row's stored values in place of its image and computes
    from that layer on. It still accepts images.

    Parameters
    ----------
    module : nn.Module
        With ``features(x)`` and ``head``.
    layer : str
        Name of the layer.
    calls : dict
        From `trace_calls`.
    x : Tensor of shape (2, ...)
        Two images, for shapes.
    """

    def __init__(
        self, module: nn.Module, layer: str, calls: dict[str, list[ModuleCall]], x: Tensor
    ) -> None:
        self.module, self.layer, self.image = module, module.get_submodule(layer), x[:1]
        begin = calls[layer][0].start
        before = {
            name: own
            for name, own in calls.items()
            if all(call.end < begin and call.shape is not None for call in own)
        }
        # Of nested modules only the outermost is called.
        self.skipped = {n: own for n, own in before.items() if n.rpartition(".")[0] not in before}
        self.shape = tuple(self.compute(x).shape[1:])
        self._stored: Tensor | None = None

    def compute(self, images: Tensor) -> Tensor:
        """What enters the layer."""
        inputs: list[Tensor] = []

        def stop(_: nn.Module, args: Any) -> None:
            inputs.append(args[0].clone())
            raise _Reached

        hook, evaluation = self.layer.register_forward_pre_hook(stop), evaluation_mode(self.module)
        with hook, suppress(_Reached), torch.no_grad(), evaluation:
            self.module(images)
        return inputs[0]

    def store(self, rows: Rows) -> Rows:
        """The same rows with the stored values in place of their images."""
        stored = copy.copy(rows)
        shape, dtype = (len(rows), *self.shape), torch.empty(0, dtype=rows.dtype).numpy().dtype
        if dtype.itemsize * np.prod(shape) > _IN_MEMORY:
            file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the array
            stored.images = np.memmap(file, dtype, "w+", shape=shape)
        else:
            stored.images = np.empty(shape, dtype)
        size = inference_size(_ROWS, self.image.device, self.image.shape[1:])
        batches = torch.arange(len(rows)).split(size)
        read = partial(rows.batch, device=self.image.device)
        for batch in prefetch(read, batches, rows.images):
            stored.images[batch.rows.numpy()] = self.compute(batch.images).cpu().numpy()
        return stored

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Take stored values in place of images inside the block."""
        with ExitStack() as stack:
            for name, calls in self.skipped.items():
                wrap = partial(self._blank, calls)
                layer = self.module.get_submodule(name)
                stack.enter_context(wrapped_methods(layer, ["forward"], wrap))
            stack.enter_context(self.layer.register_forward_pre_hook(self._put_stored))
            for name in ("features", "forward"):
                # What enters the head are the features themselves.
                done = name == "features" and self.layer is self.module.head
                wrap = partial(self._from_stored, done=done)
                stack.enter_context(wrapped_methods(self.module, [name], wrap))
            yield

    def _put_stored(self, *_: Any) -> Any:
        # Cloned: the layer may work in place.
        return None if self._stored is None else (self._stored.clone(),)

    def _from_stored(
        self, method: Callable[[Tensor], Tensor], *, done: bool
    ) -> Callable[[Tensor], Tensor]:
        def run(x: Tensor) -> Tensor:
            if self._stored is not None or tuple(x.shape[1:]) != self.shape:
                return method(x)
            if done:
                return x.flatten(1)
            self._stored = x
            try:
                # NaN shows in the result wherever a path leads around the layer.
                return method(_nan(len(x), self.image.shape[1:], like=x))
            finally:
                self._stored = None

        return run

    def _blank(self, calls: list[ModuleCall], method: Callable[..., Any]) -> Callable[..., Any]:
        """A forward without arithmetic, while stored values are taken."""
        numbers = count()

        def run(*args: Any, **kwargs: Any) -> Any:
            if self._stored is None:
                return method(*args, **kwargs)
            shape = calls[next(numbers) % len(calls)].shape
            assert shape is not None
            return _nan(len(self._stored), shape, like=self._stored)

        return run

    def works(self, x: Tensor) -> bool:
        """Whether it skips layers, and the module gives the same from stored values."""
        if not self.skipped or self.shape == tuple(x.shape[1:]):
            return False
        with torch.no_grad(), evaluation_mode(self.module):
            expected, stored = self.module(x), self.compute(x)
            with self.left_out():
                outputs, features = self.module(stored), self.module.features(stored)  # type: ignore[operator]
            return bool(features.isfinite().all()) and torch.allclose(
                outputs, expected, rtol=1e-4, atol=1e-5
            )


class _Reached(Exception):
    """The forward pass has reached the layer."""


def _nan(n: int, shape: torch.Size, *, like: Tensor) -> Tensor:
    """NaN without memory."""
    return torch.full((), torch.nan, dtype=like.dtype, device=like.device).expand(n, *shape)


def find_prefix(module: nn.Module, x: Tensor) -> FrozenPrefix | None:
    """The longest prefix of a module without weights that are trained; None if there is none.

    Parameters
    ----------
    module : nn.Module
    x : Tensor of shape (2, ...)
        Two images.
    """
    calls = trace_calls(module, x)
    path = _first_trained(module, calls).split(".")
    # If a skip connection goes around the layer, the module around it is tried next.
    for depth in range(len(path), 0, -1):
        layer = ".".join(path[:depth])
        if len(calls.get(layer, ())) == 1:
            try:
                prefix = FrozenPrefix(module, layer, calls, x)
                if prefix.works(x):
                    return prefix
            except (AttributeError, IndexError, RuntimeError, TypeError):
                continue  # the layer takes no single tensor, or works in place on NaN
    return None

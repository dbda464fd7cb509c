"""Steps of a GAN as CUDA graphs: a few hundred launches become one."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from torch import Tensor

from fairvision.exceptions import FairvisionWarning
from fairvision.nn import to_device

__all__ = ["StepGraphs"]

#: Steps of a kind that run operation by operation before one is captured.
_WARM = 3


class StepGraphs:
    """Run steps, each kind of them as a graph once it has run a few times.

    A step changes weights in place, and whatever else it reads comes from `draw`: a replay draws
    again, in the same order. Where no graph can be captured, it warns, and all steps run
    operation by operation, as they always do on other devices than CUDA.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.works = device.type == "cuda"
        self.clear()

    def clear(self) -> None:
        """Forget all graphs, as after tensors that they read were replaced."""
        self._captured: dict[Hashable, tuple[Any, list[Any], Tensor]] = {}
        self._n_steps: Counter[Hashable] = Counter()
        self._drawn: list[tuple[Callable[[], Tensor], Tensor]] = []
        self._memory: Iterator[Tensor] | None = None

    def draw(self, make: Callable[[], Tensor]) -> Tensor:
        """What `make` returns, on the device."""
        if self._memory is not None:  # a graph reads it where the replays will write it
            return next(self._memory)
        value = to_device(make(), self.device)
        self._drawn.append((make, value))
        return value

    def run(self, kind: Hashable, step: Callable[[], Tensor]) -> Tensor:
        """Do a step.

        Parameters
        ----------
        kind : hashable
            Steps of one kind do the same operations; None is never captured.
        step : callable () -> Tensor
        """
        if kind in self._captured:
            graph, inputs, output = self._captured[kind]
            for make, memory in inputs:
                memory.copy_(to_device(make(), self.device))
            graph.replay()
            return output.clone()  # the next replay writes to the same memory
        self._drawn = []
        output = step()
        self._n_steps[kind] += 1
        if self.works and kind is not None and self._n_steps[kind] == _WARM:
            self._capture(kind, step)
        return output

    def _capture(self, kind: Hashable, step: Callable[[], Tensor]) -> None:
        """Capture a step, which does nothing yet."""
        inputs = [(make, value.clone()) for make, value in self._drawn]
        self._memory = iter([memory for _, memory in inputs])
        graph = torch.cuda.CUDAGraph()
        current = torch.cuda.current_stream(self.device)
        try:
            with torch.cuda.graph(graph, stream=torch.cuda.Stream(self.device)):
                output = step()
            self._captured[kind] = graph, inputs, output
        except RuntimeError as error:
            self.works = False
            self._captured.clear()
            warnings.warn(
                f"The GAN is trained without CUDA graphs, and so more slowly: {error}",
                FairvisionWarning,
                stacklevel=2,
            )
        finally:
            torch.cuda.set_stream(current)  # a capture that fails at its end leaves its own
            self._memory = None

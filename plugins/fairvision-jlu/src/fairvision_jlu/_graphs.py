"""The spurious heads' share of a step as CUDA graphs: a few launches in place of a hundred."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fairvision.exceptions import FairvisionWarning
from fairvision_jlu._heads import SpuriousHeads, inverses

__all__ = ["HeadGraphs"]

#: Shapes of batches that get graphs of their own: the usual one, and the last of an epoch.
_N_SHAPES = 4


class HeadGraphs:
    """Do what `SpuriousHeads.learn` does; one graph before the factorisation, one after it.

    For heads that take Newton steps on a single batch. Where no graph can be captured, it warns
    and launches each operation by itself.

    Parameters
    ----------
    heads : SpuriousHeads
    """

    def __init__(self, heads: SpuriousHeads) -> None:
        self.heads = heads
        self.works = heads.solver == "newton" and heads.n_batches == 1
        self._captured: dict[Any, tuple[Callable[..., Any], Callable[..., Any]]] = {}

    def learn(
        self, features: Tensor, groups: Tensor, weights: Tensor, row_weights: Tensor | None
    ) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """As `SpuriousHeads.learn`."""
        columns = (weights,) if row_weights is None else (weights, row_weights)
        key = features.shape, len(columns)
        if self.works and key not in self._captured and len(self._captured) < _N_SHAPES:
            self._capture(key, features.detach(), groups, *columns)
        if key not in self._captured:
            return self.heads.learn(features, groups, weights, row_weights)
        prepare, finish = self._captured[key]
        inputs, *grams = prepare(features, *columns)
        with torch.no_grad():  # a graph's outputs ask for gradients, all of them
            inverse = inverses(grams)
        excess, numbers = finish(inputs, groups, weights, *inverse)
        loss, steps = numbers.clone().unbind()  # the next replay writes to the same memory
        return excess, loss, steps

    def _capture(self, key: Any, features: Tensor, groups: Tensor, *columns: Tensor) -> None:
        before = copy.deepcopy(self.heads.modules.state_dict())  # capturing takes steps of its own
        graphed = torch.cuda.make_graphed_callables
        torch.cuda.graph.default_capture_stream = None  # an older torch keeps the first device's
        leaf = features.clone().requires_grad_()
        try:
            prepare: Any = graphed(self._prepare, (leaf, *(c.clone() for c in columns)))
            with torch.no_grad():
                inputs, *grams = self._prepare(leaf, *columns)
            # Not in place in a graph: its error check would wait.
            sample = (inputs.requires_grad_(), groups.clone(), columns[0].clone(), *inverses(grams))
            self._captured[key] = prepare, graphed(self._finish, sample)
        except RuntimeError as error:
            self.works = False
            self._captured.clear()
            warnings.warn(
                f"JLU's heads are fitted without CUDA graphs, and so more slowly: {error}",
                FairvisionWarning,
                stacklevel=2,
            )
        finally:
            self.heads.modules.load_state_dict(before)

    def _prepare(
        self, features: Tensor, weights: Tensor, row_weights: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        inputs = self.heads.read(features, row_weights)
        return inputs, *self.heads.system(inputs.detach(), weights).grams

    def _finish(
        self, inputs: Tensor, groups: Tensor, weights: Tensor, *inverse: Tensor
    ) -> tuple[Tensor, Tensor]:
        system = self.heads.system(inputs.detach(), weights)
        numbers = torch.stack(self.heads.newton(system, groups, inverse))
        return self.heads.excess(inputs, weights), numbers

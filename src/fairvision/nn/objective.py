"""What one optimisation step minimises: the part of training that a method changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairvision.nn.rows import Batch, Rows

__all__ = ["Objective", "Step", "cross_entropy"]


@dataclass(slots=True)
class Step:
    """What a step hands back: the loss to minimise, the logits, and named parts to log."""

    loss: Tensor
    logits: Tensor
    parts: dict[str, float] = field(default_factory=dict)


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy, each row times its weight.

    The weights have mean 1 over the *training set*, so the mean over a batch is
    an unbiased estimate of the weighted loss (dividing by the batch's own sum is not).
    """
    if weights is None:
        return F.cross_entropy(logits, targets)
    return (F.cross_entropy(logits, targets, reduction="none") * weights).mean()


class Objective:
    """Plain training; subclass it to train differently.

    A method overrides what it changes. All calls of one fit happen inside the
    estimator's seeded block, so torch's ordinary random functions are
    reproducible there.
    """

    #: Names that `step` reports in ``Step.parts``, averaged over each epoch in the history.
    parts: tuple[str, ...] = ()

    def start(self, module: nn.Module, rows: Rows, device: torch.device, max_epochs: int) -> None:
        """Called once, with the new module on its device, before the first epoch."""

    def order(self, module: nn.Module, rows: Rows) -> Tensor:
        """Row numbers of the coming epoch, in order: a permutation unless overridden.

        Called at the start of each epoch; whoever changes the module's mode here
        must restore it.
        """
        return torch.randperm(len(rows))

    def step(self, module: nn.Module, batch: Batch) -> Step:
        """Loss of one batch. The estimator calls ``backward`` and moves the module."""
        logits = module(batch.images)
        return Step(cross_entropy(logits, batch.targets, batch.weights), logits)

    def finish(self, module: nn.Module) -> None:
        """Called once after the last epoch."""

    def state_dict(self) -> dict[str, Any]:
        """What lives from one epoch to the next, for `TrainingCheckpoint`.

        Numbers, text, tensors, and dicts and lists of these; {} if there is nothing.
        Whoever trains differently must say it here, or has no checkpoints.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state after `start`; its tensors are on the CPU."""

"""What a step of the region classifier minimises: a few random patches of each picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fairvision.base import check_numbers
from fairvision.exceptions import InputError
from fairvision.nn import (
    Batch,
    Objective,
    Rows,
    Step,
    TrainingCheckpoint,
    TrainingContext,
    to_device,
)
from fairvision_attribution._grid import PatchGrid
from fairvision_attribution._net import RegionNet, cifar_resnet18, patch_cnn

__all__ = ["RegionObjective"]

_BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "patch-cnn": patch_cnn,
    "cifar-resnet18": cifar_resnet18,
}


@dataclass(eq=False, repr=False)
class RegionObjective(Objective):
    """Cross-entropy of every attribute on patches drawn anew in each step.

    The attributes are the groups of the training rows.

    Parameters
    ----------
    patch_size, grid, patches_per_image, label_smoothing, lr_drop, scan_grid, cache
        As in `RegionClassifier`.
    """

    logged: ClassVar = ("patch_accuracy",)
    needs_groups = True
    needs_pixels: ClassVar = True

    patch_size: int | None = None
    grid: Any = None
    patches_per_image: int = 8
    label_smoothing: float = 0.1
    lr_drop: int | None = None
    scan_grid: int | None = 13
    cache: str | os.PathLike[str] | None = None

    def check(self, context: TrainingContext) -> None:
        """Check the parameters, and fit the grid to the pictures."""
        check_numbers(self, "patches_per_image", low=1, whole=True)
        check_numbers(self, "lr_drop", low=1, whole=True, optional=True)
        check_numbers(self, "scan_grid", low=2, whole=True, optional=True)
        check_numbers(self, "label_smoothing", high=1)
        if context.params["weights"] is not None:
            raise InputError(
                f"weights is {context.params['weights']!r}; published weights are of whole "
                "pictures, and a RegionClassifier sees patches. Pass weights=None."
            )
        height, width = context.input_shape[1:]
        self.grid_ = PatchGrid.fit((height, width), self.patch_size, self.grid)

    def make_module(self, build: Callable[[], nn.Module], context: TrainingContext) -> nn.Module:
        """A net over patches and their positions."""
        backbone = context.params["backbone"]
        factory: Any = backbone if callable(backbone) else _BACKBONES.get(str(backbone))
        if factory is None:
            raise InputError(
                f"backbone is {backbone!r}; pass one of {list(_BACKBONES)}, or a callable."
            )
        n_channels = context.input_shape[0]
        return RegionNet(factory, n_channels, self.grid_, _levels(context), self.scan_grid)

    def callbacks(self, context: TrainingContext) -> Sequence[Any]:
        """The schedule of the learning rate, and the checkpoint that keeps the trained net."""
        callbacks: list[Any] = []
        if self.lr_drop is not None:
            from skorch.callbacks import LRScheduler

            callbacks.append(LRScheduler("StepLR", step_size=self.lr_drop))
        if self.cache is not None and isinstance(context.params["random_state"], (int, np.integer)):
            folder, every = Path(self.cache) / "trained", max(1, context.params["max_epochs"])
            callbacks.append(TrainingCheckpoint(folder, every=every, keep=True, strict=False))
        return callbacks

    def state_dict(self) -> dict[str, Any]:
        return {}  # each step draws its patches anew

    def step(self, module: nn.Module, batch: Batch) -> Step:
        assert isinstance(module, RegionNet)
        assert batch.groups is not None
        r = self.patches_per_image
        places = to_device(torch.randint(len(module.grid), (len(batch), r)), batch.images.device)
        own = batch.process_group.shard(len(batch))
        logits = batch.process_group.all_gather(module.patch_logits(batch.images, places[own]))
        weights = torch.ones_like(batch.targets) if batch.weights is None else batch.weights
        loss, correct = logits.new_zeros(()), []
        for attribute, scores in enumerate(logits.split(module.sizes, dim=1)):
            codes = batch.groups[:, attribute].repeat_interleave(r)
            losses = F.cross_entropy(
                scores, codes, reduction="none", label_smoothing=self.label_smoothing
            )
            loss = loss + (losses * weights.repeat_interleave(r)).mean()
            correct.append((scores.argmax(1) == codes).float().mean())
        first = logits[:, : module.sizes[0]].detach().view(len(batch), r, -1).mean(1)
        return Step(loss, first, {"patch_accuracy": torch.stack(correct).mean()})

    def fitted_attributes(self, module: nn.Module, rows: Rows) -> dict[str, Any]:
        """The grid."""
        return {"grid_": self.grid_}


def _levels(context: TrainingContext) -> tuple[int, ...]:
    """How many levels each attribute has: of the groups in `fit`, else of the classes."""
    if context.groups is not None:
        return tuple(len(levels) for levels in context.groups.categories)
    classes = context.classes
    return tuple(map(len, classes)) if isinstance(classes, list) else (len(classes),)

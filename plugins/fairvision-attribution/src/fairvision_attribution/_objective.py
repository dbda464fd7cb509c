"""What a step of the region classifier minimises: a few random patches of each picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from fairvision.nn import Batch, Objective, Step
from fairvision_attribution._net import RegionNet

__all__ = ["RegionObjective"]


class RegionObjective(Objective):
    """Cross-entropy of every attribute on patches drawn anew in each step.

    Parameters
    ----------
    sizes : sequence of int
        Levels of each attribute; their codes come as the batch's groups.
    patches_per_image : int
    label_smoothing : float
    """

    parts = ("patch_accuracy",)

    def __init__(
        self, sizes: Sequence[int], patches_per_image: int, label_smoothing: float
    ) -> None:
        self.sizes = tuple(sizes)
        self.patches_per_image = patches_per_image
        self.label_smoothing = label_smoothing

    def state_dict(self) -> dict[str, Any]:
        return {}  # each step draws its patches anew

    def step(self, module: nn.Module, batch: Batch) -> Step:
        assert isinstance(module, RegionNet)
        assert batch.groups is not None
        r = self.patches_per_image
        places = torch.randint(len(module.grid), (len(batch), r), device=batch.images.device)
        logits = module.patch_logits(batch.images, places)
        weights = torch.ones_like(batch.targets) if batch.weights is None else batch.weights
        loss, right = logits.new_zeros(()), []
        for attribute, part in enumerate(logits.split(self.sizes, dim=1)):
            codes = batch.groups[:, attribute].repeat_interleave(r)
            losses = F.cross_entropy(
                part, codes, reduction="none", label_smoothing=self.label_smoothing
            )
            loss = loss + (losses * weights.repeat_interleave(r)).mean()
            right.append((part.argmax(1) == codes).float().mean())
        first = logits[:, : self.sizes[0]].detach().view(len(batch), r, -1).mean(1)
        return Step(loss, first, {"patch_accuracy": float(torch.stack(right).mean())})

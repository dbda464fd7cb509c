"""One training step of group DRO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn import Batch, Objective, Rows, Step, TrainingContext
from fairvision_groupdro._algorithm import adjusted, cell_losses, raised

__all__ = ["GroupDROObjective"]


class GroupDROObjective(Objective):
    """Minimise the cells' losses, weighted by `q_`, which rises where the loss is high.

    Parameters
    ----------
    eta, adjustment, balanced
        As in `GroupDROClassifier`.
    """

    logged: ClassVar = ("worst_loss", "largest_weight")
    needs_groups = True

    def __init__(self, eta: float = 0.01, adjustment: float = 0.0, balanced: bool = True) -> None:
        self.eta = eta
        self.adjustment = adjustment
        self.balanced = balanced

    def check(self, context: TrainingContext) -> None:
        """Check the parameters before anything runs."""
        for name in ("eta", "adjustment"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass 0 or more.")

    def start(self, module: nn.Module, rows: Rows, context: TrainingContext) -> None:
        """Number the cells of target and group, and weigh them all the same."""
        assert rows.groups is not None  # needs_groups
        assert context.groups is not None
        table = torch.column_stack([rows.targets, rows.groups])
        cells, self.cells_ = torch.unique(table, dim=0, return_inverse=True)
        weights = torch.ones(len(rows)) if rows.weights is None else rows.weights
        totals = torch.bincount(self.cells_, weights.double())
        # A cell first, then one of its rows: as many of each cell in an epoch.
        self.chances_ = weights / totals[self.cells_]
        self.counts_ = totals.to(context.device)
        self.q_: Tensor = torch.full_like(self.counts_, 1 / len(cells), dtype=rows.dtype)
        labels = (context.classes, *context.groups.categories)
        self.labels_ = {
            name: values[codes]
            for name, values, codes in zip(
                ("target", *context.groups.names), labels, cells.numpy().T, strict=True
            )
        }

    def order(self, module: nn.Module, rows: Rows) -> Tensor:
        """Row numbers: drawn with replacement, each cell as often; or each row once."""
        if not self.balanced:
            return super().order(module, rows)
        return torch.multinomial(self.chances_, len(rows), replacement=True)

    def step(self, module: nn.Module, batch: Batch) -> Step:
        """Raise `q_`, then weigh the cells' losses with it."""
        logits = module(batch.images)
        losses = F.cross_entropy(logits, batch.targets, reduction="none")
        cells = self.cells_[batch.rows].to(losses.device, non_blocking=True)
        # Where rows are drawn, they are drawn by weight.
        weights = None if self.balanced else batch.weights
        means, present = cell_losses(losses, cells, len(self.q_), weights)
        means = adjusted(means, self.counts_, self.adjustment)
        self.q_ = raised(self.q_, means, present, self.eta)
        # A cell that this batch lacks gives no gradient; its weight stays.
        logged = {"worst_loss": means.detach().max(), "largest_weight": self.q_.max()}
        return Step((self.q_ * means).sum(), logits, logged)

    def fitted_attributes(self, module: nn.Module, rows: Rows) -> dict[str, Any]:
        """The last weight of each cell."""
        return {"cell_weights_": pd.DataFrame({**self.labels_, "weight": self.q_.cpu().numpy()})}

    def state_dict(self) -> dict[str, Any]:
        """The cells' weights, which each step moves."""
        return {"q": self.q_}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with them."""
        self.q_ = state["q"].to(self.q_.device)

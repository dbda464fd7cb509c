"""One training step of group DRO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairvision.nn import Batch, Objective, Rows, Step
from fairvision_groupdro._algorithm import adjusted, cell_losses, raised

__all__ = ["GroupDROObjective"]


class GroupDROObjective(Objective):
    """Minimise the cells' losses, weighted by `q`, which rises where the loss is high.

    Parameters
    ----------
    eta : float
    adjustment : float
    balanced : bool
        Whether rows are drawn so that all cells come as often.
    """

    parts = ("worst_loss", "largest_weight")

    def __init__(self, eta: float, adjustment: float, *, balanced: bool) -> None:
        self.eta = eta
        self.adjustment = adjustment
        self.balanced = balanced

    def start(self, module: nn.Module, rows: Rows, device: torch.device, max_epochs: int) -> None:
        """Number the cells of target and group, and weigh them all the same."""
        assert rows.groups is not None  # required at fit
        table = torch.column_stack([rows.targets, rows.groups])
        self.labels, self.cells = torch.unique(table, dim=0, return_inverse=True)
        n_cells = len(self.labels)
        weights = torch.ones(len(rows)) if rows.weights is None else rows.weights
        totals = torch.bincount(self.cells, weights.double())
        # A cell first, then one of its rows: as many of each cell in an epoch.
        self.chances = weights / totals[self.cells]
        self.counts = totals.to(device)
        self.q: Tensor = torch.full((n_cells,), 1 / n_cells, dtype=rows.dtype, device=device)

    def order(self, module: nn.Module, rows: Rows) -> Tensor:
        """Row numbers: drawn with replacement, each cell as often; or each row once."""
        if not self.balanced:
            return super().order(module, rows)
        return torch.multinomial(self.chances, len(rows), replacement=True)

    def step(self, module: nn.Module, batch: Batch) -> Step:
        """Raise `q`, then weigh the cells' losses with it."""
        logits = module(batch.images)
        losses = F.cross_entropy(logits, batch.targets, reduction="none")
        cells = self.cells[batch.rows].to(losses.device)
        # Where rows are drawn, they are drawn by weight.
        weights = None if self.balanced else batch.weights
        means, present = cell_losses(losses, cells, len(self.q), weights)
        means = adjusted(means, self.counts, self.adjustment)
        self.q = raised(self.q, means, present, self.eta)
        # A cell that this batch lacks gives no gradient; its weight stays.
        parts = {"worst_loss": means.detach().max().item(), "largest_weight": self.q.max().item()}
        return Step((self.q * means).sum(), logits, parts)

    def state_dict(self) -> dict[str, Any]:
        """The cells' weights, which each step moves."""
        return {"q": self.q}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with them."""
        self.q = state["q"].to(self.q.device)

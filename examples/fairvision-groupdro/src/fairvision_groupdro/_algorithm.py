"""Sagawa et al. 2020, algorithm 1, as functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["adjusted", "cell_losses", "raised"]


def cell_losses(
    losses: Tensor, cells: Tensor, n_cells: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean loss of each cell, and which cells occur.

    Parameters
    ----------
    losses : Tensor of shape (n,)
    cells : Tensor of shape (n,), int64
    n_cells : int
    weights : Tensor of shape (n,), or None
        A row of weight 2 counts as two.

    Returns
    -------
    means : Tensor of shape (n_cells,)
        0 for a cell without rows.
    present : Tensor of bool, shape (n_cells,)
    """
    weights = torch.ones_like(losses) if weights is None else weights
    totals = losses.new_zeros(n_cells).index_add(0, cells, weights)
    sums = losses.new_zeros(n_cells).index_add(0, cells, losses * weights)
    present = totals > 0
    return sums / torch.where(present, totals, 1.0), present


def adjusted(losses: Tensor, counts: Tensor, adjustment: float) -> Tensor:
    """Losses plus ``adjustment / sqrt(n_g)``, equation 5: small cells generalise worse."""
    return losses + adjustment / counts.to(losses.dtype).sqrt()


def raised(q: Tensor, losses: Tensor, present: Tensor, eta: float) -> Tensor:
    """The cells' weights after one step of exponentiated gradient ascent.

    ``q_g <- q_g exp(eta loss_g)`` for the cells that occur, then normalised.

    Parameters
    ----------
    q : Tensor of shape (n_cells,), summing to 1
    losses : Tensor of shape (n_cells,)
    present : Tensor of bool, shape (n_cells,)
    eta : float
    """
    # In logarithms, so that a large loss overflows nothing.
    return torch.softmax(q.log() + eta * torch.where(present, losses.detach(), 0.0), dim=0)

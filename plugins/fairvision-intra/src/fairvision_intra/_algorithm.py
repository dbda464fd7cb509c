"""Equations of intra-processing (Savani et al. 2020, section 4).

Notation: p are probabilities of the second class, of shape (n,); y and g are
codes of class (0, 1) and group; h are penultimate activations of shape (n, d).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fairvision_intra._rates import BIASES, Rates

__all__ = ["BiasCritic", "Subspace", "actor_loss", "perturbed", "soft_bias"]


def perturbed(
    weights: Mapping[str, Tensor], scale: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Multiply each weight by a draw from N(1, scale^2).

    The draws are made on the CPU, so that a seed gives the same draws on every device.
    """
    return {
        name: _normal(value, generator).mul_(scale).add_(1).mul_(value)
        for name, value in weights.items()
    }


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like)


class Subspace:
    """Directions in which the weight of one layer is moved.

    A layer with at most `n_dims` weights has one direction for each weight. A
    wider layer has `n_dims` random directions. A step of length 1 moves the
    weights by their standard deviation, in root mean square.

    Parameters
    ----------
    weight : Tensor
    n_dims : int
    generator : Generator
    """

    def __init__(self, weight: Tensor, n_dims: int, generator: torch.Generator) -> None:
        self.weight = weight
        n_weights = weight.numel()
        if n_weights <= n_dims:
            self.directions = torch.eye(n_weights).to(weight)
        else:  # random directions in a high dimension are nearly orthogonal
            self.directions = _normal(weight.reshape(-1).expand(n_dims, -1), generator)
        self.directions *= weight.std(correction=0)

    @property
    def n_dims(self) -> int:
        return len(self.directions)

    def __call__(self, steps: Tensor) -> Tensor:
        """The layer's weight after `steps`, of shape (n_dims,); zeros give the given weight."""
        move = steps.to(self.weight) @ self.directions
        return self.weight + move.reshape(self.weight.shape)


class _SoftRates(Rates):
    """Rates with sums of probabilities in place of counts: tensors of shape (n_groups,)."""

    maximum: ClassVar[Any] = staticmethod(torch.maximum)

    def gap(self, rate: Tensor) -> Tensor:
        """Of two groups, the first minus the second; of more, the largest pairwise gap."""
        return rate[0] - rate[1] if len(rate) == 2 else rate.max() - rate.min()


def soft_bias(p: Tensor, y: Tensor, g: Tensor, n_groups: int, name: str) -> Tensor:
    """Bias of a batch with probabilities in place of predictions, a scalar that has gradients.

    Parameters
    ----------
    p : Tensor of shape (n,)
    y, g : Tensor of shape (n,), int64
        Every class must occur in every group.
    n_groups : int
    name : str
        A key of `BIASES`.
    """
    cell = g * 2 + y
    zeros = torch.zeros(2 * n_groups, dtype=p.dtype, device=p.device)
    # `bincount` would wait for a GPU.
    sums, counts = (zeros.index_add(0, cell, x) for x in (p, torch.ones_like(p)))
    return BIASES[name](_SoftRates(tp=sums[1::2], fp=sums[::2], p=counts[1::2], n=counts[::2]))


class BiasCritic(nn.Module):
    """Predicts the bias of a batch from penultimate activations (section 4.3).

    Three hidden layers of 32 units. The first two act on each row, the third on
    the mean over the rows, so that a batch may have any size.

    Parameters
    ----------
    n_features : int
    n_codes : int
        Further columns beside the activations, which are not standardised.
    dropout : float
    """

    shift: Tensor
    size: Tensor

    def __init__(self, n_features: int, n_codes: int = 0, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(n_features))
        self.register_buffer("size", torch.ones(n_features))
        self.rows = nn.Sequential(*_hidden(n_features + n_codes, dropout), *_hidden(32, dropout))
        self.batch = nn.Sequential(*_hidden(32, dropout), nn.Linear(32, 1))

    def standardize(self, h: Tensor) -> None:
        """Set the mean and spread that activations are standardised by to those of h."""
        self.shift.copy_(h.mean(0))
        self.size.copy_(h.std(0, correction=0) + 1e-3)

    def forward(self, h: Tensor, codes: Tensor | None = None) -> Tensor:
        """Bias of a batch, a scalar, from its activations of shape (n, n_features)."""
        rows = (h - self.shift) / self.size
        if codes is not None:
            rows = torch.cat([rows, codes.to(rows)], dim=1)
        return self.batch(self.rows(rows).mean(0)).squeeze(0)


def _hidden(n_inputs: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(n_inputs, 32), nn.ReLU(), nn.Dropout(dropout)]


def actor_loss(
    cross_entropy: Tensor, bias: Tensor, *, penalty: float, epsilon: float, margin: float
) -> Tensor:
    """BCE * max(1, penalty * (\\|bias\\| - epsilon + margin) + 1), equation 3."""
    return cross_entropy * (penalty * (bias.abs() - epsilon + margin) + 1).clamp_min(1)

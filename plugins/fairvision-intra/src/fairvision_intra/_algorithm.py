"""Equations of intra-processing (Savani et al. 2020, section 4).

Notation: p are probabilities of the second class, of shape (n,); y and g codes
of class (0, 1) and group; h are penultimate activations of shape (n, d).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["SOFT_BIASES", "Critic", "Subspace", "actor_loss", "perturbed", "soft_bias"]


def perturbed(
    weights: Mapping[str, Tensor], scale: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Each weight times a draw of N(1, scale^2); always from the weights as given.

    The draws are made on the CPU, so that a seed means the same on every device.
    """
    return {
        name: _normal(value, generator).mul_(scale).add_(1).mul_(value)
        for name, value in weights.items()
    }


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like)


class Subspace:
    """A few directions in the weights of one layer, each step measured in their std.

    A layer of no more weights than `n_dims` is searched weight by weight. A
    wider one along `n_dims` random directions, whose joint step of length 1
    moves the weights by their std in root mean square.

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
        else:
            like = weight.reshape(-1).expand(n_dims, -1)
            # In high dimension these are orthogonal but for a little.
            self.directions = _normal(like, generator)
        self.directions *= weight.std(correction=0)

    @property
    def n_dims(self) -> int:
        return len(self.directions)

    def __call__(self, steps: Tensor) -> Tensor:
        """The layer's weight after `steps`, of shape (n_dims,); all 0 is where it started."""
        move = steps.to(self.weight) @ self.directions
        return self.weight + move.reshape(self.weight.shape)


def _cell_means(p: Tensor, y: Tensor, g: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """Sums of p and numbers of rows, both of shape (n_groups, 2 classes)."""
    cell = g * 2 + y
    sums = torch.zeros(2 * n_groups, dtype=p.dtype, device=p.device).index_add(0, cell, p)
    counts = torch.bincount(cell, minlength=2 * n_groups).to(p.dtype)
    return sums.reshape(n_groups, 2), counts.reshape(n_groups, 2)


def _gap(rates: Tensor) -> Tensor:
    """The first of two groups minus the second; of several the largest pairwise gap."""
    return rates[0] - rates[1] if len(rates) == 2 else rates.max() - rates.min()


SOFT_BIASES = {
    "demographic_parity_difference": lambda sums, counts: _gap(sums.sum(1) / counts.sum(1)),
    "equal_opportunity_difference": lambda sums, counts: _gap((sums / counts)[:, 1]),
    "average_odds_difference": lambda sums, counts: _gap((sums / counts).mean(1)),
    "average_abs_odds_difference": lambda sums, counts: (
        (_gap((sums / counts)[:, 1]).abs() + _gap((sums / counts)[:, 0]).abs()) / 2
    ),
    "equalized_odds_difference": lambda sums, counts: torch.maximum(
        _gap((sums / counts)[:, 1]).abs(), _gap((sums / counts)[:, 0]).abs()
    ),
    "accuracy_gap": lambda sums, counts: _gap(
        (sums[:, 1] + counts[:, 0] - sums[:, 0]) / counts.sum(1)
    ),
}


def soft_bias(p: Tensor, y: Tensor, g: Tensor, n_groups: int, name: str) -> Tensor:
    """Bias of a batch with probabilities in place of predictions, a scalar that has gradients.

    Parameters
    ----------
    p : Tensor of shape (n,)
    y, g : Tensor of shape (n,), int64
        Every class must occur in every group.
    n_groups : int
    name : str
        One of `SOFT_BIASES`.
    """
    return SOFT_BIASES[name](*_cell_means(p, y, g, n_groups))


class Critic(nn.Module):
    """Predicts the bias of a batch from penultimate activations (section 4.3).

    Three hidden layers of 32 units: two for each row, one for their mean, so
    that a batch may have any size.

    Parameters
    ----------
    n_features : int
    n_codes : int
        Further columns beside the activations, of known scale.
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
        """Take the activations' mean and spread from the rows h."""
        self.shift.copy_(h.mean(0))
        self.size.copy_(h.std(0, correction=0) + 1e-3)

    def forward(self, h: Tensor, codes: Tensor | None = None) -> Tensor:
        """Activations of a batch, shape (n, n_features), to its bias, a scalar."""
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

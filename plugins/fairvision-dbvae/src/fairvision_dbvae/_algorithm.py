"""Equations of the DB-VAE (Amini et al. 2019, sections 3.2 and 3.3).

Notation: mu and log_var, of shape (n, k), are the means and log-variances of
n images' k latents; Q_i is the histogram of latent i over the images of one
class; W is an image's probability of being drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf
from typing import Literal

import torch
from torch import Tensor

from fairvision.nn import to_device

__all__ = [
    "Aggregate",
    "LatentDensities",
    "effective_sample_size",
    "kl_divergence",
    "reparameterize",
    "sampling_probabilities",
    "spread",
    "systematic_draw",
]

Aggregate = Literal["product", "max"]


def kl_divergence(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, exp(log_var)) || N(0, 1)) summed over latents, shape (n,) (equation 2)."""
    return 0.5 * (log_var.exp() + mu.square() - 1 - log_var).sum(1)


def reparameterize(mu: Tensor, log_var: Tensor) -> Tensor:
    """A draw z = mu + exp(log_var / 2) * epsilon, epsilon by the CPU, shape (n, k)."""
    noise = to_device(torch.randn(mu.shape, dtype=mu.dtype), mu.device)
    return mu + torch.exp(0.5 * log_var) * noise


@dataclass(frozen=True, slots=True)
class LatentDensities:
    """One histogram for each latent: bins of equal width, the outer ones open.

    Attributes
    ----------
    edges : Tensor of shape (k, n_bins + 1), float64
        From the least to the largest value seen; the first and the last bin
        also take what lies beyond.
    probabilities : Tensor of shape (k, n_bins), float64
        Share of the images in each bin. Probabilities and not densities, so
        that smoothing means the same whatever the scale of a latent.
    """

    edges: Tensor
    probabilities: Tensor

    @classmethod
    def fit(cls, mu: Tensor, n_bins: int, weights: Tensor | None = None) -> LatentDensities:
        """Count.

        Parameters
        ----------
        mu : Tensor of shape (n, k)
        n_bins : int
        weights : Tensor of shape (n,) or None
            How many images each row stands for.
        """
        low, high = mu.min(0).values.double(), mu.max(0).values.double()
        steps = torch.linspace(0, 1, n_bins + 1, dtype=torch.float64)
        edges = low[:, None] + (high - low)[:, None] * steps
        empty = cls(edges, torch.zeros(mu.shape[1], n_bins, dtype=torch.float64))
        counted = None if weights is None else weights.double()
        counts = [
            torch.bincount(empty.bins(mu, i), weights=counted, minlength=n_bins)
            for i in range(mu.shape[1])
        ]
        table = torch.stack(counts).double()
        return cls(edges, table / table.sum(1, keepdim=True))

    def bins(self, mu: Tensor, latent: int) -> Tensor:
        """The bin of each image in one latent, shape (n,), int64."""
        n_bins = self.probabilities.shape[1]
        low, width = self.edges[latent, 0], self.edges[latent, -1] - self.edges[latent, 0]
        if width <= 0:  # a latent that says the same of every image
            return torch.zeros(len(mu), dtype=torch.int64)
        place = (mu[:, latent].double() - low) * (n_bins / width)
        return place.long().clamp_(0, n_bins - 1)


def sampling_probabilities(
    mu: Tensor,
    densities: LatentDensities,
    alpha: float,
    aggregate: Aggregate = "product",
    min_effective: float = 0.0,
) -> Tensor:
    """W: rare in the latents is likely in the sample (equation 5), shape (n,), float64, sum 1.

    Latent by latent and in logarithms: beside `mu` it needs memory for a few
    numbers an image, and a product over hundreds of latents neither over- nor
    underflows.

    Parameters
    ----------
    mu : Tensor of shape (n, k)
    densities : LatentDensities
    alpha : float
        Added to each bin's probability: 0 debiases most, infinity not at all.
    aggregate : {"product", "max"}
        ``"product"``: W ~ prod_i 1 / (Q_i + alpha), as in the paper. ``"max"``:
        each latent's 1 / (Q_i + alpha) scaled to sum 1 over the images, then
        the largest over the latents, as in the authors' code.
    min_effective : float
        W is flattened to a power W^t, t <= 1 as large as can be, whose
        effective sample size is this share of n. 0 leaves W as it is.
    """
    total = torch.zeros(len(mu), dtype=torch.float64)
    if aggregate == "max":
        total -= torch.inf
    for latent, q in enumerate(densities.probabilities):
        log_p = -_log_smoothed(q, alpha)[densities.bins(mu, latent)]
        if aggregate == "product":
            total += log_p
        else:
            total = torch.maximum(total, log_p - torch.logsumexp(log_p, 0))
    return torch.softmax(total * _temperature(total, min_effective), 0)


def _temperature(log_w: Tensor, min_effective: float) -> float:
    """The largest t up to 1 at which softmax(t log_w) is worth that share of its rows."""
    target_size = min_effective * len(log_w)

    def enough(t: float) -> bool:
        return effective_sample_size(torch.softmax(t * log_w, 0)) >= target_size

    if enough(1.0):
        return 1.0
    low, high = 0.0, 1.0  # the size falls as t rises
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low


def _log_smoothed(q: Tensor, alpha: float) -> Tensor:
    """log(q + alpha), less log(alpha) where alpha is large, which cancels in W."""
    if alpha > 1:
        return torch.log1p(q / alpha) if not isinf(alpha) else torch.zeros_like(q)
    # An image outside every bin that was counted is as rare as can be, not infinitely so.
    return torch.log((q + alpha).clamp_min(1e-12))


def effective_sample_size(probabilities: Tensor) -> float:
    """1 / sum W^2: how many equally likely images would give as varied a sample."""
    return float(1 / probabilities.square().sum())


def systematic_draw(probabilities: Tensor, n_draws: int) -> Tensor:
    """Row numbers, each row n_draws * W times rounded up or down, in random order.

    The expected counts are those of independent draws with the least noise
    around them; with equal probabilities and a draw for each row, it is a
    permutation.
    """
    ticks = (torch.arange(n_draws, dtype=torch.float64) + torch.rand((), dtype=torch.float64)) / (
        max(n_draws, 1)
    )
    ends = probabilities.double().cumsum(0)
    rows = torch.searchsorted(ends / ends[-1], ticks, right=True).clamp_(max=len(ends) - 1)
    return rows[torch.randperm(n_draws)]


def spread(parts: list[Tensor]) -> Tensor:
    """Mix classes evenly: every stretch of the result holds each part in its share."""
    places = [
        (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members) for members in parts
    ]
    return torch.cat(parts)[torch.cat(places).argsort(stable=True)]

"""What a DB-VAE step minimises, and which images the coming epoch shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fairvision.nn import Batch, Objective, Rows, Step, cross_entropy
from fairvision_dbvae._algorithm import (
    Aggregate,
    LatentDensities,
    effective_sample_size,
    kl_divergence,
    reparameterize,
    sampling_probabilities,
    spread,
    systematic_draw,
)
from fairvision_dbvae._module import DBVAEModule, evaluating

__all__ = ["DBVAEObjective"]


class DBVAEObjective(Objective):
    """Classify every row; reconstruct, and resample, the rows of the debiased classes.

    Parameters
    ----------
    n_classes : int
    debiased : sequence of int
        Codes of the debiased classes.
    alpha : float or None
        Smoothing of the latents' histograms; None draws uniformly.
    n_bins : int
    aggregate : {"product", "max"}
    min_effective : float
        Least effective sample size, as a share of the class.
    class_shares : {"equal", "data"}
    classification_weight, reconstruction_weight, kl_weight : float
        c1, c2 and c3 of the paper.
    encode_batch_size : int
        Images encoded at a time for the densities.
    """

    parts = ("class_loss", "reconstruction_loss", "kl", "effective_sample_size")

    def __init__(
        self,
        *,
        n_classes: int,
        debiased: Sequence[int],
        alpha: float | None,
        n_bins: int,
        aggregate: Aggregate,
        min_effective: float,
        class_shares: str,
        classification_weight: float,
        reconstruction_weight: float,
        kl_weight: float,
        encode_batch_size: int,
    ) -> None:
        self.n_classes = n_classes
        self.debiased = tuple(debiased)
        self.alpha = alpha
        self.n_bins = n_bins
        self.aggregate = aggregate
        self.min_effective = min_effective
        self.class_shares = class_shares
        self.classification_weight = classification_weight
        self.reconstruction_weight = reconstruction_weight
        self.kl_weight = kl_weight
        self.encode_batch_size = encode_batch_size

    def start(self, module: nn.Module, rows: Rows, device: torch.device, max_epochs: int) -> None:
        self.device = device
        self.is_debiased = torch.zeros(self.n_classes, dtype=torch.bool, device=device)
        self.is_debiased[list(self.debiased)] = True

    def state_dict(self) -> dict[str, Any]:
        return {}  # whom an epoch shows follows from the module at its start

    # -- which rows an epoch shows ------------------------------------------------

    def order(self, module: nn.Module, rows: Rows) -> Tensor:
        assert isinstance(module, DBVAEModule)
        members = [torch.nonzero(rows.targets == c).flatten() for c in range(self.n_classes)]
        sizes = self.draws([len(part) for part in members])
        self.ess = 0.0
        drawn = []
        for code, (part, size) in enumerate(zip(members, sizes, strict=True)):
            if not len(part):  # every row of a class was held out or weighs nothing
                continue
            probabilities = torch.full((len(part),), 1 / len(part), dtype=torch.float64)
            if code in self.debiased:
                if self.alpha is not None:
                    probabilities = self.resample(module, rows, part)[1]
                self.ess += effective_sample_size(probabilities)
            drawn.append(part[systematic_draw(probabilities, size)])
        return spread([part for part in drawn if len(part)])

    def draws(self, counts: list[int]) -> list[int]:
        """Rows of each class in an epoch of as many rows as the training set has."""
        if self.class_shares == "data":
            return counts
        present = sum(count > 0 for count in counts)
        share, left = divmod(sum(counts), present)
        sizes = [share * (count > 0) for count in counts]
        for code in [c for c, count in enumerate(counts) if count][::-1][:left]:
            sizes[code] += 1
        return sizes

    def resample(
        self, module: DBVAEModule, rows: Rows, part: Tensor
    ) -> tuple[LatentDensities, Tensor]:
        """Densities of the latents over some rows, and each row's probability among them."""
        mu = self.encode(module, rows, part)
        weights = None if rows.weights is None else rows.weights[part]
        densities = LatentDensities.fit(mu, self.n_bins, weights)
        alpha = torch.inf if self.alpha is None else self.alpha
        return densities, sampling_probabilities(
            mu, densities, alpha, self.aggregate, self.min_effective
        )

    def encode(self, module: DBVAEModule, rows: Rows, part: Tensor) -> Tensor:
        """Latent means of some rows, float32 of shape (n, k) on the CPU.

        Without the decoder, in batches as large as pays, in evaluation mode, on images
        scaled as in training but not augmented.
        """
        mu = torch.empty(len(part), module.n_latents)
        done = 0
        with evaluating(module):
            for some in part.split(self.encode_batch_size):
                images = rows.batch(some, self.device).images
                mu[done : done + len(some)] = module.mu(images)
                done += len(some)
        return mu

    # -- what a step minimises ----------------------------------------------------

    def step(self, module: nn.Module, batch: Batch) -> Step:
        assert isinstance(module, DBVAEModule)
        features = module.features(batch.images)
        logits = module.head(features)
        class_loss = cross_entropy(logits, batch.targets, batch.weights)
        reconstruction, kl = self._vae_terms(module, batch, features)
        loss = (
            self.classification_weight * class_loss
            + self.reconstruction_weight * reconstruction
            + self.kl_weight * kl
        )
        values = torch.stack([class_loss, reconstruction, kl]).tolist()
        return Step(loss, logits, dict(zip(self.parts, [*values, self.ess], strict=True)))

    def _vae_terms(
        self, module: DBVAEModule, batch: Batch, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Reconstruction and KL terms, 0 for rows of other classes, as means over the batch."""
        kept = self.is_debiased[batch.targets]
        mu, log_var = module.distribution(features[kept])
        error = self._errors(module, batch, kept, reparameterize(mu, log_var))
        terms = torch.stack([error, kl_divergence(mu, log_var)])
        if batch.weights is not None:
            terms = terms * batch.weights[kept]
        reconstruction, kl = terms.sum(1) / len(batch)
        return reconstruction, kl

    def _errors(self, module: DBVAEModule, batch: Batch, kept: Tensor, z: Tensor) -> Tensor:
        """Error a pixel of each kept row; a process draws the rows that it has the images of."""
        own, rows = batch.process_group.shard(len(batch)), kept.nonzero().flatten()
        mine = (rows >= own.start) & (rows < own.stop)
        errors = (module.decode(z[mine]) - batch.images[rows[mine] - own.start]).abs()
        return batch.process_group.all_gather(errors.mean((1, 2, 3)))

"""The loss of a DB-VAE step, and the images of the next epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairvision.base import check_choices, check_numbers, take
from fairvision.exceptions import InputError
from fairvision.nn import (
    Batch,
    Objective,
    Rows,
    Step,
    TrainingContext,
    cross_entropy,
    evaluation_mode,
    inference_size,
    to_device,
)
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
from fairvision_dbvae._module import DBVAEModule

__all__ = ["DBVAEObjective", "debiased_classes"]

_SMALLEST = 8


def debiased_classes(chosen: Any, classes: NDArray[Any]) -> NDArray[Any]:
    """The classes that ``debias_classes`` names, in their order."""
    if chosen is None:
        return classes[1:] if len(classes) == 2 else classes
    if isinstance(chosen, str) and chosen == "all":
        return classes
    named_classes = np.unique(np.atleast_1d(np.asarray(chosen)))
    missing = [label for label in named_classes.tolist() if label not in classes.tolist()]
    if missing or not len(named_classes):
        raise InputError(
            f"debias_classes is {chosen!r}, y has the classes {classes.tolist()}. "
            "Pass some of these, 'all', or None."
        )
    return classes[np.isin(classes, named_classes)]


@dataclass(eq=False, repr=False)
class DBVAEObjective(Objective):
    """Classify every row; reconstruct, and resample, the rows of the debiased classes.

    Parameters
    ----------
    n_latents, alpha, bins, aggregate, min_effective, debias_classes, class_shares, \
classification_weight, reconstruction_weight, kl_weight, decoder_filters, keep_images
        As in `DBVAEClassifier`.
    """

    logged: ClassVar = ("class_loss", "reconstruction_loss", "kl", "effective_sample_size")
    needs_pixels: ClassVar = True

    n_latents: int = 16
    alpha: float | None = 0.05
    bins: int = 10
    aggregate: Aggregate = "product"
    min_effective: float = 0.25
    debias_classes: Any = None
    class_shares: str = "equal"
    classification_weight: float = 1.0
    reconstruction_weight: float = 1.0
    kl_weight: float = 3e-3
    decoder_filters: Sequence[int] = (64, 32, 16)
    keep_images: int = 8

    def check(self, context: TrainingContext) -> None:
        """Check the parameters, the images and the classes."""
        self._check_images(context.input_shape)
        self.debiased_ = debiased_classes(self.debias_classes, context.classes)
        check_numbers(self, "n_latents", "bins", low=1, whole=True)
        check_numbers(self, "keep_images", whole=True)
        check_numbers(self, "alpha", optional=True)
        check_numbers(self, "classification_weight", "reconstruction_weight", "kl_weight")
        if not 0 <= self.min_effective < 1:
            raise InputError(f"min_effective is {self.min_effective!r}; pass 0 up to below 1.")
        check_choices(self, aggregate=("product", "max"), class_shares=("equal", "data"))
        class_weight = context.params.get("class_weight")
        if class_weight is not None and self.class_shares == "equal":
            raise InputError(
                "class_shares='equal' draws as many rows of each class, and "
                f"class_weight={class_weight!r} would weigh them once more. Pass "
                "class_shares='data' or class_weight=None."
            )
        if not len(self.decoder_filters) or min(self.decoder_filters) < 1:
            raise InputError(
                f"decoder_filters is {self.decoder_filters!r}; pass a few positive ints, "
                "such as (64, 32, 16)."
            )

    def _check_images(self, shape: tuple[int, ...]) -> None:
        if min(shape[1:]) < _SMALLEST:
            raise InputError(
                f"X has images of {shape[1]} x {shape[2]} pixels; the decoder draws "
                f"{_SMALLEST} x {_SMALLEST} at least. Enlarge the images."
            )

    def make_module(self, build: Callable[[], nn.Module], context: TrainingContext) -> nn.Module:
        """The backbone with latents and a decoder; one trained before is trained on."""
        encoder = build()
        if isinstance(encoder, DBVAEModule) and encoder.n_latents == self.n_latents:
            return encoder
        return DBVAEModule(encoder, self.n_latents, context.input_shape, self.decoder_filters)

    def start(self, module: nn.Module, rows: Rows, context: TrainingContext) -> None:
        """Note which classes are debiased."""
        self.classes_, self.device_ = context.classes, context.device
        self.codes_ = np.flatnonzero(np.isin(self.classes_, self.debiased_)).tolist()
        self.encode_batch_size_ = inference_size(
            context.batch_size, context.device, context.input_shape
        )
        # Of each row, on the CPU, which then picks rows without waiting for the device.
        self.is_debiased_ = torch.isin(rows.targets, torch.tensor(self.codes_))
        self.ess_ = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {}  # the module at the start of an epoch decides which rows it shows

    # -- which rows an epoch shows ------------------------------------------------

    def order(self, module: nn.Module, rows: Rows) -> Tensor:
        assert isinstance(module, DBVAEModule)
        members = [torch.nonzero(rows.targets == c).flatten() for c in range(len(self.classes_))]
        sizes = self.draws([len(indices) for indices in members])
        self.ess_ = 0.0
        drawn = []
        for code, (indices, size) in enumerate(zip(members, sizes, strict=True)):
            if not len(indices):  # every row of a class was held out or weighs nothing
                continue
            probabilities = torch.full((len(indices),), 1 / len(indices), dtype=torch.float64)
            if code in self.codes_:
                if self.alpha is not None:
                    probabilities = self.resample(module, rows, indices)[1]
                self.ess_ += effective_sample_size(probabilities)
            drawn.append(indices[systematic_draw(probabilities, size)])
        return spread([indices for indices in drawn if len(indices)])

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
        self, module: DBVAEModule, rows: Rows, index: Tensor
    ) -> tuple[LatentDensities, Tensor]:
        """Densities of the latents over some rows, and each row's probability among them."""
        mu = self.encode(module, rows, index)
        weights = None if rows.weights is None else rows.weights[index]
        densities = LatentDensities.fit(mu, self.bins, weights)
        alpha = torch.inf if self.alpha is None else self.alpha
        return densities, sampling_probabilities(
            mu, densities, alpha, self.aggregate, self.min_effective
        )

    def encode(self, module: DBVAEModule, rows: Rows, index: Tensor) -> Tensor:
        """Latent means of some rows, float32 of shape (n, k) on the CPU.

        Without the decoder, in batches as large as pays, in evaluation mode, on images
        scaled as in training but not augmented.
        """
        mu = torch.empty(len(index), module.n_latents)
        done = 0
        with evaluation_mode(module), torch.inference_mode():
            for some in index.split(self.encode_batch_size_):
                images = rows.batch(some, self.device_).images
                mu[done : done + len(some)] = module.mu(images)
                done += len(some)
        return mu

    def fitted_attributes(self, module: nn.Module, rows: Rows) -> dict[str, Any]:
        """What one more epoch would show: each row's probability, and the extreme rows."""
        assert isinstance(module, DBVAEModule)
        sample = describe_sample(self, module, rows)
        ends = sample.ranked, sample.ranked[::-1]
        # Copies: torch can be indexed neither by nor through reversed memory.
        extremes = tuple(end[: self.keep_images].copy() for end in ends)
        labels = self.classes_.tolist()
        return {
            "debiased_classes_": self.debiased_,
            "sample_odds_": sample.odds,
            "sample_probabilities_": sample.probabilities,
            "latent_densities_": {labels[code]: d for code, d in sample.densities.items()},
            "n_debiased_": len(sample.ranked),
            "extreme_rows_": extremes,
            "extreme_images_": tuple(take(rows.images, end) for end in extremes),
        }

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
        values = [*torch.stack([class_loss, reconstruction, kl]).detach(), self.ess_]
        return Step(loss, logits, dict(zip(self.logged, values, strict=True)))

    def _vae_terms(
        self, module: DBVAEModule, batch: Batch, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Reconstruction and KL terms, 0 for rows of other classes, as means over the batch."""
        kept = self.is_debiased_[batch.rows].nonzero().flatten()
        place = to_device(kept, features.device)
        mu, log_var = module.distribution(features[place])
        error = self._errors(module, batch, kept, reparameterize(mu, log_var))
        terms = torch.stack([error, kl_divergence(mu, log_var)])
        if batch.weights is not None:
            terms = terms * batch.weights[place]
        reconstruction, kl = terms.sum(1) / len(batch)
        return reconstruction, kl

    def _errors(self, module: DBVAEModule, batch: Batch, kept: Tensor, z: Tensor) -> Tensor:
        """Error a pixel of each kept row; a process draws the rows that it has the images of."""
        shard = batch.process_group.shard(len(batch))
        start, stop = torch.searchsorted(kept, torch.tensor([shard.start, shard.stop])).tolist()
        images = batch.images[to_device(kept[start:stop] - shard.start, z.device)]
        errors = (module.decode(z[start:stop]) - images).abs()
        return batch.process_group.all_gather(errors.mean((1, 2, 3)))


@dataclass(frozen=True, slots=True)
class Sample:
    """How likely each training row is drawn.

    Attributes
    ----------
    odds : ndarray of shape (n_samples,)
        Against a uniform draw from the row's class; 0 for rows of weight 0.
    probabilities : ndarray of shape (n_samples,)
    densities : dict of int to LatentDensities
        Of each debiased class, by its code.
    ranked : ndarray of shape (n_debiased,)
        Rows of the debiased classes, the likeliest against its class first.
    """

    odds: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    densities: dict[int, LatentDensities]
    ranked: NDArray[np.intp]


def describe_sample(objective: DBVAEObjective, module: DBVAEModule, rows: Rows) -> Sample:
    """Encode the debiased classes once more, and rank their rows."""
    codes = rows.targets.numpy()
    present = np.ones(len(rows), dtype=bool) if rows.weights is None else rows.weights.numpy() > 0
    odds = present.astype(np.float64)
    densities = {}
    for code in objective.codes_:
        members = np.flatnonzero(present & (codes == code))
        if not len(members):  # every row of the class has weight 0
            continue
        densities[code], p = objective.resample(module, rows, torch.from_numpy(members))
        odds[members] = p.numpy() * len(members)
    counts = np.bincount(codes[present], minlength=len(objective.classes_))
    draws = np.array(objective.draws(counts.tolist()))
    per_row = draws / np.maximum(counts, 1) / draws.sum()
    debiased = np.flatnonzero(present & np.isin(codes, objective.codes_))
    ranked = debiased[np.argsort(-odds[debiased], kind="stable")]
    return Sample(odds, odds * per_row[codes], densities, ranked)

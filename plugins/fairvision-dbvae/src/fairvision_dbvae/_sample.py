"""Whom one more epoch would show: the sample under the trained net."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fairvision.nn import Rows
from fairvision_dbvae._algorithm import LatentDensities
from fairvision_dbvae._module import DBVAEModule
from fairvision_dbvae._objective import DBVAEObjective

__all__ = ["Sample", "describe_sample"]


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
    assert rows.weights is not None
    codes, present = rows.targets.numpy(), rows.weights.numpy() > 0
    odds = present.astype(np.float64)
    densities = {}
    for code in objective.debiased:
        part = np.flatnonzero(present & (codes == code))
        if not len(part):  # a class of no weight at all
            continue
        densities[code], probabilities = objective.resample(module, rows, torch.from_numpy(part))
        odds[part] = probabilities.numpy() * len(part)
    counts = np.bincount(codes[present], minlength=objective.n_classes)
    draws = np.array(objective.draws(counts.tolist()))
    per_row = draws / np.maximum(counts, 1) / draws.sum()
    debiased = np.flatnonzero(present & np.isin(codes, objective.debiased))
    ranked = debiased[np.argsort(-odds[debiased], kind="stable")]
    return Sample(odds, odds * per_row[codes], densities, ranked)

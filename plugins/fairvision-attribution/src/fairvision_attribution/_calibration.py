"""How far a region classifier's confidence can be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Calibration", "Reliability"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Reliability of the likeliest level's probability, over patches.

    Attributes
    ----------
    name : str
        The attribute.
    ece : float
        Expected calibration error: mean distance of accuracy from confidence
        over the bins, each weighed by its patches.
    curve : DataFrame
        A row a bin that holds any patch: ``n``, ``confidence`` and ``accuracy`` (means).
    """

    name: str
    ece: float
    curve: pd.DataFrame


class Reliability:
    """Counts patches into bins of equal width, a batch at a time.

    Parameters
    ----------
    n_bins : int
    """

    def __init__(self, n_bins: int) -> None:
        self.sums = np.zeros((3, n_bins))  # patches, their confidence, those that are right

    def add(self, probabilities: NDArray[np.floating], codes: NDArray[np.int64]) -> None:
        """Count patches: probabilities of shape (n, m, K), the level of each picture (n,)."""
        n_bins = self.sums.shape[1]
        top = probabilities.max(-1).astype(np.float64)
        right = probabilities.argmax(-1) == codes[:, None]
        bins = np.minimum((top * n_bins).astype(int), n_bins - 1).ravel()
        for total, weights in zip(self.sums, (np.ones_like(top), top, right), strict=True):
            total += np.bincount(bins, weights=weights.ravel(), minlength=n_bins)

    def result(self, name: str) -> Calibration:
        """What was counted."""
        kept = np.flatnonzero(self.sums[0])
        n, confidence, accuracy = self.sums[:, kept]
        curve = pd.DataFrame(
            {"n": n.astype(np.int64), "confidence": confidence / n, "accuracy": accuracy / n},
            index=pd.Index(kept / self.sums.shape[1], name="from"),
        )
        gaps = np.abs(curve["confidence"] - curve["accuracy"])
        return Calibration(name, float(np.average(gaps, weights=n)), curve)

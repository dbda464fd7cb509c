"""Photographs that are decoded once, not in every epoch of every run."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from fairvision.datasets import subset

__all__ = ["few_in_memory", "in_memory"]

_FEW = 3000


def in_memory(data: Bunch) -> Bunch:
    """The same data with the pictures as an array: for small ones.

    Parameters
    ----------
    data : Bunch
        Of any loader.
    """
    return Bunch(**{**data, "images": np.asarray(data.images)})


def few_in_memory(data: Bunch) -> Bunch:
    """Three thousand rows drawn at random, the same whenever asked, with the pictures as an array.

    Parameters
    ----------
    data : Bunch
        Of any loader.
    """
    rows = np.random.default_rng(0).permutation(len(data.target))[:_FEW]
    return in_memory(subset(data, np.sort(rows)))

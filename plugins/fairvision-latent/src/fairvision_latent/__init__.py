"""Latent-space de-biasing (Ramaswamy et al. 2021) for fairvision."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module: `fairvision_latent.plugin` lives in this package and must stay light.
_HOME = {
    "Hyperplane": "_algorithm",
    "LatentPairSampler": "_estimator",
    "ProgressiveGAN": "_gan",
    "pairs_figure": "_report",
    "smallest_move": "_algorithm",
}

__all__ = ["Hyperplane", "LatentPairSampler", "ProgressiveGAN", "pairs_figure", "smallest_move"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

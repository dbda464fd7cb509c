"""The debiasing variational autoencoder (Amini et al. 2019) for fairvision."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module: `fairvision_dbvae.plugin` lives in this package and must stay light.
_HOME = {
    "DBVAEClassifier": "_estimator",
    "LatentDensities": "_algorithm",
    "lab_encoder": "_module",
    "latents_figure": "_report",
    "load_face_or_not": "_pictures",
    "window_scores": "_windows",
}

__all__ = [
    "DBVAEClassifier",
    "LatentDensities",
    "lab_encoder",
    "latents_figure",
    "load_face_or_not",
    "window_scores",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

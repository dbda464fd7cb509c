"""Intra-processing (Savani et al. 2020) for fairvision: debias a net that is already trained."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["AdversarialFineTuning", "LayerwiseOptimization", "RandomPerturbation", "pareto_figure"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `fairvision_intra.plugin` lives in this package and must stay light to import.
    if name in __all__:
        room = "_report" if name == "pareto_figure" else "_estimator"
        return getattr(importlib.import_module(f"fairvision_intra.{room}"), name)
    raise AttributeError(f"module 'fairvision_intra' has no attribute {name!r}")

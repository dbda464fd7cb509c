"""Model-agnostic data attribution (De Coninck et al. 2024) for fairvision."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module: `fairvision_attribution.plugin` lives in this package and must stay light.
_HOME = {
    "AttributionNoise": "_estimator",
    "Calibration": "_calibration",
    "NoisyImages": "_noise",
    "PatchGrid": "_grid",
    "RegionClassifier": "_regions",
    "attribution_figure": "_report",
    "cifar_resnet18": "_net",
    "patch_cnn": "_net",
    "quantile_curve": "_curve",
}

__all__ = [
    "AttributionNoise",
    "Calibration",
    "NoisyImages",
    "PatchGrid",
    "RegionClassifier",
    "attribution_figure",
    "cifar_resnet18",
    "patch_cnn",
    "quantile_curve",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

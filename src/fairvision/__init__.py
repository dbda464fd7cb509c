"""fairvision: debiasing methods for vision models, in the toolkits people already use."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> where it lives. Resolved at first use, so that `import fairvision`
# and the listing commands import nothing heavy.
_HOME = {
    "methods": "fairvision.plugins:methods",
    "make": "fairvision.plugins:make",
    "register": "fairvision.plugins:register",
    "compose": "fairvision.base:compose",
    "evaluate": "fairvision.metrics:evaluate",
    "compare": "fairvision.comparison:compare",
    "Resampled": "fairvision.base:Resampled",
    "save": "fairvision.saving:save",
    "load": "fairvision.saving:load",
}
_ROOMS = (
    "base",
    "comparison",
    "datasets",
    "exceptions",
    "metrics",
    "nn",
    "plugins",
    "reports",
    "saving",
    "testing",
    "toolkits",
    "types",
)

__all__ = [*_HOME, *_ROOMS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        module, _, attribute = _HOME[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    if name in _ROOMS:
        return importlib.import_module(f"fairvision.{name}")
    raise AttributeError(f"module 'fairvision' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

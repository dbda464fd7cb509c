"""The conformance kit for plugin authors: it checks a method's contract and its claims.

``fairvision check NAME`` runs the same checks at a terminal. What the kit must know about a
method stands in the method's descriptor: `fairvision.types.Claims`.
"""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module, imported at first use: importing fairvision.testing stays cheap.
_MODULES = {
    "CHECKS": "_method",
    "ConformanceError": "_result",
    "Result": "_result",
    "check_method": "_method",
    "check_plugin": "_plugin",
    "check_resumes": "_resumes",
    "method_checks": "_method",
    "parametrize_with_method_checks": "_method",
    "plugin_checks": "_plugin",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

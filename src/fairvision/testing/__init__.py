"""The conformance kit: does a method keep the contract, and does it do what it says?

For the authors of plugins. ``fairvision check NAME`` runs the same checks at a terminal.
A method states what the kit must know of it in its descriptor: `fairvision.types.Claims`.
"""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module. Resolved at first use, so that importing the room costs nothing.
_HOME = {
    "CHECKS": "_checks",
    "ConformanceError": "_run",
    "Result": "_run",
    "check_method": "_run",
    "check_plugin": "_plugin",
    "check_resumes": "_resumes",
    "method_checks": "_run",
    "parametrize_with_method_checks": "_parametrize",
    "plugin_checks": "_plugin",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Fitted estimators in one file without pickle: weights in safetensors, all else in JSON."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module. Resolved at first use, so that importing the room costs nothing.
_HOME = {
    "export_onnx": "_onnx",
    "load": "_load",
    "read_manifest": "_load",
    "save": "_save",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""The shipped and the local data sets."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module. Resolved at first use, so that importing the room costs nothing.
_HOME = {
    "FaceGenerator": "_face_generator",
    "ImageFiles": "_files",
    "biased_split": "_split",
    "contact_sheet": "_sheet",
    "from_torch": "_torch",
    "load": "_load",
    "load_celeba": "_celeba",
    "load_digits": "_digits",
    "load_faces": "_faces",
    "load_fairface": "_fairface",
    "load_folder": "_folder",
    "load_lfw": "_lfw",
    "load_ppb": "_ppb",
    "load_utkface": "_utkface",
    "subset": "_bunch",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""The functions that a recipe names: only those of the package that it came with."""

from __future__ import annotations

import importlib
from typing import Any

from fairvision.exceptions import InputError

__all__ = ["check_target", "find_target"]


def check_target(target: Any, package: str, where: str) -> None:
    """Refuse what is no ``"module:function"`` of the package.

    Raises
    ------
    InputError
        Beginning with `where`.
    """
    module, colon, name = target.partition(":") if isinstance(target, str) else ("", "", "")
    if not (module and colon and name):
        raise InputError(f"{where} is {target!r}; expected a text, 'module:function'.")
    if module.partition(".")[0] != package.partition(".")[0]:
        raise InputError(f"{where} is {target!r}; only functions of {package} are called.")


def find_target(target: str, package: str, where: str) -> Any:
    """Import the function that ``"module:function"`` names, if it is of the package."""
    check_target(target, package, where)
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)

"""Functions that a recipe names; they must be in the package that ships the recipe."""

from __future__ import annotations

import importlib
from typing import Any

from fairvision.exceptions import InputError

__all__ = ["check_target", "find_target"]


def check_target(target: Any, package: str, where: str) -> None:
    """Require that the target is a ``"module:function"`` of the package.

    Raises
    ------
    InputError
        The message begins with `where`.
    """
    module, colon, name = target.partition(":") if isinstance(target, str) else ("", "", "")
    if not (module and colon and name):
        raise InputError(f"{where} is {target!r}; expected a text, 'module:function'.")
    if module.partition(".")[0] != package.partition(".")[0]:
        raise InputError(f"{where} is {target!r}; only functions of {package} may be called.")


def find_target(target: str, package: str, where: str) -> Any:
    """Import the function ``"module:function"`` of the package; errors as in `check_target`."""
    check_target(target, package, where)
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)

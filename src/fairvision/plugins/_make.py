"""Last step: import what a descriptor names, and build it."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

from fairvision.exceptions import InputError, PluginError, UnknownNameError
from fairvision.plugins._load import how_to_install
from fairvision.plugins._text import clean, closest, describe
from fairvision.plugins._values import Registered, RegisteredMethod

#: The preset by default, of the methods that have it.
QUICK = "quick"
_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def resolve(target: str | Registered[Any]) -> Any:
    """Import what a target names and return it.

    Parameters
    ----------
    target : str or Registered
        ``"package.module:Name"``, or anything that the registry holds.

    Raises
    ------
    PluginError
        If it cannot be imported. The message names the distribution, where it is
        known, and what to do.
    """
    registered = target if isinstance(target, Registered) else None
    path = target.target if isinstance(target, Registered) else target
    try:
        return pkgutil.resolve_name(path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a SystemExit at import is the plugin's fault, too
        raise PluginError(_cannot_import(path, registered, error)) from error


def _cannot_import(path: str, registered: Registered[Any] | None, error: BaseException) -> str:
    message = f"{clean(path)} cannot be imported: {describe(error)}."
    if registered is None:
        return message
    message = f"The {registered.kind} {registered.name!r} of {registered.origin}: {message}"
    if isinstance(error, ModuleNotFoundError):
        return f"{message} {how_to_install(error, registered.origin)}"
    return f"{message} Tell the authors of {registered.origin.distribution}."


def build(method: RegisteredMethod, preset: str | None, params: Mapping[str, Any]) -> Any:
    """Return an unfitted object of the method: its preset first, then `params` over it."""
    chosen = _preset(method, preset)
    target = resolve(method)
    try:
        accepted = inspect.signature(target).parameters
    except (TypeError, ValueError) as error:
        message = f"{method.target} of {method.origin} is not a class: {describe(error)}."
        raise PluginError(message) from error
    values = {**chosen, **params}
    keywords = {name: p for name, p in accepted.items() if p.kind in _KEYWORDS}
    if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        _check_preset(method, preset, chosen, keywords)
        _check_params(method, params, keywords)
    missing = [n for n, p in keywords.items() if p.default is p.empty and n not in values]
    if missing:
        call = ", ".join([repr(method.name), *(f"{name}=..." for name in missing)])
        raise InputError(f"{method.name!r} needs {' and '.join(missing)}: make({call}).")
    return target(**values)


def _preset(method: RegisteredMethod, preset: str | None) -> Mapping[str, Any]:
    if preset is None or (preset == QUICK and QUICK not in method.presets):
        return {}
    if preset in method.presets:
        return method.presets[preset]
    known = ", ".join(map(repr, method.presets)) or "none"
    raise UnknownNameError(f"{method.name!r} has no preset {preset!r}. Its presets: {known}.")


def _check_preset(
    method: RegisteredMethod, preset: str | None, chosen: Iterable[str], keywords: Iterable[str]
) -> None:
    unknown = sorted(set(map(str, chosen)) - set(keywords))
    if unknown:
        raise PluginError(
            f"The preset {preset!r} of {method.name!r} sets {', '.join(unknown)}, which "
            f"{method.target} does not take. Tell the authors of {method.origin}."
        )


def _check_params(method: RegisteredMethod, params: Iterable[str], keywords: Iterable[str]) -> None:
    for name in params:
        if name not in keywords:
            raise InputError(
                f"{method.name!r} has no parameter {name!r}.{closest(name, keywords)} "
                f"It takes: {', '.join(sorted(keywords)) or 'none'}."
            )

"""Methods and their parameters on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import reduce
from typing import Any

import click

from fairvision.exceptions import InputError
from fairvision.plugins import describe, resolve

Decorator = Callable[[Any], Any]


def all_of(*options: Decorator) -> Decorator:
    """One decorator that adds all of them to a command, in their order."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


method_options = all_of(
    click.option(
        "--preset", default="quick", help="Preset of each method that has it; '' for none."
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="METHOD.PARAMETER=VALUE",
        help="A parameter of a method; may be repeated.",
    ),
)


_PYTHON = {"None": None, "True": True, "False": False}


def _value(text: str) -> Any:
    """The value of a parameter: parsed if it is JSON, or as Python writes it, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return _PYTHON.get(text, text)


def settings_of(entries: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """``jlu.alpha=0.4`` as {"jlu": {"alpha": 0.4}}."""
    settings: dict[str, dict[str, Any]] = {}
    for entry in entries:
        left, equals, value = entry.partition("=")
        owner, dot, name = left.rpartition(".")
        if not equals or not dot or not owner or not name:
            raise click.BadParameter(f"{entry!r}; write METHOD.PARAMETER=VALUE.")
        settings.setdefault(owner, {})[name] = _value(value)
    return settings


def estimator_of(entry: str) -> tuple[str, Any]:
    """``mine=package.module:factory`` as ("mine", the estimator that the factory returns)."""
    label, equals, target = entry.partition("=")
    if not label or not equals or ":" not in target:
        raise click.BadParameter(f"{entry!r}; write NAME=PACKAGE.MODULE:FACTORY.")
    if "" not in sys.path:  # as `python -m` does: a module of the working directory
        sys.path.insert(0, "")
    factory = resolve(target)
    try:
        return label, factory()
    except Exception as error:  # the factory may do anything
        raise InputError(
            f"--method {label}: {target}() fails: {describe(error)}. A factory takes no "
            "arguments and returns an unfitted estimator."
        ) from error

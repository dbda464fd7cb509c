"""Checks of parameters, which `fit` makes before it does anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

from fairvision.exceptions import InputError

__all__ = ["check_choices", "check_numbers", "did_you_mean"]


def check_choices(owner: Any, **choices: Sequence[Any]) -> None:
    """Refuse parameters that are none of their choices.

    Parameters
    ----------
    owner : object
        Has the parameters as attributes.
    **choices
        What each parameter may be, by its name.

    Raises
    ------
    InputError
        Naming the parameter, its value and the choices.
    """
    for name, allowed in choices.items():
        if (value := getattr(owner, name)) not in allowed:
            known = ", ".join(map(repr, allowed))
            raise InputError(f"{name} is {value!r}; pass one of {known}.")


def check_numbers(
    owner: Any,
    *names: str,
    low: float = 0,
    high: float = math.inf,
    whole: bool = False,
    optional: bool = False,
) -> None:
    """Refuse parameters that are no numbers, or lie outside a range.

    Parameters
    ----------
    owner : object
        Has the parameters as attributes.
    *names : str
    low, high : float
        The ends, which a parameter may reach.
    whole : bool
        Whether only an int will do.
    optional : bool
        Whether None passes.

    Raises
    ------
    InputError
        Naming the parameter, its value and the range.
    """
    kind: Any = Integral if whole else Real
    for name in names:
        value = getattr(owner, name)
        fits = isinstance(value, kind) and low <= value <= high
        if not fits and not (optional and value is None):
            span = f"of {low} or more" if high == math.inf else f"from {low} to {high}"
            raise InputError(
                f"{name} is {value!r}; pass {'an int' if whole else 'a number'} {span}."
            )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"Did you mean head or trunk?"``: the closest of the known names; empty if none is close."""
    close = get_close_matches(name, list(known), n=3)
    return f"Did you mean {' or '.join(close)}?" if close else ""

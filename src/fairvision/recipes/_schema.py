"""The schema of a recipe's file: its keys, and the kind of each value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairvision.exceptions import InputError

#: The parameters of `fairvision.compare` that a recipe may set.
COMPARE = (
    "confounding", "counterexamples", "balanced_baseline", "n_train", "n_test", "test_size",
    "max_epochs", "n_boot",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A TOML table: kinds by key, the kind of any other key, and the keys it must have."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    other: Any = None
    required: tuple[str, ...] = ()


# A block is also a folder: its name is one step down in every file system.
_FOLDER = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,99}")
_ANY = object()
_SETTINGS = {
    "load": Table(other=_ANY),
    "compare": Table(dict.fromkeys(COMPARE, _ANY)),
    "params": Table(other=Table(other=_ANY)),
    "prepare": str,
    "rows": [str],
    "features": Table(other=_ANY),
}
_BLOCK = Table({"name": _FOLDER, "group": str, **_SETTINGS}, required=("name",))
_SCALE = {**_SETTINGS, "preset": str, "seeds": int, "deviations": [str], "block": [_BLOCK]}
_FIGURE = {"name": str, "title": str, "draw": str, "blocks": [str], "rows": [str]}
_RECIPE = {
    "title": str,
    "method": str,
    "table": str,
    "claim": str,
    "deviations": [str],
    "measure": [
        Table({"name": str, "title": str, "scale": float, "digits": int}, None, ("name", "title"))
    ],
    "row": [
        Table({"label": str, "method": str, "params": Table(other=_ANY)}, None, ("label", "method"))
    ],
    "figure": [Table(_FIGURE, None, ("name", "title", "draw"))],
    "data": Table(other=Table(_SCALE, other=Table(_SCALE))),
    "paper": Table(other=Table(other=Table(other=float))),
}
RECIPE = Table(_RECIPE, required=("title", "method", "table", "claim", "measure", "row", "data"))
#: The keys of a data set in a recipe; every other key is a scale.
DATA_KEYS = frozenset(_SCALE)
_WORDS = {str: "a text", int: "a whole number from 0", float: "a number"}


def check(value: Any, kind: Any, place: str, key: str = "", separator: str = ", ") -> None:
    """Compare a value, and everything in it, with its kind in the schema.

    Raises
    ------
    InputError
        Naming the place, the value, and the expected kind.
    """
    if isinstance(kind, Table):
        _require(isinstance(value, dict), place, key, value, "a table")
        if key:
            place, separator = f"{place}{separator}{key}", "."
        if kind.other is None:
            check_keys(value, kind.keys, place)
        for name in {**dict.fromkeys(kind.required), **value}:
            check(value.get(name), kind.keys.get(name, kind.other), place, name, separator)
    elif isinstance(kind, list):
        _require(isinstance(value, list), place, key, value, "a list")
        for item in value:
            check(item, kind[0], place, key, separator)
    elif isinstance(kind, re.Pattern):
        fits = isinstance(value, str) and kind.fullmatch(value) is not None
        _require(fits, place, key, value, "a text that can name a folder")
    elif kind is not _ANY:
        _require(_is(value, kind), place, key, value, _WORDS[kind])


def check_keys(table: Mapping[str, Any], known: Any, place: str) -> None:
    """Refuse keys that are not known.

    Raises
    ------
    InputError
        Naming the place and the keys.
    """
    if unknown := sorted(table.keys() - known):
        raise InputError(f"{place} has {', '.join(unknown)}; it may have {sorted(known)}.")


def _is(value: Any, kind: type) -> bool:
    if kind is str or isinstance(value, bool):
        return kind is str and isinstance(value, str) and value != ""
    if kind is int:
        return isinstance(value, int) and 0 <= value < 10**9
    return isinstance(value, (int, float)) and abs(value) < 1e300  # nor NaN


def _require(condition: bool, place: str, key: str, value: Any, expected: str) -> None:
    if not condition:
        raise InputError(f"{place} has {key} = {repr(value)[:200]}; expected {expected}.")

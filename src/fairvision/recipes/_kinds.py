"""Of what kind each value of a recipe's file is, checked before anything else looks at it."""

from __future__ import annotations

import re
from typing import Any

from fairvision.exceptions import InputError

__all__ = ["RECIPE", "check_kinds"]

#: A name that is also a folder's: one step down, whatever the file system.
PLACE = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,99}")

_BLOCK = {
    "name": PLACE, "group": str, "load": {}, "compare": {}, "params": {"*": {}}, "prepare": str,
    "rows": [str],
}  # fmt: skip
_SCALE = {
    "load": {}, "compare": {}, "params": {"*": {}}, "prepare": str, "preset": str, "seeds": int,
    "rows": [str], "deviations": [str], "block": [_BLOCK],
}  # fmt: skip
#: A dict is a table ("*": any other key), a list an array; nothing is said of keys left out.
RECIPE: dict[str, Any] = {
    "title": str, "method": str, "table": str, "claim": str, "deviations": [str],
    "measure": [{"name": str, "title": str, "scale": float, "digits": int}],
    "row": [{"label": str, "method": str, "params": {}}],
    "figure": [{"name": str, "title": str, "draw": str, "blocks": [str], "rows": [str]}],
    "data": {"*": {**_SCALE, "*": _SCALE}},
    "paper": {"*": {"*": {"*": float}}},
}  # fmt: skip
_WORDS = {str: "a text", int: "a whole number from 0", float: "a number"}


def check_kinds(found: Any, kinds: Any, where: str, key: str = "") -> None:
    """Refuse a value of another kind than the one in its place.

    Raises
    ------
    InputError
        Naming the place, what stands there, and what is expected.
    """
    if isinstance(kinds, dict):
        _require(isinstance(found, dict), where, key, found, "a table")
        inside = f"{where}, {key}" if key else where
        for name, value in found.items():
            kind = kinds.get(name, kinds.get("*"))
            if kind is not None:
                check_kinds(value, kind, inside, name)
    elif isinstance(kinds, list):
        _require(isinstance(found, list), where, key, found, "a list")
        for value in found:
            check_kinds(value, kinds[0], where, key)
    elif isinstance(kinds, re.Pattern):
        fits = isinstance(found, str) and kinds.fullmatch(found) is not None
        _require(fits, where, key, found, "a text that can name a folder")
    else:
        _require(_is(found, kinds), where, key, found, _WORDS[kinds])


def _is(value: Any, kind: type) -> bool:
    if kind is str or isinstance(value, bool):
        return isinstance(value, str) and kind is str
    if kind is int:
        return isinstance(value, int) and 0 <= value < 10**9
    return isinstance(value, (int, float)) and abs(value) < 1e300  # nor NaN


def _require(holds: bool, where: str, key: str, found: Any, what: str) -> None:
    if not holds:
        raise InputError(f"{where} has {key} = {repr(found)[:200]}; expected {what}.")

"""The differences between two requests, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fairvision.plugins import clean

__all__ = ["changes"]

# A hash, or an object that `serialization.plain` replaced by its type and a hash.
_HASH = re.compile(r"([\w.<>]+ )?[0-9a-f]{16,}")


def changes(old: Mapping[str, Any], new: Mapping[str, Any], method: str = "") -> list[str]:
    """Name each difference: ``"labels changed"``, ``"erm: lr was 0.1 and is 0.2"``.

    Parameters
    ----------
    old, new : mapping
        Of `Plan.request` or `Plan.common`.
    method : str
        The label of the method.
    """
    before, after = _flat(old), _flat(new)
    keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
    return [_words(key, before.get(key), after.get(key), method) for key in keys]


def _words(key: str, old: Any, new: Any, method: str) -> str:
    room, _, rest = key.partition(".")
    if room == "method":
        key = f"{clean(method, limit=60)}: {rest.replace('params.', '')}"
    if isinstance(old or new, str) and _HASH.fullmatch(old or new):
        return f"{key.removeprefix('dataset.')} changed"
    return f"{key} was {_short(old)} and is {_short(new)}"


def _short(value: Any) -> str:
    return "not given" if value is None else clean(repr(value), limit=80)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        flat |= _flat(item, f"{name}.") if isinstance(item, Mapping) else {name: item}
    return flat

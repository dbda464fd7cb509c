"""Words for people: third-party text made safe to print, and the names closest to a typo."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_STYLING = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_SEPARATORS = re.compile(r"[-_.]+")


def clean(text: object, limit: int = 400) -> str:
    """Return `text` as one printable line of at most `limit` characters.

    Escape sequences, control characters, newlines and marks that reorder text
    are taken out, so what a stranger wrote cannot steer the reader's terminal.
    """
    printable = "".join(c if c.isprintable() else " " for c in _STYLING.sub("", str(text)))
    printable = " ".join(printable.split())
    return printable if len(printable) <= limit else printable[: limit - 3] + "..."


def describe(error: BaseException) -> str:
    """Return "Type: message" of an exception, even of one that cannot be shown."""
    try:
        message = str(error)
    except Exception:  # a stranger's __str__ may do anything
        message = "(its message cannot be shown)"
    return clean(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def closest(name: str, names: Iterable[str]) -> str:
    """Return " Closest: 'a', 'b'." for the names most like `name`, or nothing."""
    matches = difflib.get_close_matches(name.lower(), sorted(set(names)), n=3)
    return f" Closest: {', '.join(map(repr, matches))}." if matches else ""


def normalise(name: str) -> str:
    """Return a distribution's name as installers compare it: Fair_Vision is fair-vision."""
    return _SEPARATORS.sub("-", name).lower()

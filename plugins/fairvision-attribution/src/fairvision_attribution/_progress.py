"""A bar on stderr, where one was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["progress"]

Item = TypeVar("Item")


def progress(items: Sequence[Item], what: str, *, show: bool) -> Iterator[Item]:
    """Go through the items, with a bar if `show`."""
    if not show:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=what, console=Console(stderr=True))

"""Batches read while the net computes on the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["read_ahead"]

Part = TypeVar("Part")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Part], Result], parts: Iterable[Part], images: Any
) -> Iterator[Result]:
    """Read each part, in order; one part ahead, in a thread, where the images allow it.

    Parameters
    ----------
    read : callable
    parts : iterable
        What `read` is called with.
    images : array-like
        Where they come from. Those with a true attribute ``reads_in_threads`` are read ahead:
        decoding files leaves the interpreter to others, and is the same in any thread. Arrays
        gain nothing by it, and a data set of others may draw random numbers, whose order counts.

    Yields
    ------
    What `read` returned, or the error that it raised, each in its place.
    """
    if not getattr(images, "reads_in_threads", False):
        yield from map(read, parts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="fairvision-read") as thread:
        coming = None
        for part in parts:
            current, coming = coming, thread.submit(read, part)
            if current is not None:
                yield current.result()
        if coming is not None:
            yield coming.result()

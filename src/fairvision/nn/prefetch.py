"""Read the next batch in a thread while the net computes on the current one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["prefetch"]

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def prefetch(
    read: Callable[[Argument], Result], arguments: Iterable[Argument], images: Any
) -> Iterator[Result]:
    """Like ``map(read, arguments)``, with one result read ahead if the images allow it.

    Parameters
    ----------
    read : callable
    arguments : iterable
    images : array-like
        What `read` reads from. A true attribute ``reads_in_threads`` allows reading in
        another thread, which pays for image files. Arrays gain nothing by it, and other
        sequences may draw random numbers, whose order matters.

    Yields
    ------
    The results, in order. An error of `read` is raised in place of its result. A consumer that
    stops early does not wait for a read in progress.
    """
    if not getattr(images, "reads_in_threads", False):
        yield from map(read, arguments)
        return
    thread = ThreadPoolExecutor(1, thread_name_prefix="fairvision-read")
    wait, pending, error = True, None, None
    iterator = iter(arguments)
    try:
        while error is None:
            ahead = None
            try:
                ahead = thread.submit(read, next(iterator))
            except Exception as raised:  # StopIteration among them: what was read comes first
                error = raised
            if pending is not None:
                yield pending.result()
            pending = ahead
    except (GeneratorExit, KeyboardInterrupt):
        # The garbage collector may close it anywhere, even while a thread starts and holds the
        # lock that waiting for a thread needs.
        wait = False
        raise
    finally:
        thread.shutdown(wait=wait, cancel_futures=True)
    if not isinstance(error, StopIteration):
        raise error

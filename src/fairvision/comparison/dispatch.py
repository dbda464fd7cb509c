"""Tasks in the worker processes of a backend. What is lost with its worker is done again."""

from __future__ import annotations

import builtins
import os
import signal
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from threading import current_thread, main_thread
from time import sleep
from typing import Any

from fairvision.comparison.backends import Backend, Pool, Work
from fairvision.exceptions import RunError
from fairvision.plugins import describe

__all__ = ["Lost", "map_unordered"]


@dataclass(frozen=True)
class Lost:
    """In place of a task's result: its workers died. `error` is the last one's."""

    error: BaseException


def map_unordered(
    work: Work, data: Any, items: Sequence[Any], backend: Backend
) -> Iterator[tuple[int, Any]]:
    """Call ``work(data, item)`` for each item in worker processes.

    A worker that dies may take tasks with it that only ran beside the one at fault. So what
    was lost is done again after all others, one task at a time.

    Parameters
    ----------
    work : callable
        Raises nothing.
    data : object
        Dask and Ray send it to each worker once. Processes of this machine map its large
        arrays from a file. Any other executor gets it with each task.
    items : sequence
    backend : Backend

    Yields
    ------
    (int, object)
        Number of the item and result, as they finish, each number once; `Lost` for a task
        that was lost `MAX_TRIES` times.

    Raises
    ------
    RunError
        If a cluster cannot be reached, or a task cannot be sent.
    """
    waiting, lost, losses = deque(range(len(items))), deque[int](), Counter[int]()
    with _restored(), backend.open(data, len(items)) as pool:
        running = dict[Any, int]()
        try:
            while waiting or lost or running:
                while (waiting and len(running) < pool.n_jobs) or (lost and not running):
                    i = (waiting or lost).popleft()
                    running[_submit(pool, work, items[i])] = i
                for future in _wait(running):
                    i, error = running.pop(future), _error(future, pool.deaths)
                    losses[i] += error is not None
                    if error is None:
                        yield i, future.result()
                    elif losses[i] == pool.max_tries:
                        yield i, Lost(error)
                    else:
                        lost.append(i)
        finally:
            for future in running:
                future.cancel()


def _submit(pool: Pool, work: Work, item: Any) -> Any:
    try:
        return pool.submit(work, item)
    except Exception as error:
        raise RunError(
            f"the executor takes no more runs ({describe(error)}). Finished runs are kept: run the "
            "same command again."
        ) from error


def _wait(running: Mapping[Any, int]) -> list[Any]:
    """Wait until some of the tasks are done."""
    while not (done := [future for future in running if future.done()]):
        if all(isinstance(future, Future) for future in running):
            wait(running, timeout=1, return_when=FIRST_COMPLETED)
        else:  # the jobs of submitit are no futures
            sleep(1)
    return done


def _error(future: Any, deaths: tuple[type[BaseException], ...]) -> BaseException | None:
    """The death of a task's worker; None if the task ended. Raise any other error."""
    try:
        error: BaseException | None = future.exception()
    except CancelledError as cancelled:
        error = cancelled
    if error is None or isinstance(error, deaths):
        return error
    if not isinstance(error, Exception):  # Ctrl-C reached the worker first
        raise error
    reason = str(error.__cause__ or error).strip('"\n ').rpartition("\n")[2]
    raise RunError(
        f"a run cannot be sent to a worker process, or its result not sent back: {reason}. Classes "
        "of yours must be in a module that can be imported there; or leave n_jobs=1. Finished runs "
        "are kept."
    ) from error


@contextmanager
def _restored() -> Iterator[None]:
    """Put back what Dask and Ray change here: variables, the handler of SIGTERM, and `print`."""
    environment, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    show = builtins.print
    try:
        yield
    finally:
        builtins.print = show
        os.environ.clear()
        os.environ.update(environment)
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, handler)

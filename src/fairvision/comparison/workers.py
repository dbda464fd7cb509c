"""Tasks in worker processes, each done once. A worker that dies is replaced.

joblib drives the processes of this machine. Dask and Ray are driven through their own futures:
joblib's backends for them do not say which task a worker died of, do a single worker's tasks in
this process, and the one for Ray changes a class of joblib's for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from fairvision.comparison.where import DIED, MAX_DEATHS, Where
from fairvision.exceptions import RunError

__all__ = ["spread"]

Work = Callable[[Any, int, Any], tuple[int, Any]]


def spread(
    work: Work, shared: Any, items: Sequence[Any], where: Where
) -> Iterator[tuple[int, Any]]:
    """Call ``work(shared, i, item)`` in worker processes.

    What is shared is not sent with every task: joblib maps large arrays into memory, Dask
    and Ray hand it to each worker once.

    Parameters
    ----------
    work : callable
        Returns ``i, result``. An error that it raises ends everything.
    shared : object
    items : sequence
    where : Where

    Yields
    ------
    (int, object)
        Number of the item and result, in the order of their ends; each number once.
        `DIED` for an item that `MAX_DEATHS` workers died of.
    """
    if where.backend == "loky":
        yield from _loky(work, shared, items, where)
        return
    from fairvision.comparison.clusters import run

    yield from run(work, shared, items, where)


def _loky(work: Work, shared: Any, items: Sequence[Any], where: Where) -> Iterator[tuple[int, Any]]:
    """A death takes all workers with it. What was under way is then done one at a time.

    So it is known who was at fault, and where it was memory there is more of it.
    """
    left, suspects, deaths = list(range(len(items))), list[int](), Counter[int]()
    while left:
        begun, ended = set[int](), set[int]()
        jobs, calls = _jobs(where), _calls(work, shared, items, suspects[:1] or left, begun)
        try:
            for i, result in jobs(calls):
                ended.add(i)
                yield i, result
        except TerminatedWorkerError:
            found = sorted(begun - ended)
            suspects += [i for i in found if i not in suspects]
            deaths.update(found if len(found) == 1 else ())
        except BrokenProcessPool as error:  # nobody died: a worker cannot read what it was sent
            raise RunError(
                "a run cannot be sent to a worker process, or its result not sent back: "
                f"{_last_line(error.__cause__ or error)}. Classes of yours must be in a module "
                "that can be imported there; or leave n_jobs=1. Finished runs are kept."
            ) from error
        for i in (i for i, n in deaths.items() if n == MAX_DEATHS and i in left):
            ended.add(i)
            yield i, DIED
        left, suspects = ([i for i in some if i not in ended] for some in (left, suspects))


def _last_line(error: BaseException) -> str:
    """What a traceback that came as text ends in."""
    lines = [line for line in str(error).splitlines() if line.strip(' "')]
    return lines[-1].strip() if lines else repr(error)


def _jobs(where: Where) -> Any:
    # Two at least, for one would be this process. No task waits behind another in a worker, so
    # that those begun are those under way.
    n_jobs = max(2, where.local_jobs)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=where.n_threads):
        return joblib.Parallel(
            n_jobs, pre_dispatch=n_jobs, batch_size=1, return_as="generator_unordered"
        )


def _calls(
    work: Work, shared: Any, items: Sequence[Any], batch: Sequence[int], begun: set[int]
) -> Iterator[Any]:
    for i in batch:
        begun.add(i)
        yield joblib.delayed(work)(shared, i, items[i])

"""Dask and Ray: a cluster that runs already, or one of this machine's cores."""

from __future__ import annotations

import builtins
import logging
import os
import signal
import socket
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from threading import current_thread, main_thread
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from fairvision.comparison.where import DIED, MAX_DEATHS, Where
from fairvision.exceptions import InputError, RunError

__all__ = ["Pool", "run"]

#: Seconds to wait for a worker, which a batch system may have to start.
_PATIENCE = 300
#: Seconds between two looks at a cluster that says nothing.
_LOOK = 5
_GONE = ("error", "lost", "cancelled")

Work = Callable[[Any, int, Any], tuple[int, Any]]


@dataclass(frozen=True)
class Pool:
    """How to start a task, how many at a time, and which errors say that its worker died.

    The number with an error is how many deaths it stands for. Not exact: tasks that waited
    at the dead worker are blamed, too. `check` is called now and then, and raises where
    nothing can come any more.
    """

    submit: Callable[[int, Any], Future[Any]]
    n_jobs: int
    deadly: Mapping[type[BaseException], int]
    exact: bool = True
    check: Callable[[], None] = lambda: None

    def deaths(self, error: BaseException | None) -> int:
        return next((n for kind, n in self.deadly.items() if isinstance(error, kind)), 0)


def run(work: Work, shared: Any, items: Sequence[Any], where: Where) -> Iterator[tuple[int, Any]]:
    """`fairvision.comparison.workers.spread` on Dask or Ray."""
    if where.address is not None:
        _check_reachable(where)
    start = _dask if where.backend == "dask" else _ray
    with _restored(), start(work, shared, where, len(items)) as pool:
        yield from _futures(pool, items)


def _futures(pool: Pool, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    waiting, suspects = deque(range(len(items))), deque[int]()
    running, deaths, tried = dict[Future[Any], int](), Counter[int](), set[int]()
    try:
        while waiting or suspects or running:
            while waiting and len(running) < pool.n_jobs:
                i = waiting.popleft()
                running[pool.submit(i, items[i])] = i
            if not running:  # nothing else any more: whose worker dies now is at fault itself
                i = suspects.popleft()
                running[pool.submit(i, items[i])] = i
            if not wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED).done:
                pool.check()
            for future in [future for future in running if future.done()]:
                i = running.pop(future)
                died = pool.deaths(_error(future))
                if not died:
                    yield future.result()
                    continue
                deaths[i] += died if pool.exact or i in tried else 0
                tried.add(i)
                if deaths[i] >= MAX_DEATHS:
                    yield i, DIED
                else:
                    (waiting if pool.exact else suspects).append(i)
    finally:
        for future in running:
            future.cancel()


def _error(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        return error


@contextmanager
def _dask(work: Work, shared: Any, where: Where, n_tasks: int) -> Iterator[Pool]:
    from distributed import Client, KilledWorker

    with ExitStack() as stack:
        n_jobs = min(where.local_jobs, n_tasks)
        address = where.address or stack.enter_context(_dask_cluster(where, n_jobs))
        try:
            client = Client(address, set_as_default=False, timeout="20s")
        except (OSError, ValueError) as error:
            raise _unreachable(where, error) from error
        stack.enter_context(client)
        if where.address is not None:
            n_jobs = _places(client, where.n_jobs)
        held: list[Any] = []
        seen = [monotonic()]
        executor = client.get_executor(pure=False)

        def submit(i: int, item: Any) -> Future[Any]:
            try:
                if not held or held[0].status in _GONE:
                    client.wait_for_workers(1, timeout=_PATIENCE)
                    held[:] = [_given(client, shared)]
            except OSError as error:  # no worker comes back, or the scheduler is gone
                raise _deserted(error) from error
            return executor.submit(work, held[0], i, item)

        def check() -> None:
            try:
                some = client.nthreads()
            except OSError as error:
                raise _deserted(error) from error
            seen[0] = monotonic() if some else seen[0]
            if monotonic() - seen[0] > _PATIENCE:
                raise _deserted(f"none for {_PATIENCE} seconds")

        # Somebody's cluster has already tried as often as it is told to.
        deadly = {KilledWorker: 1 if where.address is None else MAX_DEATHS, CancelledError: 1}
        yield Pool(submit, n_jobs, deadly, exact=False, check=check)


def _deserted(why: object) -> RunError:
    said = str(why).rstrip(".")
    return RunError(
        f"the Dask cluster has no worker left: {said}. Finished runs are kept: run the same "
        "command again."
    )


def _given(client: Any, shared: Any) -> Any:
    """The shared data as the result of a task, and a copy of it with every worker.

    What is scattered is gone with the workers that hold it, and whoever waits for it
    waits for ever; the result of a task is made again.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        held = client.submit(_same, shared, pure=False)
    with suppress(Exception):  # a worker that dies meanwhile costs a copy
        client.replicate([held])
    return held


def _same(shared: Any) -> Any:
    return shared


@contextmanager
def _dask_cluster(where: Where, n_jobs: int) -> Iterator[Any]:
    import dask
    from distributed import LocalCluster

    with (
        TemporaryDirectory(prefix="fairvision-") as scratch,
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=n_jobs,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            env=where.environment,
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


def _places(client: Any, n_jobs: int) -> int:
    """How many tasks at a time, of a cluster that runs already."""
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except OSError as error:
        raise RunError(
            f"the Dask cluster has had no worker for {_PATIENCE} seconds. Start one with: "
            "dask worker ADDRESS --nthreads 1"
        ) from error
    threads = client.nthreads()
    if max(threads.values()) > 1:
        raise InputError(
            f"the workers of the Dask cluster have up to {max(threads.values())} threads, and runs "
            "in one process disturb each other. Start them with: dask worker --nthreads 1"
        )
    return len(threads) if n_jobs < 0 else n_jobs


@contextmanager
def _ray(work: Work, shared: Any, where: Where, n_tasks: int) -> Iterator[Pool]:
    import ray
    from ray import exceptions

    n_jobs = min(where.local_jobs, n_tasks)
    with nullcontext() if ray.is_initialized() else _ray_session(where, n_jobs):
        resources = ray.cluster_resources()
        if resources.get("CPU", 0) < where.n_threads:
            raise InputError(
                f"n_threads is {where.n_threads}, and the Ray cluster has "
                f"{resources.get('CPU', 0):g} CPUs. Pass fewer threads."
            )
        if where.n_jobs < 0:
            n_jobs = int(resources["CPU"] // where.n_threads)
        # Ray hides every GPU from a task that asks for none.
        gpus = min(1.0, resources.get("GPU", 0) / n_jobs) if where.gpus else 0
        task = ray.remote(work).options(num_cpus=where.n_threads, num_gpus=gpus, max_retries=0)
        held = ray.put(shared)
        deadly = (
            exceptions.WorkerCrashedError,
            exceptions.OutOfMemoryError,
            exceptions.NodeDiedError,
            exceptions.LocalRayletDiedError,
        )
        yield Pool(
            lambda i, item: task.remote(held, i, item).future(), n_jobs, dict.fromkeys(deadly, 1)
        )


@contextmanager
def _ray_session(where: Where, n_jobs: int) -> Iterator[None]:
    """Join a cluster, or start one that tells nobody of its use."""
    import ray

    local: dict[str, Any] = {
        "address": "local",
        "num_cpus": n_jobs * where.n_threads,
        "include_dashboard": False,
    }
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    # Ray tells of dead workers on stdout, where results may go.
    with redirect_stdout(sys.stderr):
        os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", **where.environment})
        try:
            ray.init(**(local if where.address is None else {"address": where.address}), **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _unreachable(where, error) from error
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _restored() -> Iterator[None]:
    """Put back what clusters change here: variables, who answers SIGTERM, and `print` (Ray's)."""
    environment, answer = dict(os.environ), signal.getsignal(signal.SIGTERM)
    show = builtins.print
    try:
        yield
    finally:
        builtins.print = show
        os.environ.clear()
        os.environ.update(environment)
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, answer)


def _check_reachable(where: Where) -> None:
    """Knock, where the address says at which port: Ray by itself tries for many minutes."""
    address = str(where.address)
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        if parts.hostname and parts.port:
            socket.create_connection((parts.hostname, parts.port), timeout=10).close()
    except (OSError, ValueError) as error:
        raise _unreachable(where, error) from error


def _unreachable(where: Where, error: Exception) -> RunError:
    name = "Dask" if where.backend == "dask" else "Ray"
    said = str(error.__cause__ or error).partition("\n")[0][:400].rstrip(".")
    if (
        "RAY_AUTH_MODE is currently" in said
    ):  # since 2.60 `ray start` asks for a token, and drivers send none
        said = "it asks for a token, which is sent with the variable RAY_AUTH_MODE=token"
    at = (
        "on this machine cannot be started"
        if where.address is None
        else (f"at {where.address!r} cannot be reached")
    )
    return RunError(f"the {name} cluster {at}: {said}. Nothing was run.")

"""Tasks in worker processes: loky's, Dask's, Ray's, or any `concurrent.futures.Executor`.

A task that is lost with its worker is repeated.
"""

from __future__ import annotations

import builtins
import importlib.util
import logging
import os
import signal
import socket
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import current_thread, main_thread
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import joblib
import numpy as np

from fairvision.exceptions import InputError, RunError
from fairvision.plugins import describe

__all__ = ["MAX_TRIES", "Backend", "Lost", "map_unordered"]

#: A task that was lost with its worker this often is not tried again.
MAX_TRIES = 3
#: Seconds for which an idle worker of this machine waits for the next comparison.
_KEEP_IDLE = 300
#: Workers of this machine map arrays of at least this size from a file.
_MIN_MAPPED_BYTES = 2**20
_MODULES = {"loky": "joblib", "dask": "distributed", "ray": "ray"}

Work = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Backend:
    """Where the runs of a comparison are executed.

    Parameters
    ----------
    n_jobs : int
        Runs at a time; -1 for one a core, or for as many as a cluster takes.
    name : {"loky", "dask", "ray"}
    address : str or None
        Of a running cluster; None starts workers on this machine.
    n_threads : int
        CPU threads of a run.
    gpus : bool
        Whether a run may use a GPU.
    executor : concurrent.futures.Executor or None
        Executes the runs instead. Only its `submit` is called, so an executor of submitit works.

    Raises
    ------
    InputError
        For a backend that is unknown or not installed, an address that it cannot use,
        or an executor of threads.
    """

    n_jobs: int = 1
    name: str = "loky"
    address: str | None = None
    n_threads: int = 1
    gpus: bool = True
    executor: Any = None

    def __post_init__(self) -> None:
        name, module = self.name, _MODULES.get(self.name)
        if self.n_jobs == 0:
            raise InputError("n_jobs is 0; pass 1 or more, or -1 for one per core.")
        if module is None:
            raise InputError(f"backend is {name!r}; pass one of {', '.join(_MODULES)}.")
        if importlib.util.find_spec(module) is None:
            install = f"pip install 'fairvision[{name}]'"
            raise InputError(f"backend {name!r} needs {module}. Run: {install}")
        if self.address is not None and name == "loky":
            raise InputError(
                f"address is {self.address!r}, but 'loky' works on this machine only. Pass "
                "backend='dask' or 'ray' with it."
            )
        if self.executor is None:
            return
        if (self.n_jobs, name) != (1, "loky"):
            raise InputError(
                "executor replaces n_jobs, backend and address. Leave these out, or leave out "
                "executor."
            )
        if isinstance(self.executor, ThreadPoolExecutor) or not hasattr(self.executor, "submit"):
            raise InputError(
                f"executor is a {type(self.executor).__name__}. Pass a concurrent.futures.Executor "
                "of processes: runs in threads would share their random generators."
            )

    @property
    def local_jobs(self) -> int:
        """Runs at a time on this machine."""
        return int(joblib.effective_n_jobs(self.n_jobs))

    @property
    def remote(self) -> bool:
        """Whether the workers belong to a cluster or to a given executor."""
        return self.address is not None or self.executor is not None

    def in_process(self, n_tasks: int) -> bool:
        """Whether this process executes the runs itself."""
        return not self.remote and self.name == "loky" and min(self.local_jobs, n_tasks) < 2

    def open(self, data: Any, n_tasks: int) -> AbstractContextManager[Pool]:
        """Start the workers, or connect to them, and hand them the data."""
        open_pool = {"loky": _loky, "dask": _dask, "ray": _ray}[self.name]
        return (open_pool if self.executor is None else _other)(self, data, n_tasks)

    def environment(self) -> dict[str, str]:
        """Variables that limit a worker's libraries to its threads."""
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return dict.fromkeys(names, str(self.n_threads))


@dataclass(frozen=True)
class Pool:
    """A function that submits a task, the number of tasks at a time, a dead worker's errors."""

    submit: Callable[[Work, Any, Any], Any]
    data: Any
    n_jobs: int
    deaths: tuple[type[BaseException], ...]
    max_tries: int = MAX_TRIES


@contextmanager
def _other(backend: Backend, data: Any, n_tasks: int) -> Iterator[Pool]:
    yield Pool(backend.executor.submit, data, n_tasks, (Exception,))


@contextmanager
def _loky(backend: Backend, data: Any, n_tasks: int) -> Iterator[Pool]:
    """Processes of this machine. One that dies takes the others with it."""
    from joblib.executor import get_memmapping_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    n_jobs, environment = min(backend.local_jobs, n_tasks), backend.environment()

    # loky keeps one pool a process, and older joblibs fail on one that is not of their own kind.
    def executor() -> Any:  # a new one where the last one broke
        return get_memmapping_executor(n_jobs, timeout=_KEEP_IDLE, env=environment)

    with TemporaryDirectory(prefix="fairvision-", ignore_cleanup_errors=True) as folder:
        data, deaths = _mapped(data, Path(folder)), (TerminatedWorkerError,)
        try:
            yield Pool(lambda *task: executor().submit(*task), data, n_jobs, deaths)
        except BaseException:
            executor().shutdown(kill_workers=True)
            raise


def _mapped(data: Any, folder: Path) -> Any:
    """`data`, an array or a mapping, with its large arrays in files: joblib sends their names."""
    if isinstance(data, Mapping):
        return type(data)(**{key: _mapped(value, folder) for key, value in data.items()})
    if type(data) is not np.ndarray or data.nbytes < _MIN_MAPPED_BYTES or data.dtype.hasobject:
        return data
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, data)
    return np.load(path, mmap_mode="r", allow_pickle=False)


@contextmanager
def _dask(backend: Backend, data: Any, n_tasks: int) -> Iterator[Pool]:
    from distributed import Client, KilledWorker

    n_jobs, max_tries = min(backend.local_jobs, n_tasks), MAX_TRIES
    if backend.address is not None:
        # Such a cluster says that a worker was killed after several tries of its own.
        n_jobs, max_tries = n_tasks if backend.n_jobs < 0 else backend.n_jobs, 2
    with ExitStack() as stack:
        with _reaching(backend):
            address = backend.address or stack.enter_context(_dask_cluster(backend, n_jobs))
            client = stack.enter_context(Client(address, set_as_default=False, timeout="20s"))
        if any(n > 1 for n in client.nthreads().values()):
            raise InputError(
                "a worker of the Dask cluster has several threads, but a process does one run at "
                "a time. Start workers with: dask worker --nthreads 1"
            )
        executor, copies = client.get_executor(pure=False), list[Any]()

        def submit(work: Work, data: Any, item: Any) -> Any:
            # The result of a task, which workers fetch of one another: what is scattered is gone
            # with the workers that hold it.
            if not copies or copies[0].status in ("error", "lost", "cancelled"):
                # Dask warns that a large graph is sent.
                with warnings.catch_warnings(action="ignore", category=UserWarning):
                    copies[:] = [client.submit(lambda data: data, data, pure=False)]
            return executor.submit(work, copies[0], item)

        yield Pool(submit, data, n_jobs, (KilledWorker, CancelledError), max_tries)
        if backend.address is None:
            # Dask cannot close a worker that it is just starting in place of a killed one.
            with suppress(TimeoutError):
                client.wait_for_workers(n_jobs, timeout=20)


def _dask_cluster(backend: Backend, n_jobs: int) -> Any:
    import dask
    from distributed import LocalCluster

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        return LocalCluster(
            n_workers=n_jobs,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",
            env=backend.environment(),
            silence_logs=logging.CRITICAL,
        )


@contextmanager
def _ray(backend: Backend, data: Any, n_tasks: int) -> Iterator[Pool]:
    import ray

    n_jobs, n_threads = min(backend.local_jobs, n_tasks), backend.n_threads
    with ExitStack() as stack:
        if not ray.is_initialized():
            # It reports dead workers on stdout, which is for results.
            stack.enter_context(redirect_stdout(sys.stderr))
            os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", **backend.environment()})
            cluster_options = {"num_cpus": n_jobs * n_threads, "include_dashboard": False}
            options: dict[str, Any] = {} if backend.address else cluster_options
            address = backend.address or "local"
            with _reaching(backend):
                ray.init(address, **options, log_to_driver=False, configure_logging=False)
            stack.callback(ray.shutdown)
        resources = ray.cluster_resources()
        if resources.get("CPU", 0) < n_threads:
            raise InputError(
                f"n_threads is {n_threads}, and the Ray cluster has {resources.get('CPU', 0):g} "
                "CPUs. Pass fewer threads."
            )
        if backend.n_jobs < 0:
            n_jobs = int(resources["CPU"] // n_threads)
        # Ray hides every GPU from a task that asks for none.
        n_gpus = min(1.0, resources.get("GPU", 0) / n_jobs) if backend.gpus else 0
        call: Any = ray.remote(lambda work, data, item: work(data, item))
        call = call.options(num_cpus=n_threads, num_gpus=n_gpus, max_retries=0)
        deaths = (ray.exceptions.RayError,)
        yield Pool(lambda *task: call.remote(*task).future(), ray.put(data), n_jobs, deaths)


@contextmanager
def _reaching(backend: Backend) -> Iterator[None]:
    """Connect where the address names a port: Ray by itself tries for many minutes."""
    address = backend.address or ""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        if parts.hostname and parts.port:
            socket.create_connection((parts.hostname, parts.port), timeout=10).close()
        yield
    except (OSError, ValueError, RuntimeError) as error:
        place = f"at {address!r}" if address else "on this machine"
        raise RunError(
            f"the {backend.name.title()} cluster {place} cannot be reached: "
            f"{describe(error.__cause__ or error)}. Nothing was run."
        ) from error


@dataclass(frozen=True)
class Lost:
    """Replaces the result of a task whose workers died; `error` is from the last worker."""

    error: BaseException


def map_unordered(
    work: Work, data: Any, items: Sequence[Any], backend: Backend
) -> Iterator[tuple[int, Any]]:
    """Call ``work(data, item)`` for each item in worker processes.

    A worker that dies may also lose tasks that did not cause its death. So lost tasks are
    repeated after all others, one at a time.

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
    waiting, lost_items, losses = deque(range(len(items))), deque[int](), Counter[int]()
    with _restored(), backend.open(data, len(items)) as pool:
        running = dict[Any, int]()
        try:
            while waiting or lost_items or running:
                while (waiting and len(running) < pool.n_jobs) or (lost_items and not running):
                    i = (waiting or lost_items).popleft()
                    running[_submit(pool, work, items[i])] = i
                for future in _wait(running):
                    i, error = running.pop(future), _error(future, pool.deaths)
                    losses[i] += error is not None
                    if error is None:
                        yield i, future.result()
                    elif losses[i] == pool.max_tries:
                        yield i, Lost(error)
                    else:
                        lost_items.append(i)
        finally:
            for future in running:
                future.cancel()


def _submit(pool: Pool, work: Work, item: Any) -> Any:
    try:
        return pool.submit(work, pool.data, item)
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
        f"a run cannot be sent to a worker process, or its result cannot be sent back: {reason}. "
        "Define your classes in a module that the worker can import, or pass n_jobs=1. Finished "
        "runs are kept."
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

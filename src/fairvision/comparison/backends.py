"""Where runs are done: loky's processes, Dask, Ray, or any `concurrent.futures.Executor`."""

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
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
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
    """Where the runs of a comparison are done.

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
        Takes the runs instead. Only its `submit` is called, so submitit's will do.

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
        if self.n_jobs == 0:
            raise InputError("n_jobs is 0; pass 1 or more, or -1 for one a core.")
        if self.name not in _MODULES:
            raise InputError(f"backend is {self.name!r}; pass one of {', '.join(_MODULES)}.")
        if importlib.util.find_spec(_MODULES[self.name]) is None:
            raise InputError(
                f"backend {self.name!r} needs {_MODULES[self.name]}. "
                f"Run: pip install 'fairvision[{self.name}]'"
            )
        if self.address is not None and self.name == "loky":
            raise InputError(
                f"address is {self.address!r}, but 'loky' works on this machine only. Pass "
                "backend='dask' or 'ray' with it."
            )
        if self.executor is not None:
            self._check_executor()

    def _check_executor(self) -> None:
        if (self.n_jobs, self.name, self.address) != (1, "loky", None):
            raise InputError(
                "executor decides where runs go and how many at a time. Leave out n_jobs, "
                "backend and address."
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
        """Whether the workers are started by somebody else."""
        return self.address is not None or self.executor is not None

    def in_process(self, n_tasks: int) -> bool:
        """Whether this process does the runs itself."""
        return not self.remote and self.name == "loky" and min(self.local_jobs, n_tasks) < 2

    def environment(self) -> dict[str, str]:
        """Variables that limit a worker's libraries to its threads."""
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return dict.fromkeys(names, str(self.n_threads))


@dataclass(frozen=True)
class Lost:
    """In place of a task's result: its workers died. `error` is the last one's."""

    error: BaseException


@dataclass(frozen=True)
class _Pool:
    """How to submit a task, how many at a time, and which errors mean that its worker died."""

    submit: Callable[[Work, Any], Any]
    n_jobs: int
    deaths: tuple[type[BaseException], ...]
    max_tries: int = MAX_TRIES


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
    pools = {"loky": _loky, "dask": _dask, "ray": _ray}
    open_pool = pools[backend.name] if backend.executor is None else _other
    with _restored(), open_pool(backend, data, len(items)) as pool:
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


def _submit(pool: _Pool, work: Work, item: Any) -> Any:
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
def _other(backend: Backend, data: Any, n_tasks: int) -> Iterator[_Pool]:
    def submit(work: Work, item: Any) -> Any:
        return backend.executor.submit(work, data, item)

    yield _Pool(submit, n_tasks, (Exception,))


@contextmanager
def _loky(backend: Backend, data: Any, n_tasks: int) -> Iterator[_Pool]:
    """Processes of this machine. One that dies takes the others with it."""
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    n_jobs, environment = min(backend.local_jobs, n_tasks), backend.environment()

    def executor() -> Any:  # a new one where the last one broke
        return get_reusable_executor(n_jobs, timeout=_KEEP_IDLE, env=environment)

    with TemporaryDirectory(prefix="fairvision-", ignore_cleanup_errors=True) as folder:
        data = _mapped(data, Path(folder))

        def submit(work: Work, item: Any) -> Any:
            return executor().submit(work, data, item)

        try:
            yield _Pool(submit, n_jobs, (TerminatedWorkerError,))
        except BaseException:
            executor().shutdown(kill_workers=True)
            raise


def _mapped(data: Any, folder: Path) -> Any:
    """`data`, an array or a mapping, with its large arrays in files."""
    if isinstance(data, Mapping):
        return type(data)(**{key: _mapped(value, folder) for key, value in data.items()})
    if type(data) is not np.ndarray or data.nbytes < _MIN_MAPPED_BYTES or data.dtype.hasobject:
        return data
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, data)
    return _Mapped(path)


@dataclass(frozen=True)
class _Mapped:
    """An array in a file. Who unpickles this gets a memory map of it."""

    path: Path

    def __reduce__(self) -> Any:
        return _map, (self.path,)


def _map(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)


@contextmanager
def _dask(backend: Backend, data: Any, n_tasks: int) -> Iterator[_Pool]:
    from distributed import Client, KilledWorker

    n_jobs, max_tries = min(backend.local_jobs, n_tasks), MAX_TRIES
    if backend.address is not None:
        # Such a cluster says that a worker was killed after several tries of its own.
        n_jobs, max_tries = n_tasks if backend.n_jobs < 0 else backend.n_jobs, 2
    with ExitStack() as stack:
        try:
            _check_reachable(backend.address)
            address = backend.address or stack.enter_context(_dask_cluster(backend, n_jobs))
            client = stack.enter_context(Client(address, set_as_default=False, timeout="20s"))
        except (OSError, ValueError) as error:
            raise _unreachable(backend, error) from error
        if any(n > 1 for n in client.nthreads().values()):
            raise InputError(
                "a worker of the Dask cluster has several threads, but a process does one run at "
                "a time. Start workers with: dask worker --nthreads 1"
            )
        executor, copies = client.get_executor(pure=False), list[Any]()

        def submit(work: Work, item: Any) -> Any:
            # The result of a task: what is scattered is gone with the workers that hold it.
            if not copies or copies[0].status in ("error", "lost", "cancelled"):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
                    copies[:] = [client.submit(_identity, data, pure=False)]
                with suppress(Exception):  # a worker without a copy fetches one
                    client.replicate(copies)
            return executor.submit(work, copies[0], item)

        yield _Pool(submit, n_jobs, (KilledWorker, CancelledError), max_tries)


def _identity(data: Any) -> Any:
    return data


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
def _ray(backend: Backend, data: Any, n_tasks: int) -> Iterator[_Pool]:
    import ray

    n_jobs, n_threads = min(backend.local_jobs, n_tasks), backend.n_threads
    with ExitStack() as stack:
        if not ray.is_initialized():
            stack.enter_context(_ray_session(backend, n_jobs))
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
        call = ray.remote(_call).options(num_cpus=n_threads, num_gpus=n_gpus, max_retries=0)
        stored = ray.put(data)

        def submit(work: Work, item: Any) -> Any:
            return call.remote(work, stored, item).future()

        yield _Pool(submit, n_jobs, (ray.exceptions.RayError,))


def _call(work: Work, data: Any, item: Any) -> Any:
    return work(data, item)


@contextmanager
def _ray_session(backend: Backend, n_jobs: int) -> Iterator[None]:
    """Join a cluster, or start one that reports no usage statistics."""
    import ray

    options: dict[str, Any] = {"address": backend.address}
    if backend.address is None:
        n_cpus = n_jobs * backend.n_threads
        options = {"address": "local", "num_cpus": n_cpus, "include_dashboard": False}
    with redirect_stdout(sys.stderr):  # Ray reports dead workers; results go to stdout
        os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", **backend.environment()})
        try:
            _check_reachable(backend.address)
            ray.init(**options, log_to_driver=False, configure_logging=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise _unreachable(backend, error) from error
        try:
            yield
        finally:
            ray.shutdown()


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


def _check_reachable(address: str | None) -> None:
    """Connect where the address names a port: Ray by itself tries for many minutes."""
    parts = urlsplit(address if address and "//" in address else f"//{address or ''}")
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), timeout=10).close()


def _unreachable(backend: Backend, error: Exception) -> RunError:
    place = "on this machine" if backend.address is None else f"at {backend.address!r}"
    return RunError(
        f"the {backend.name.title()} cluster {place} cannot be reached: "
        f"{describe(error.__cause__ or error)}. Nothing was run."
    )

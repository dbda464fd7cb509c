"""Where runs are done: loky's processes, Dask, Ray, or any `concurrent.futures.Executor`."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    redirect_stdout,
    suppress,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import joblib
import numpy as np

from fairvision.exceptions import InputError, RunError
from fairvision.plugins import describe

__all__ = ["MAX_TRIES", "Backend", "Pool", "Work"]

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

    def open(self, data: Any, n_tasks: int) -> AbstractContextManager[Pool]:
        """Start the workers, or connect to them, and hand them the data."""
        pools = {"loky": _loky, "dask": _dask, "ray": _ray}
        open_pool = pools[self.name] if self.executor is None else _other
        return open_pool(self, data, n_tasks)

    def environment(self) -> dict[str, str]:
        """Variables that limit a worker's libraries to its threads."""
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return dict.fromkeys(names, str(self.n_threads))


@dataclass(frozen=True)
class Pool:
    """How to submit a task, how many at a time, and which errors mean that its worker died."""

    submit: Callable[[Work, Any], Any]
    n_jobs: int
    deaths: tuple[type[BaseException], ...]
    max_tries: int = MAX_TRIES


@contextmanager
def _other(backend: Backend, data: Any, n_tasks: int) -> Iterator[Pool]:
    def submit(work: Work, item: Any) -> Any:
        return backend.executor.submit(work, data, item)

    yield Pool(submit, n_tasks, (Exception,))


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
        data = _mapped(data, Path(folder))

        def submit(work: Work, item: Any) -> Any:
            return executor().submit(work, data, item)

        try:
            yield Pool(submit, n_jobs, (TerminatedWorkerError,))
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
        return partial(np.load, mmap_mode="r", allow_pickle=False), (self.path,)


@contextmanager
def _dask(backend: Backend, data: Any, n_tasks: int) -> Iterator[Pool]:
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

        yield Pool(submit, n_jobs, (KilledWorker, CancelledError), max_tries)


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
def _ray(backend: Backend, data: Any, n_tasks: int) -> Iterator[Pool]:
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

        yield Pool(submit, n_jobs, (ray.exceptions.RayError,))


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

"""Who does the runs of a comparison: this process, workers beside it, or a cluster."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import joblib

from fairvision.exceptions import InputError

__all__ = ["DIED", "MAX_DEATHS", "Where"]

#: After so many workers a task is not given to another one.
MAX_DEATHS = 3
#: Stands for the result of a task whose workers died.
DIED = object()

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_MODULES = {"loky": "joblib", "dask": "distributed", "ray": "ray"}


@dataclass(frozen=True)
class Where:
    """Who does the runs.

    Parameters
    ----------
    n_jobs : int
        Tasks at a time; -1 for as many as there are cores, or places in a cluster.
    backend : {"loky", "dask", "ray"}
    address : str or None
        Of a cluster that runs already; None starts workers on this machine.
    n_threads : int
        CPU threads of a task.
    gpus : bool
        Whether a task may use one.

    Raises
    ------
    InputError
        For a backend that is unknown or not installed, or an address that it has no use for.
    """

    n_jobs: int = 1
    backend: str = "loky"
    address: str | None = None
    n_threads: int = 1
    gpus: bool = True

    def __post_init__(self) -> None:
        if self.n_jobs == 0:
            raise InputError("n_jobs is 0; pass 1 or more, or -1 for one a core.")
        if self.backend not in _MODULES:
            raise InputError(f"backend is {self.backend!r}; pass one of {', '.join(_MODULES)}.")
        if importlib.util.find_spec(_MODULES[self.backend]) is None:
            raise InputError(
                f"backend {self.backend!r} needs {_MODULES[self.backend]}. "
                f"Run: pip install 'fairvision[{self.backend}]'"
            )
        if self.address is not None and self.backend == "loky":
            raise InputError(
                f"address is {self.address!r}, but 'loky' works on this machine only. Pass "
                "backend='dask' or 'ray' with it."
            )

    @property
    def environment(self) -> dict[str, str]:
        """Variables that keep the libraries of a worker to its threads."""
        return dict.fromkeys(_THREADS, str(self.n_threads))

    @property
    def local_jobs(self) -> int:
        """Tasks at a time on this machine."""
        return int(joblib.effective_n_jobs(self.n_jobs))

    def here(self, n_tasks: int) -> bool:
        """Whether no further process is worth its start."""
        return self.backend == "loky" and min(self.local_jobs, n_tasks) < 2

"""Clusters that somebody else started: other processes, that are found by their address."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairvision.comparison import Comparison, scheduler
from fairvision.comparison.backends import Backend, map_unordered
from fairvision.exceptions import InputError, RunError

Compare = Callable[..., Comparison]

pytestmark = [pytest.mark.cpu, pytest.mark.enable_socket]


def needs(extra: str, module: str) -> Any:
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"the extra {extra!r} is not installed")


dask, ray = needs("dask", "distributed"), needs("ray", "ray")


@contextmanager
def process(*words: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, and whatever it starts, ended with the block."""
    with log.open("wb") as file:
        started = subprocess.Popen(words, stdout=file, stderr=file, start_new_session=True)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(20)
        finally:
            if os.name == "posix" and started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)


def until(holds: Callable[[], Any], log: Path, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, log.read_text(errors="replace")
        time.sleep(0.05)
    return found


def script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@contextmanager
def dask_processes(folder: Path) -> Iterator[str]:
    said, log, more = folder / "scheduler.json", folder / "scheduler.log", folder / "worker.log"
    host = ["--host", "127.0.0.1", "--no-dashboard"]
    starts = [script("dask"), "scheduler", *host, "--port", "0", "--scheduler-file", str(said)]
    with process(*starts, log=log):
        until(said.exists, log)
        works = [script("dask"), "worker", *host, "--scheduler-file", str(said), "--nthreads", "1"]
        works += ["--nworkers", "2", "--local-directory", str(folder / "dask")]
        with process(*works, log=more):
            until(lambda: more.read_text().count("Registered to") == 2, more)
            from distributed import Client

            with Client(scheduler_file=str(said), set_as_default=False) as client:
                address = client.scheduler.address
            yield address


@contextmanager
def ray_processes(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = folder / "ray.log"
    words = "start --head --block --num-cpus 2 --include-dashboard false --disable-usage-stats"
    # Its sockets lie in a folder whose name must be short.
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as place:
        words += f" --port {address.rpartition(':')[2]} --temp-dir {place}"
        with process(script("ray"), *words.split(), log=log):
            until(lambda: "Ray runtime started" in log.read_text(), log)
            yield address


@pytest.mark.long
@pytest.mark.parametrize(
    ("backend", "start"),
    [
        pytest.param("dask", dask_processes, marks=dask),
        pytest.param("ray", ray_processes, marks=ray),
    ],
)
def test_workers_of_other_processes_give_the_same_bits_and_may_die(
    compare: Compare,
    third_party: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    start: Callable[[Path], Any],
) -> None:
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    # One death, and Dask leaves the next try to us.
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    marker, out = tmp_path / "marker", tmp_path / "out"

    def methods(times: int) -> Any:
        return {"erm": "erm", "mortal": ("mortal", {"marker": str(marker), "times": times})}

    with start(tmp_path) as address:
        where = {"n_jobs": -1, "backend": backend, "address": address}
        found = compare(methods(1), seeds=1, out=out, **where)
    assert found.failures == {}
    lines = marker.read_text().split()
    assert len(lines) == 2  # once killed, once done
    assert str(os.getpid()) not in lines
    assert len(pd.read_csv(out / "results.csv")) == 2
    for one, other in zip(compare(methods(0), seeds=1).runs, found.runs, strict=True):
        assert (one.method, one.evaluation) == (other.method, other.evaluation)
        np.testing.assert_array_equal(one.y_score, other.y_score)


@contextmanager
def dask_threads(folder: Path, n: int) -> Iterator[Any]:
    """A scheduler and a worker of `n` threads in this process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1,
        threads_per_worker=n,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=folder,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


@dask
def test_workers_with_several_threads_are_refused(tmp_path: Path) -> None:
    with dask_threads(tmp_path, 2) as cluster:
        backend = Backend(-1, "dask", cluster.scheduler_address)
        with pytest.raises(InputError, match=r"has several threads.*dask worker --nthreads 1"):
            list(map_unordered(print, None, [0], backend))


def test_runs_that_share_a_process_do_not_meet(compare: Compare, faces: Any) -> None:
    """A worker of several threads may join a cluster after its workers were looked at."""
    whole = compare(seeds=3)
    (method,) = whole.plan.methods
    tasks = [((method, seed), math.inf, []) for seed in whole.plan.seeds]
    with ThreadPoolExecutor(3) as threads:
        started = [threads.submit(scheduler._work, whole.plan, faces, task) for task in tasks]
    for run, found in zip(whole.runs, started, strict=True):
        np.testing.assert_array_equal(found.result().y_score, run.y_score)


def test_comparisons_in_threads_leave_the_global_generators(compare: Compare) -> None:
    """Each run seeds them for estimators of others, and puts back what it found."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    serial = [compare(seeds=[seed]).runs[0].y_score for seed in (1, 2)]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda seed: compare(seeds=[seed]).runs[0].y_score, (1, 2)))
    np.testing.assert_array_equal(found, serial)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_worker_with_another_version_stops_it(compare: Compare, faces: Any) -> None:
    plan = compare(seeds=1).plan
    there = replace(plan, versions={**plan.versions, "torch": "1.0"})
    (method,) = plan.methods
    found = scheduler._work(there, faces, ((method, 0), math.inf, []))
    assert isinstance(found, RunError)
    assert f"a worker has torch {plan.versions['torch']}, this process 1.0" in str(found)

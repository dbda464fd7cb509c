"""Tasks in real worker processes: each done once, whoever dies on the way."""

from __future__ import annotations

import importlib.util
import operator
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairvision.comparison.backends import MAX_TRIES, Backend, Lost, map_unordered
from fairvision.exceptions import InputError, RunError


def needs(extra: str, module: str, *marks: Any) -> Any:
    missing = importlib.util.find_spec(module) is None
    skip = pytest.mark.skipif(missing, reason=f"the extra {extra!r} is not installed")
    return pytest.param(extra, marks=[skip, pytest.mark.slow, pytest.mark.enable_socket, *marks])


BACKENDS = ["loky", needs("dask", "distributed"), needs("ray", "ray")]
WITH_RAY_LONG = [*BACKENDS[:2], needs("ray", "ray", pytest.mark.long)]


@pytest.mark.parametrize("backend", WITH_RAY_LONG)
def test_each_task_is_done_once_and_the_deadly_one_three_times(
    backend: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = {"array": np.arange(400_000.0), "text": "text"}

    def work(data: Any, item: str) -> Any:
        with (tmp_path / item).open("a") as file:
            file.write("begun\n")
        begun = (tmp_path / item).read_text().count("begun")
        if item == "always" or (item == "once" and begun == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return item, begun, data["array"].sum(), os.environ["OMP_NUM_THREADS"], os.getpid()

    before = dict(os.environ), signal.getsignal(signal.SIGTERM), print
    items = ["a", "once", "b", "always", "c", "d"]
    found = list(map_unordered(work, data, items, Backend(2, backend, n_threads=1)))
    assert Counter(i for i, _ in found) == Counter(range(6))
    results = dict(found)
    assert isinstance(results[3], Lost)
    assert (tmp_path / "always").read_text().count("begun") == MAX_TRIES
    assert results[1][1] in (2, 3)
    for i in (0, 1, 2, 4, 5):
        assert results[i][0] == items[i]
        assert results[i][2] == data["array"].sum()
        assert results[i][3] == "1"
        assert results[i][4] != os.getpid()
    assert {k: v for k, v in os.environ.items() if before[0].get(k) != v} == {}
    assert signal.getsignal(signal.SIGTERM) == before[1]
    assert print is before[2]
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err  # the last task to end was lost, and its worker is being replaced


class Unreadable:
    """Is sent, and fails where it is read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_what_a_worker_cannot_read_is_no_death() -> None:
    with pytest.raises(RunError, match=r"cannot be sent to a worker process.*no number"):
        list(map_unordered(print, Unreadable(), [1, 2, 3], Backend(2)))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_jobs": 0}, "n_jobs is 0; pass 1 or more"),
        ({"name": "spark"}, "backend is 'spark'; pass one of loky, dask, ray"),
        ({"address": "host:1"}, "address is 'host:1', but 'loky' works on this machine only"),
        ({"executor": map}, "executor is a type. Pass a concurrent.futures.Executor"),
        ({"executor": ThreadPoolExecutor(1)}, "share their random generators"),
        ({"executor": ProcessPoolExecutor(1), "n_jobs": 2}, "replaces n_jobs"),
    ],
)
def test_backends_that_cannot_be_used(params: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Backend(**params)


@pytest.mark.parametrize(("extra", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_extra_is_named(extra: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"needs {module}.*'fairvision\[{extra}\]'"):
        Backend(name=extra)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_a_cluster_that_does_not_answer(backend: str) -> None:
    words = f"the {backend.title()} cluster at '127.0.0.1:1' cannot be reached: .*refused"
    with pytest.raises(RunError, match=words):
        list(map_unordered(print, None, [1], Backend(2, backend, "127.0.0.1:1")))


def test_an_executor_of_the_standard_library() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        backend = Backend(executor=executor)
        assert dict(map_unordered(operator.mul, 2, [1, 2, 3], backend)) == {0: 2, 1: 4, 2: 6}
        with pytest.raises(RunError, match=r"takes no more runs \(BrokenProcessPool.*are kept"):
            list(map_unordered(operator.call, os._exit, [1, 2, 3], backend))


class Job:
    """A job as submitit has it: no future, though it has some of its methods."""

    def __init__(self, result: Any) -> None:
        self.result = lambda: result
        self.looks = 0

    def done(self) -> bool:
        self.looks += 1
        return self.looks > 1

    def exception(self) -> None:
        return None

    def cancel(self) -> None: ...


class Jobs:
    def submit(self, work: Callable[..., Any], *args: Any) -> Job:
        return Job(work(*args))


def test_jobs_that_are_no_futures() -> None:
    assert dict(map_unordered(operator.mul, 2, [1, 2], Backend(executor=Jobs()))) == {0: 2, 1: 4}


class Fatal:
    """An executor whose worker dies of one item, with all that runs beside it."""

    def __init__(self) -> None:
        self.running: dict[int, Future[Any]] = {}
        self.tries = Counter[int]()

    def submit(self, work: Callable[..., Any], data: Any, item: int) -> Future[Any]:
        self.tries[item] += 1
        self.running[item] = future = Future[Any]()
        if item == 13 or self.tries[13]:
            fatal = 13 in self.running
            for other in self.running.values():
                if fatal:
                    other.set_exception(OSError("worker died"))
                else:
                    other.set_result(work(data, item))
            self.running.clear()
        return future


def test_who_ran_beside_a_fatal_task_is_done_again() -> None:
    executor = Fatal()
    found = dict(map_unordered(operator.mul, 2, [1, 2, 13, 3], Backend(executor=executor)))
    assert str(found.pop(2).error) == "worker died"
    assert found == {0: 2, 1: 4, 3: 6}
    assert executor.tries == {1: 2, 2: 2, 13: MAX_TRIES, 3: 1}

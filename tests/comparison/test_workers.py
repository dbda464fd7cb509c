"""Tasks in real worker processes: each done once, whoever dies on the way."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import signal
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairvision.comparison.messages import mailbox
from fairvision.comparison.where import DIED, MAX_DEATHS, Where
from fairvision.comparison.workers import spread
from fairvision.exceptions import InputError, RunError


def needs(extra: str, module: str) -> Any:
    missing = importlib.util.find_spec(module) is None
    skip = pytest.mark.skipif(missing, reason=f"the extra {extra!r} is not installed")
    return pytest.param(extra, marks=[skip, pytest.mark.slow, pytest.mark.enable_socket])


BACKENDS = ["loky", needs("dask", "distributed"), needs("ray", "ray")]


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_task_is_done_once_and_the_deadly_one_three_times(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array = np.arange(400_000.0)

    def work(shared: Any, i: int, item: str) -> tuple[int, Any]:
        with (tmp_path / item).open("a") as file:
            file.write("begun\n")
        begun = (tmp_path / item).read_text().count("begun")
        if item == "always" or (item == "once" and begun == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return i, (item, begun, shared[0].sum(), os.environ["OMP_NUM_THREADS"], os.getpid())

    before = dict(os.environ), signal.getsignal(signal.SIGTERM), print
    items = ["a", "once", "b", "always", "c", "d"]
    found = list(spread(work, (array, "text"), items, Where(2, backend, n_threads=1)))
    assert Counter(i for i, _ in found) == Counter(range(6))
    results = dict(found)
    assert results[3] is DIED
    # The first time it might have been another's doing, where workers die together.
    assert (tmp_path / "always").read_text().count("begun") - MAX_DEATHS in (0, 1)
    assert results[1][1] in (2, 3)
    for i in (0, 1, 2, 4, 5):
        assert results[i][0] == items[i]
        assert results[i][2] == array.sum()
        assert results[i][3] == "1"
        assert results[i][4] != os.getpid()
    assert {k: v for k, v in os.environ.items() if before[0].get(k) != v} == {}
    assert signal.getsignal(signal.SIGTERM) == before[1]
    assert print is before[2]
    assert capsys.readouterr().out == ""


class Unreadable:
    """Is sent, and fails where it is read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_what_a_worker_cannot_read_is_no_death() -> None:
    with pytest.raises(RunError, match=r"cannot be sent to a worker process.*no number"):
        list(spread(print, Unreadable(), [1, 2, 3], Where(2)))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_jobs": 0}, "n_jobs is 0; pass 1 or more"),
        ({"backend": "spark"}, "backend is 'spark'; pass one of loky, dask, ray"),
        ({"address": "host:1"}, "address is 'host:1', but 'loky' works on this machine only"),
    ],
)
def test_places_that_there_are_not(params: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Where(**params)


@pytest.mark.parametrize(("extra", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_extra_is_named(extra: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"needs {module}.*'fairvision\[{extra}\]'"):
        Where(backend=extra)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_a_cluster_that_does_not_answer(backend: str) -> None:
    words = f"the {backend.title()} cluster at '127.0.0.1:1' cannot be reached: .*refused"
    with pytest.raises(RunError, match=words):
        list(spread(print, None, [1], Where(2, backend, "127.0.0.1:1")))


@pytest.mark.enable_socket
def test_messages_are_heard_and_strangers_are_not() -> None:
    heard: list[tuple[int, int]] = []
    with mailbox(None, 2, lambda i, n: heard.append((i, n))) as senders:
        first, second = (pickle.loads(pickle.dumps(sender)) for sender in senders)
        assert first.address[0] == "127.0.0.1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for words in (
                b"", b"[", b"\xff", b"{}", b'["x", 0, 1]', json.dumps([first.token]).encode(),
                json.dumps([first.token, 0, "1"]).encode(),
                json.dumps([first.token, 0, True]).encode(),
                json.dumps([first.token, 2, 1]).encode(),
                json.dumps([first.token, -1, 1]).encode(), b"[" * 5000,
            ):  # fmt: skip
                stranger.sendto(words, first.address)
        first(3)
        second(7)
        while len(heard) < 2:
            time.sleep(0.01)
    assert heard == [(0, 3), (1, 7)]
    first(4)  # nobody hears it any more, which is no error

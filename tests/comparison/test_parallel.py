"""Runs in worker processes: the same bits as here, also when a worker dies on the way."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from joblib.externals.loky import get_reusable_executor

import fairvision as fv
from fairvision.comparison import Comparison
from fairvision.comparison.backends import Backend
from fairvision.comparison.methods import plan_methods
from fairvision.comparison.plan import Plan
from fairvision.comparison.scheduler import _in_order
from fairvision.hookspecs import hookimpl
from fairvision.types import Method

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]


def needs(extra: str, module: str) -> Any:
    missing = importlib.util.find_spec(module) is None
    skip = pytest.mark.skipif(missing, reason=f"the extra {extra!r} is not installed")
    return pytest.param(extra, marks=[skip, pytest.mark.enable_socket])


CLUSTERS = [needs("dask", "distributed"), needs("ray", "ray")]


def inline_plugin() -> Any:
    """A plugin without a distribution, of which only this process knows, as a notebook has it."""

    class Inline:
        FAIRVISION_API = (1, 0)

        @hookimpl
        def fairvision_inprocessing(self) -> list[Method]:
            return [Method("inline-erm", "fairvision.nn:TorchClassifier", "Plain training.")]

    return Inline()


def test_workers_give_the_same_bits_whatever_the_threads_here(
    compare: Compare, methods: Any, fresh_registry: None
) -> None:
    fv.register(inline_plugin(), "mine")
    methods = {**methods, "mine": "inline-erm"}
    serial = compare(methods)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        parallel = compare(methods, n_jobs=2)
        assert np.array_equal(compare("erm", seeds=1).runs[0].y_score, serial.runs[0].y_score)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(serial.runs, parallel.runs, strict=True):
        assert (one.method, one.seed) == (other.method, other.seed)
        np.testing.assert_array_equal(one.y_score, other.y_score)
    pd.testing.assert_frame_equal(serial.summary, parallel.summary)


@pytest.mark.parametrize(
    ("n_jobs", "order"),
    [
        (1, "e0 r0 e1 r1 e2 r2"),
        # What reweighing of a seed may find in a cache was put there before it began.
        (2, "e0 e1 r0 r1 e2 r2"),
        (8, "e0 e1 e2 r0 r1 r2"),
    ],
)
def test_runs_at_the_same_time_are_of_several_seeds(n_jobs: int, order: str) -> None:
    methods = plan_methods(["erm", "reweighing"], preset=None)
    plan = Plan(dataset={}, split={}, methods=methods, seeds=(0, 1, 2), max_epochs=1)
    tasks = _in_order(plan, Backend(n_jobs=n_jobs))
    assert " ".join(f"{method.label[0]}{seed}" for method, seed in tasks) == order


def test_any_executor_gives_the_same_bits(compare: Compare) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        (found,) = compare(seeds=1, executor=executor).runs
    np.testing.assert_array_equal(found.y_score, compare(seeds=1).runs[0].y_score)


@pytest.fixture
def new_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers see the plugins of the moment when they were started."""
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    get_reusable_executor().shutdown(wait=True)
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.long
@pytest.mark.parametrize("backend", CLUSTERS)
def test_a_run_whose_worker_is_killed_is_done_by_another(
    compare: Compare, third_party: ModuleType, new_workers: None, tmp_path: Path, backend: str
) -> None:
    def methods(times: int) -> Any:
        return {"erm": "erm", "mortal": ("mortal", {"marker": str(marker), "times": times})}

    marker, out = tmp_path / "marker", tmp_path / "out"
    serial = compare(methods(0), out=tmp_path / "serial")
    marker.unlink()
    found = compare(methods(1), out=out, n_jobs=2, backend=backend)
    assert found.failures == {}
    assert len(marker.read_text().split()) == 3  # two seeds, and one that was killed
    assert str(os.getpid()) not in marker.read_text()
    for one, other in zip(serial.runs, found.runs, strict=True):
        assert (one.method, one.seed) == (other.method, other.seed)
        assert one.evaluation == other.evaluation
        np.testing.assert_array_equal(one.y_score, other.y_score)
    pd.testing.assert_frame_equal(serial.summary, found.summary)
    assert compare(methods(1), out=out).reused == 4


@pytest.mark.long
def test_a_run_that_kills_every_worker_is_a_failure(
    compare: Compare, third_party: ModuleType, new_workers: None, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    methods = {"erm": "erm", "mortal": ("mortal", {"marker": str(marker), "times": 99})}
    found = compare(methods, seeds=1, n_jobs=2, out=tmp_path / "out")
    assert [run.method for run in found.runs] == ["erm"]
    assert "each of the 3 workers that tried it died" in found.failures["mortal", 0]
    assert len(marker.read_text().split()) == 3
    assert "fewer jobs" in (tmp_path / "out" / "mortal" / "seed-0.error.txt").read_text()
    assert not list(tmp_path.rglob("*.partial"))

"""Workers of one machine take its GPUs in turn."""

from __future__ import annotations

import multiprocessing
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin

from fairvision.comparison import run_method
from fairvision.comparison.worker_device import device_of_worker


@pytest.mark.parametrize(
    ("device", "n_gpus", "devices"),
    [
        ("auto", 3, ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]),
        ("cuda", 2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
        ("auto", 1, ["auto"] * 4),
        ("auto", 0, ["auto"] * 4),
        ("cuda:1", 3, ["cuda:1"] * 4),
        ("cpu", 3, ["cpu"] * 4),
    ],
)
def test_a_worker_keeps_its_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, n_gpus: int, devices: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    process = multiprocessing.current_process()
    for number, expected in enumerate(devices, start=1):
        monkeypatch.setattr(process, "name", f"LokyProcess-{number}")
        assert device_of_worker(device) == expected
    monkeypatch.setattr(process, "name", "MainProcess")
    assert device_of_worker(device) == device


def test_workers_to_which_a_cluster_gives_gpus_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = SimpleNamespace(name=1)
    dask = SimpleNamespace(get_worker=lambda: worker)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setitem(sys.modules, "distributed", dask)
    assert device_of_worker("auto") == "cuda:1"
    monkeypatch.setitem(sys.modules, "dask_cuda", SimpleNamespace())  # rotates what each sees
    assert device_of_worker("auto") == "auto"


def test_nothing_but_the_device_that_was_asked_for_is_used(
    monkeypatch: pytest.MonkeyPatch, compare: Any
) -> None:
    used = set()
    monkeypatch.setattr(run_method, "_warm_up", used.add)
    compare("erm", seeds=1, device="cpu")
    assert used == {"cpu"}


class Full(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def predict(self, X: Any) -> None: ...


def test_a_gpu_that_is_full_says_what_to_change(compare: Any) -> None:
    result = compare({"erm": "erm", "full": Full()}, seeds=1)
    assert "Run fewer jobs at a time" in result.failures["full", 0]

"""Long runs leak neither memory nor file handles. `benchmarks/bench_long_runs.py` runs longer."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skorch.callbacks import Callback

from fairvision.nn import TorchClassifier, TrainingCheckpoint

STATM = Path("/proc/self/statm")
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.slow,
    pytest.mark.skipif(not STATM.exists(), reason="memory is read from Linux's /proc"),
]


def resident() -> float:
    """MB of this process that are in memory."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class Watch(Callback):
    only_watches = True

    def __init__(self, seen: list[tuple[float, int]]) -> None:
        self.seen = seen

    def __sklearn_clone__(self) -> Watch:
        return self

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) in (500, 2000):
            self.seen.append((resident(), open_files()))


@pytest.fixture
def table() -> Any:
    return np.random.default_rng(0).normal(size=(16, 3)), np.arange(16) % 2


def test_an_epoch_leaves_a_row_of_history_only(table: Any, tmp_path: Path) -> None:
    seen: list[tuple[float, int]] = []
    callbacks = [Watch(seen), TrainingCheckpoint(tmp_path, every=50)]
    model = TorchClassifier("mlp", max_epochs=2000, random_state=0, callbacks=callbacks)
    model.fit(*table)
    (memory, files), (memory_after, files_after) = seen
    assert files_after == files
    # A row is about half a kB; a tensor or a batch that stays would be several a step.
    assert memory_after - memory < 3
    assert not any(epoch["batches"] for epoch in model.history_)


def test_one_fit_after_another(table: Any) -> None:
    seen = []
    for i in range(120):
        TorchClassifier("mlp", max_epochs=2, random_state=i).fit(*table)
        if i in (20, 119):
            seen.append((resident(), open_files()))
    (memory, files), (memory_after, files_after) = seen
    assert files_after == files
    assert memory_after - memory < 3

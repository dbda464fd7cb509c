"""Runs in worker processes: the same bits as here, and one clear error when a worker dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from fairvision.comparison import Comparison
from fairvision.exceptions import RunError

Compare = Callable[..., Comparison]


def test_workers_give_the_same_bits_whatever_the_threads_here(
    compare: Compare, methods: Any
) -> None:
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


def test_a_worker_that_is_killed_is_one_clear_error(compare: Compare, tmp_path: Path) -> None:
    # The same workers as above, which joblib keeps for whoever asks next.
    workers = set(joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(20)))

    def kill() -> None:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)

    timer = threading.Timer(0.5, kill)
    timer.start()
    with pytest.raises(RunError, match=r"a worker process died.*fewer jobs"):
        compare(seeds=2, max_epochs=2000, n_jobs=2, out=tmp_path / "out")
    timer.join()
    assert not list(tmp_path.rglob("*.partial"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock", "plan.json"}

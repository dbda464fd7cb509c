"""Two workers against one: ``python benchmarks/bench_sweep.py [--rounds 3] [--epochs 6]``.

The same comparison of drawn faces with one run at a time and with two, in turn. Workers are
started, and have trained once, before the clock is: a sweep pays for that once, however long it
is (printed, too). Promised on two idle cores: two workers are at least 1.8 times as fast. Exits
with 1 where they are not.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from typing import Any

import fairvision as fv

LIMIT = 1.8


def seconds(faces: Any, n_jobs: int, *, backend: str, seeds: int, epochs: int) -> float:
    start = time.perf_counter()
    found = fv.compare(
        faces,
        "erm",
        seeds=seeds,
        n_jobs=n_jobs,
        backend=backend,
        confounding=0.9,
        max_epochs=epochs,
        n_boot=200,
        report=False,
        progress=False,
    )
    assert len(found.runs) == seeds, found.failures
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=6000)
    chosen = parser.parse_args()
    faces = fv.datasets.load(
        "faces", n_samples=chosen.images, target="eyeglasses", sensitive="hat", random_state=0
    )
    for n_jobs in (1, 2):
        start = seconds(faces, n_jobs, backend="loky", seeds=2, epochs=1)
        print(f"first call with {n_jobs} at a time: {start:.1f} s")
    ratios = []
    for _ in range(chosen.rounds):
        one, two = (
            seconds(faces, n_jobs, backend="loky", seeds=chosen.seeds, epochs=chosen.epochs)
            for n_jobs in (1, 2)
        )
        ratios.append(one / two)
        print(f"{chosen.seeds} runs: one at a time {one:.1f} s, two {two:.1f} s, {one / two:.2f}")
    ratio = statistics.median(ratios)
    print(f"two workers are {ratio:.2f} times as fast on {os.cpu_count()} cores; limit {LIMIT}")
    return 0 if ratio >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())

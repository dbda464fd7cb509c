"""Do long runs leak? ``python benchmarks/bench_long_runs.py [--epochs 10000] [--fits 200]``.

A tiny net is trained for very many epochs: on a table, on images, with checkpoints; and
then very many nets are, one after the other. Prints resident memory and open files on the
way, and what an epoch adds after the first tenth. The history grows by design: a row an
epoch, whose size is printed beside it.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from fairvision.nn import TorchClassifier, TrainingCheckpoint


def resident() -> float:
    """MB of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class Watch(Callback):
    """Memory and open files at every tenth of the epochs."""

    only_watches = True

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.seen_: list[tuple[int, float, int]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) % max(net.max_epochs // 10, 1) == 0:
            gc.collect()
            self.seen_.append((len(net.history), resident(), open_files()))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        pass


def long_fit(name: str, X: np.ndarray, epochs: int, *callbacks: Callback) -> None:
    start = time.perf_counter()
    model = TorchClassifier(
        "mlp", max_epochs=epochs, batch_size=32, random_state=0, callbacks=[Watch(), *callbacks]
    ).fit(X, np.arange(len(X)) % 2)
    seconds = time.perf_counter() - start
    watch = next(cb for _, cb in model.net_.callbacks_ if isinstance(cb, Watch))
    (first, memory, files), (last, memory_after, files_after) = watch.seen_[0], watch.seen_[-1]
    row = sum(map(len, map(repr, model.history_[-1].items())))
    print(
        f"{name}: {epochs} epochs in {seconds:.0f} s; from epoch {first} to {last} "
        f"{memory:.1f} -> {memory_after:.1f} MB, "
        f"{(memory_after - memory) * 2**20 / (last - first):.0f} bytes an epoch "
        f"(a row of history prints as {row}); open files {files} -> {files_after}",
        flush=True,
    )


def many_fits(X: np.ndarray, fits: int) -> None:
    seen = []
    for i in range(fits):
        TorchClassifier("mlp", max_epochs=2, random_state=i).fit(X, np.arange(len(X)) % 2)
        if (i + 1) % max(fits // 10, 1) == 0:
            gc.collect()
            seen.append((resident(), open_files()))
    print(f"{fits} fits: {seen[0][0]:.1f} -> {seen[-1][0]:.1f} MB after the first tenth, ", end="")
    print(f"open files {seen[0][1]} -> {seen[-1][1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10_000)
    parser.add_argument("--fits", type=int, default=200)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    table, images = rng.normal(size=(32, 4)), rng.integers(0, 256, (32, 1, 24, 24), np.uint8)
    long_fit("table", table, asked.epochs)
    long_fit("images", images, asked.epochs)
    with tempfile.TemporaryDirectory() as folder:
        long_fit("with checkpoints", table, asked.epochs, TrainingCheckpoint(folder, every=100))
    many_fits(images, asked.fits)


if __name__ == "__main__":
    main()

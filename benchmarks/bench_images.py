"""Images that do not fit into memory: ``python benchmarks/bench_images.py [--n 2000 20000]``.

Memory: for each number of images a process of its own reads a folder of JPEGs
(`load_folder`), splits it (`biased_split`), trains one epoch on ``--n-train`` of them, predicts
*all* of them and evaluates the predictions; its peak resident memory is printed, with what it
was before the folder was read. Files are distinct up to ``--distinct``; beyond that they are
hard links to those, which cost no disk and are decoded like any other.

Speed: seconds of an epoch on files of ``--side`` pixels, decoded

- one after another in the thread that computes (`n_threads=1`, not read ahead);
- by a pool of threads, not read ahead;
- one after another, a batch ahead (`n_threads=1`);
- by a pool of threads, a batch ahead, as it comes;

next to the same epoch on an array, which is what the net alone takes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image


def write_files(root: Path, n: int, distinct: int, side: int) -> None:
    """JPEGs of noise over a grey that tells the class; links beyond the distinct ones."""
    rng = np.random.default_rng(0)
    for i in range(n):
        folder = root / f"{i // 10_000:03d}"
        folder.mkdir(exist_ok=True)
        path = folder / f"{i:06d}.jpg"
        if i >= distinct:
            os.link(root / f"{(j := i % distinct) // 10_000:03d}" / f"{j:06d}.jpg", path)
            continue
        grey = rng.integers(60, 120) + 60 * (i % 2)
        picture = np.clip(rng.normal(grey, 25, (side, side, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(path, quality=85)


def table(n: int) -> pd.DataFrame:
    rows = np.arange(n)
    return pd.DataFrame(
        {
            "path": [f"{i // 10_000:03d}/{i:06d}.jpg" for i in rows],
            "class": np.array(["dark", "light"])[rows % 2],
            "group": np.array(["a", "b"])[rows // 2 % 2],
        }
    )


def peak() -> float:
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(root: Path, n: int, n_train: int, size: int) -> None:
    """All the way from a folder to fairness gaps, in this process."""
    from fairvision.datasets import biased_split, load_folder, subset
    from fairvision.metrics import evaluate_predictions
    from fairvision.nn import TorchClassifier

    warm = np.zeros((64, 3, size, size), np.uint8)
    y = np.arange(64) % 2
    model = TorchClassifier(max_epochs=1, random_state=0, device="cpu")
    evaluate_predictions(y, model.fit(warm, y).predict(warm), sensitive_features=y, n_boot=10)
    before, start = peak(), time.perf_counter()
    data = load_folder(root, table(n), target="class", sensitive="group", image_size=size)
    split = biased_split(
        data, confounder="group", confounding=0.9, n_train=n_train, n_test=400, random_state=0
    )
    read = time.perf_counter() - start
    train = subset(data, split.train)
    model.fit(train.images, train.target)
    fitted = time.perf_counter() - start - read
    y_pred = model.predict(data.images)
    predicted = time.perf_counter() - start - read - fitted
    found = evaluate_predictions(
        data.target, y_pred, sensitive_features=data.sensitive_features, n_boot=100
    )
    print(
        f"{n:>8,} {before:>10.0f} {peak():>10.0f} {peak() - before:>10.0f} "
        f"{n * 3 * size * size / 2**20:>10.0f} {read:>8.1f} {fitted:>8.1f} {predicted:>8.1f} "
        f"{found.overall['accuracy']:>9.3f}"
    )


def epoch(images: Any, y: np.ndarray, ahead: bool, rounds: int) -> list[float]:
    """Seconds of single epochs after one that warms up."""
    from fairvision.nn import TorchClassifier

    if not ahead and hasattr(images, "reads_in_threads"):
        images.reads_in_threads = False
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        TorchClassifier(max_epochs=1, random_state=0, device="cpu").fit(images, y)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def speed(root: Path, n: int, size: int, rounds: int) -> None:
    from fairvision.datasets import ImageFiles

    paths = sorted(map(str, root.rglob("*.jpg")))[:n]
    y = np.arange(n) % 2
    ways = {
        "array, decoded before": (np.asarray(ImageFiles(paths, image_size=size)), False),
        "files, one thread for all": (ImageFiles(paths, image_size=size, n_threads=1), False),
        "files, a pool": (ImageFiles(paths, image_size=size), False),
        "files, a thread ahead": (ImageFiles(paths, image_size=size, n_threads=1), True),
        "files, a pool ahead": (ImageFiles(paths, image_size=size), True),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):  # in turn, so that a busy machine disturbs all alike
        for name, (images, ahead) in ways.items():
            taken[name] += epoch(images, y, ahead, 1)
    serial = taken["files, one thread for all"]
    print("seconds of an epoch: median, least (of a machine that others use, the truer one)")
    for name, seconds in taken.items():
        ratio = min(serial) / min(seconds)
        print(
            f"{name:<28} {statistics.median(seconds):>7.2f} {min(seconds):>7.2f}   "
            f"{ratio:.2f} times as fast"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="*", default=[2_000, 20_000, 200_000])
    parser.add_argument("--distinct", type=int, default=20_000)
    parser.add_argument("--n-train", type=int, default=800)
    parser.add_argument("--size", type=int, default=24, help="of the images as the net sees them")
    parser.add_argument("--side", type=int, default=160, help="of the files of the speed part")
    parser.add_argument("--n-speed", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        root, n = options.work
        return work(Path(root), int(n), options.n_train, options.size)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.n:
            print(f"{os.cpu_count()} cores. MiB: before, peak, more, the pixels; seconds; accuracy")
            print(
                f"{'images':>8} {'before':>10} {'peak':>10} {'more':>10} {'pixels':>10} "
                f"{'read':>8} {'fit':>8} {'predict':>8} {'accuracy':>9}"
            )
            write_files(root, max(options.n), options.distinct, 32)
        for n in options.n:
            command = [sys.executable, __file__, "--work", folder, str(n)]
            shared = ["--n-train", str(options.n_train), "--size", str(options.size)]
            subprocess.run([*command, *shared], check=True)
    if options.n_speed:
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), options.n_speed, options.n_speed, options.side)
            speed(Path(folder), options.n_speed, 64, options.rounds)


if __name__ == "__main__":
    main()

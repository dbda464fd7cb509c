"""Features computed once: ``python benchmarks/bench_features.py --root DIR --weights FILE``.

On ``--n`` image files of a folder, with a torchvision net and its weights:

- a plain PyTorch loop: decode, resize, normalise, forward;
- a first pass of `FeatureExtractor`, without a cache and into a new one;
- a second pass, from the cache, for files and for an array.

Seconds of the CPU, in turn ``--repeat`` times: medians, and shares of the plain loop.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torchvision import models

from fairvision.datasets import ImageFiles
from fairvision.nn import FeatureExtractor


def plain_loop(paths: list[Path], weights: str, side: int, size: int) -> np.ndarray:
    """What anybody would write."""
    net = models.mobilenet_v2()
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    images = ImageFiles(paths, image_size=side, n_threads=1)
    features = []
    with torch.inference_mode():
        for start in range(0, len(images), 64):
            x = torch.from_numpy(np.asarray(images[start : start + 64])).float() / 255
            if side != size:
                x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
            features.append(net.features((x - mean) / std).mean((2, 3)).numpy())
    return np.concatenate(features)


def seconds(work: Callable[[], Any]) -> float:
    """Of the CPU, for one run."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--side", type=int, default=96, help="pixels of a decoded image")
    parser.add_argument("--size", type=int, default=224, help="pixels that the net is given")
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(given.root.rglob("*.jpg"))[: given.n]
    files = ImageFiles(paths, image_size=given.side, n_threads=1)
    params = {"weights": given.weights, "image_size": given.size}

    def first() -> None:
        with tempfile.TemporaryDirectory() as folder:
            FeatureExtractor(**params, cache=folder).fit_transform(files)

    with tempfile.TemporaryDirectory() as folder:
        cached = FeatureExtractor(**params, cache=folder).fit(files)
        array = np.asarray(files)
        cached.transform(files), cached.transform(array)  # also what the first run of all costs
        passes: dict[str, Callable[[], Any]] = {
            "plain loop": lambda: plain_loop(paths, given.weights, given.side, given.size),
            "without a cache": lambda: FeatureExtractor(**params).fit_transform(files),
            "first pass": first,
            "second pass, files": lambda: cached.transform(files),
            "second pass, an array": lambda: cached.transform(array),
        }
        # In turn, so that what else the machine does meets all of them alike.
        taken = np.array([[seconds(work) for work in passes.values()] for _ in range(given.repeat)])
    shares = taken / taken[:, :1]
    for i, name in enumerate(passes):
        low, middle, high = np.quantile(shares[:, i], [0, 0.5, 1])
        print(
            f"{name:24}{np.median(taken[:, i]):8.3f} s  "
            f"{middle:.4f} of the plain loop ({low:.4f} to {high:.4f})"
        )


if __name__ == "__main__":
    main()

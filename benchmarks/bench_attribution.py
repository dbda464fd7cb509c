"""What maps cost: ``python benchmarks/bench_attribution.py [image_size] [rounds]``.

Against plain loops that do what the paper's Algorithm 1 and its sliding window say, with the same
net on the same pictures, in turns in one run, in seconds of the processor on one thread:

- pixel maps from region maps, at least 50 times as fast and equal to 1e-5;
- region maps at the full grid, at least 2 times, equal to 1e-5;
- region maps with default settings (13 x 13 positions, the rest interpolated), at least 10 times.

Exits with 1 where a limit is broken. The limits hold for the default net; the paper's ResNet-18 is
timed too, on fewer positions, since nearly all of its work is the same in both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fairvision.datasets import load_faces
from fairvision_attribution import PatchGrid, RegionClassifier
from fairvision_attribution._algorithm import confidence, pixel_map

LIMITS = {"pixel maps": 50, "region maps, full grid": 2, "region maps, default settings": 10}


def sliding_window(model: RegionClassifier, images: np.ndarray) -> np.ndarray:
    """A patch at a time, with its position pasted on as a channel."""
    grid, module = model.grid_, model.module_
    down, across = grid.stride
    maps = np.empty((len(images), grid.n_rows, grid.n_columns), dtype=np.float32)
    with torch.inference_mode():
        for n in range(len(images)):
            image = torch.from_numpy(images[n]).float() / 255 * 2 - 1
            for i in range(grid.n_rows):
                for j in range(grid.n_columns):
                    top, left = i * down, j * across
                    patch = image[:, top : top + grid.patch, left : left + grid.patch]
                    place = module.position.weight[i * grid.n_columns + j]
                    joined = torch.cat([patch, place.view(1, grid.patch, grid.patch)])[None]
                    logits = module.head(module.trunk(joined).flatten(1))
                    maps[n, i, j] = confidence(logits.softmax(1)[0], model.confidence)
    return maps


def algorithm_1(regions: np.ndarray, grid: PatchGrid) -> np.ndarray:
    """For each pixel the mean over all patches that cover it."""
    down, across = grid.stride
    maps = np.zeros((len(regions), grid.height, grid.width), dtype=np.float32)
    for n, region in enumerate(regions):
        count = np.zeros((grid.height, grid.width), dtype=np.float32)
        for i in range(grid.n_rows):
            for j in range(grid.n_columns):
                rows = slice(i * down, i * down + grid.patch)
                columns = slice(j * across, j * across + grid.patch)
                maps[n, rows, columns] += region[i, j]
                count[rows, columns] += 1
        maps[n] /= count
    return maps


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    result = function()
    return time.process_time() - began, result


def compare(name: str, loop: Any, ours: Any, rounds: int, *, equal: bool = True) -> bool:
    """Print the median ratio; whether its limit is kept."""
    ours()  # warms caches
    ratios, error = [], 0.0
    for _ in range(rounds):
        (slow, expected), (fast, got) = timed(loop), timed(ours)
        ratios.append(slow / max(fast, 1e-6))
        error = max(error, float(np.abs(expected - got).max()))
    ratio, limit = float(np.median(ratios)), LIMITS.get(name)
    kept = (limit is None or ratio >= limit) and (not equal or error <= 1e-5)
    promised = "" if limit is None else f", limit {limit}: {'kept' if kept else 'BROKEN'}"
    print(
        f"{name}: {ratio:.1f} times ({min(ratios):.1f} to {max(ratios):.1f} in {rounds} rounds), "
        f"largest difference {error:.1e}{promised}",
        flush=True,
    )
    return kept


def main(image_size: int = 128, rounds: int = 3) -> None:
    torch.set_num_threads(1)
    faces = load_faces(70, image_size, target="hat", random_state=0)
    given = {"max_epochs": 1, "map_rows": 1, "random_state": 0, "device": "cpu"}
    model = RegionClassifier(**given).fit(faces.images[:64], faces.target[:64])
    grid, few = model.grid_, faces.images[64:66]
    print(f"{image_size} x {image_size}, patches of {grid.patch}, {grid.n_rows} x {grid.n_columns}")
    regions = np.random.default_rng(0).random((20, grid.n_rows, grid.n_columns), dtype=np.float32)
    many = np.tile(regions, (10, 1, 1))  # or the clock would not see it
    each = len(many) // len(regions)

    def loop() -> np.ndarray:
        return algorithm_1(regions, grid)

    began = time.process_time()
    for _ in range(5):
        pixel_map(many, *grid.coverage)
    fast = (time.process_time() - began) / 5 / each
    slow, expected = timed(loop)
    error = np.abs(expected - pixel_map(regions, *grid.coverage)).max()
    ratio = slow / fast
    kept = ratio >= LIMITS["pixel maps"] and error <= 1e-5
    print(
        f"pixel maps: {ratio:.0f} times, largest difference {error:.1e}, limit "
        f"{LIMITS['pixel maps']}: {'kept' if kept else 'BROKEN'}"
    )

    def plain() -> np.ndarray:
        return sliding_window(model, few)

    model.set_params(scan_grid=None)
    kept &= compare("region maps, full grid", plain, lambda: model.region_map(few), rounds)
    model.set_params(scan_grid=RegionClassifier().scan_grid)
    kept &= compare(
        "region maps, default settings", plain, lambda: model.region_map(few), rounds, equal=False
    )
    paper = RegionClassifier("cifar-resnet18", grid=13, scan_grid=None, **given)
    paper.set_params(max_epochs=0).fit(faces.images[:8], np.arange(8) % 2)
    compare(
        "ResNet-18, 13 x 13 positions",
        lambda: sliding_window(paper, few[:1]),
        lambda: paper.region_map(few[:1]),
        1,
    )
    sys.exit(not kept)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

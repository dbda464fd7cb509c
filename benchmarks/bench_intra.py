"""What intra-processing costs: ``python benchmarks/bench_intra.py``.

1. The threshold search on 16,000 rows, 501 thresholds, 5 resamples, and whether it equals a
   plain double loop over resamples and thresholds to the last digit.
2. 101 random trials on 4,096 images of 32 x 32 beside 101 plain inference passes of the same
   net, interleaved, in processor seconds of one thread.
3. Layer-wise trials: the passes that a remembered prefix saves.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from fairvision.nn import TorchClassifier
from fairvision_intra._algorithm import perturbed
from fairvision_intra._bounded_performance import BoundedPerformance
from fairvision_intra._forward import Forward, layers_of


def rows(n: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    y, g = rng.integers(0, 2, n), rng.integers(0, 2, n)
    score = 0.5 + 0.2 * (2 * y - 1) + 0.05 * g + 0.2 * rng.normal(size=n)
    return np.clip(score, 0, 1), y, g


def double_loop(objective: BoundedPerformance, scores: np.ndarray) -> list[float]:
    y, g, found = objective.targets, objective.groups, []
    for threshold in objective.thresholds:
        selected, phi, possible = scores > threshold, 0.0, False
        for draw, weight in enumerate(objective.weights):
            odds = []
            for group in (0, 1):
                rates = []
                for label in (0, 1):
                    cell = (g == group) & (y == label)
                    rates.append(weight[cell & selected].sum() / weight[cell].sum())
                odds.append(sum(reversed(rates)) / 2)
            gap = max(odds) - min(odds)
            tpr = weight[(y == 1) & selected].sum() / weight[y == 1].sum()
            fpr = weight[(y == 0) & selected].sum() / weight[y == 0].sum()
            if draw == 0:
                possible = gap < objective.epsilon
            elif gap < objective.epsilon - objective.margin:
                phi += (tpr + (1 - fpr)) / 2
        found.append(phi / (len(objective.weights) - 1) if possible else 0.0)
    return found


def seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def search() -> None:
    scores, y, g = rows(16_000)
    objective = BoundedPerformance(y, g, rng=np.random.default_rng(0))
    found = objective.best_threshold(scores)
    best = min(
        seconds(lambda: objective.best_threshold(scores), time.perf_counter) for _ in range(30)
    )
    started = time.perf_counter()
    phi = double_loop(objective, scores)
    loop = time.perf_counter() - started
    print(f"threshold search: {best * 1e3:.2f} ms; the double loop {loop:.1f} s")
    print(f"  best phi {found.value!r}, the loop's {max(phi)!r}: equal {found.value == max(phi)}")


def trials(n_trials: int = 101, n: int = 4096) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    y, g = rng.integers(0, 2, n), rng.integers(0, 2, n)
    net = TorchClassifier(max_epochs=1, random_state=0).fit(images[:64], y[:64])
    forward = Forward(net.module_, images)
    objective = BoundedPerformance(y, g, rng=rng)
    weights, generator = forward.weights(), torch.Generator().manual_seed(0)

    def trial() -> None:
        objective.best_threshold(forward.scores(perturbed(weights, 0.1, generator)))

    trial(), net.predict_proba(images)
    plain, ours = [], []
    for i in range(n_trials):  # in turn, and each first as often as the other
        for kind in (0, 1) if i % 2 else (1, 0):
            run, kept = (trial, ours) if kind else (lambda: net.predict_proba(images), plain)
            kept.append(seconds(run, time.process_time))
    print(
        f"{n_trials} trials on {n} images: {sum(ours):.1f} s of processor; {n_trials} plain passes "
        f"{sum(plain):.1f} s; ratio {sum(ours) / sum(plain):.3f} (of medians "
        f"{np.median(ours) / np.median(plain):.3f})"
    )
    scores = forward.scores()
    for what, run in (
        ("drawing the weights", lambda: perturbed(weights, 0.1, generator)),
        ("the threshold search", lambda: objective.best_threshold(scores)),
    ):
        taken = np.median([seconds(run, time.process_time) for _ in range(30)])
        print(f"  {what}: {taken * 1e3:.2f} ms, {taken / np.median(plain):.2%} of a plain pass")
    whole = np.median([seconds(forward.scores, time.process_time) for _ in range(5)])
    for layer in layers_of(forward.module, forward.batch(slice(0, 2)))[-3:]:
        resumed = forward.resuming_at(layer)
        part = np.median([seconds(resumed.scores, time.process_time) for _ in range(5)])
        print(f"  from {layer} on: {part * 1e3:.1f} ms of {whole * 1e3:.1f} ms")


if __name__ == "__main__":
    torch.set_num_threads(1)
    search()
    trials()

"""What our training costs: ``python benchmarks/bench_training.py [--threads 2]``.

In one run, epochs taken in turn so that a busy machine disturbs all alike:

- a loop written by hand in PyTorch, on the same net, images and batches;
- `TorchClassifier`, promised to take at most 1.05 times as long;
- `JLUClassifier` with one head step a batch, at most 1.3 times `TorchClassifier`;
- `JLUClassifier` as it comes, for information.

Prints the median seconds of an epoch (processor seconds with ``--clock cpu``, the steadier
ones where others use the machine) and the ratios: medians over the rounds of the ratio
within a round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from skorch.callbacks import Callback

from fairvision.datasets import load_faces
from fairvision.nn import TorchClassifier
from fairvision.nn.backbones import build_classifier
from fairvision_jlu import JLUClassifier


def by_hand(images: np.ndarray, targets: np.ndarray, epochs: int, clock: Callable) -> list[float]:
    """Seconds of each epoch of what one would write without us."""
    torch.manual_seed(0)
    module = build_classifier("small-cnn", None, images.shape[1:], 2).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.0)
    x, y, seconds = torch.from_numpy(images), torch.from_numpy(targets).long(), []
    for _ in range(epochs):
        start, losses, right = clock(), 0.0, 0
        for rows in torch.randperm(len(x)).split(64):
            batch, labels = x[rows].float().div_(255), y[rows]
            optimizer.zero_grad()
            logits = module(batch)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(rows)
            right += int((logits.argmax(1) == labels).sum())
        seconds.append(clock() - start)
    return seconds


class Stopwatch(Callback):
    """Seconds of each epoch, all that skorch does in it included."""

    def __init__(self, clock: Callable, seconds: list[float]) -> None:
        self.clock = clock
        self.seconds = seconds

    def on_epoch_begin(self, net, **kwargs) -> None:
        self.start = self.clock()

    def on_epoch_end(self, net, **kwargs) -> None:
        self.seconds.append(self.clock() - self.start)


def ours(model: TorchClassifier, faces, epochs: int, clock: Callable) -> list[float]:
    seconds: list[float] = []
    # Not in the estimator's list, which would be cloned together with our list of seconds.
    watch = Stopwatch(clock, seconds)
    model.set_params(max_epochs=epochs, random_state=0, device="cpu")
    make_net = model._make_net

    def watched(*args):
        net = make_net(*args)
        net.callbacks = [*net.callbacks, ("watch", watch)]
        return net

    model._make_net = watched
    groups = faces.sensitive_features.iloc[:, 0].to_numpy()
    model.fit(faces.images, faces.target, sensitive_features=groups)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    faces = load_faces(args.rows, args.size, target="smiling", sensitive="hat", random_state=0)
    faces.target = np.asarray(faces.target)
    one_step = {"head_steps": 1, "head_memory": 1, "warmup": 0, "ramp": 0}
    contestants = {
        "by hand": lambda n: by_hand(faces.images, faces.target, n, clock),
        "erm": lambda n: ours(TorchClassifier(), faces, n, clock),
        "jlu, one head step": lambda n: ours(JLUClassifier(**one_step), faces, n, clock),
        "jlu, newton x 4": lambda n: ours(JLUClassifier(warmup=0, ramp=0), faces, n, clock),
    }
    # Two epochs a turn, the first to warm caches; turns interleave.
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(args.rounds):
        names = list(contestants)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken[name].append(min(contestants[name](3)[1:]))
    print(f"{args.rows} faces of {args.size} x {args.size}, {args.threads} thread(s)")
    print(f"{'':20} median {args.clock} s an epoch")
    for name, seconds in taken.items():
        print(f"{name:20} {statistics.median(seconds):.3f}")
    for name, base, limit in [
        ("erm", "by hand", "1.05"),
        ("jlu, one head step", "erm", "1.30"),
        ("jlu, newton x 4", "erm", "-"),
    ]:
        ratios = [a / b for a, b in zip(taken[name], taken[base], strict=True)]
        print(f"{name} / {base}: {statistics.median(ratios):.3f} (promised {limit})")


if __name__ == "__main__":
    main()

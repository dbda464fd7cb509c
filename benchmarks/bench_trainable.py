"""What tuning a part of a net costs: ``python benchmarks/bench_trainable.py [rows] [epochs]``.

`mobilenet_v2` at 96 x 96, in seconds of the processor on one thread. Its last two blocks and its
head must be tuned at least ten times as fast as all of it: the frozen ones run once for each
image, and not once an epoch. Exits with 1 where that does not hold.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from fairvision.nn import TorchClassifier

LIMIT = 10


def seconds(trainable: str, images: np.ndarray, epochs: int) -> float:
    """Of the processor, for one `fit`."""
    model = TorchClassifier(
        "mobilenet_v2", trainable=trainable, max_epochs=epochs, batch_size=32, random_state=0
    )
    before = time.process_time()
    model.fit(images, np.arange(len(images)) % 2)
    return time.process_time() - before


def main() -> int:
    rows, epochs = (int(word) for word in (sys.argv[1:] + ["128", "20"][len(sys.argv) - 1 :]))
    torch.set_num_threads(1)
    images = np.random.default_rng(0).integers(0, 256, (rows, 3, 96, 96), dtype=np.uint8)
    seconds("head", images[:32], 1)  # imports
    part = {name: seconds(name, images, epochs) for name in ("head", "last:1", "last:2", "last:4")}
    whole = seconds("all", images, epochs)
    print(f"{rows} images, {epochs} epochs: all {whole:.1f} s")
    for name, spent in part.items():
        print(f"  {name:7} {spent:5.1f} s, {whole / spent:.1f} times as fast")
    return int(whole < LIMIT * part["last:2"])


if __name__ == "__main__":
    sys.exit(main())

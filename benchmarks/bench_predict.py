"""Pictures a second of `fairvision predict`, beside a loop written by hand.

Both read the same JPEG files, run the same net on them in batches of the same size and write a CSV;
they take turns in one process. The loop by hand is what one would write for the task: Pillow opens
and resizes each file, and torch computes.

    python benchmarks/bench_predict.py --root DIR [--n 2000] [--image-size 64] [--backbone NAME]
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

import fairvision as fv
from fairvision.models import (
    PredictionColumns,
    PredictionFile,
    picture_files,
    predict_pictures,
    unlabelled_pictures,
)
from fairvision.nn import TorchClassifier

BATCH = 256


def by_hand(net: torch.nn.Module, paths: list[str], size: int, out: Path) -> None:
    """The loop that one would write: decode, resize, stack, compute, write."""
    net.eval()
    with out.open("w", newline="") as file, torch.inference_mode():
        writer = csv.writer(file)
        writer.writerow(["path", "class", "probability_0", "probability_1"])
        for start in range(0, len(paths), BATCH):
            part = paths[start : start + BATCH]
            pixels = [
                np.asarray(Image.open(p).convert("RGB").resize((size, size), Image.BILINEAR))
                for p in part
            ]
            x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
            scores = net(x).double().softmax(1).tolist()
            for path, row in zip(part, scores, strict=True):
                writer.writerow([path, int(row[1] > row[0]), *row])


def ours(model: fv.ImageModel, paths: list[str], out: Path) -> None:
    """What the command does."""
    out.unlink(missing_ok=True)
    columns = PredictionColumns(["0", "1"])
    with PredictionFile(out, columns, "mark", "csv") as file:
        pictures = unlabelled_pictures(paths)
        for batch in predict_pictures(model, pictures, batch_size=BATCH, done=file.done):
            file.write(columns.rows(*batch))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--backbone", default="small-cnn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    paths = list(picture_files([options.root]))[: options.n]
    size = options.image_size
    images = np.random.default_rng(0).integers(0, 255, (64, 3, size, size), dtype=np.uint8)
    net = TorchClassifier(options.backbone, max_epochs=1, random_state=0, device="cpu")
    net.fit(images, np.arange(64) % 2)
    model = fv.ImageModel(net, image_size=size)
    seconds: dict[str, list[tuple[float, float]]] = {"by hand": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.csv")
        for _ in range(options.rounds):
            for name, run in (
                ("by hand", lambda: by_hand(net.module_, paths, size, out)),
                ("ours", lambda: ours(model, paths, out)),
            ):
                start = time.perf_counter(), time.process_time()
                run()
                end = time.perf_counter(), time.process_time()
                seconds[name].append((end[0] - start[0], end[1] - start[1]))
    print(f"{len(paths)} files, {size} pixels, {options.backbone}, {os.cpu_count()} cores")
    for i, clock in enumerate(("of the clock", "of the processor")):
        hand, own = ([each[i] for each in seconds[name]] for name in seconds)
        ratios = [a / b for a, b in zip(hand, own, strict=True)]
        print(
            f"a second {clock}: by hand {len(paths) / median(hand):.0f}, ours "
            f"{len(paths) / median(own):.0f}; ours / by hand {median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()

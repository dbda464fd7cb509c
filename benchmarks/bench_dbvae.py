"""What resampling costs: ``python benchmarks/bench_dbvae.py [n_samples] [image_size] [rounds]``.

An epoch with resampling against the same epoch without, in turns in one run, in seconds of the
processor. Exits with 1 where the median ratio is above 1.15.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from fairvision.datasets import load_faces
from fairvision_dbvae import DBVAEClassifier

LIMIT = 1.15
SHAPES = {"quick": {}, "lab": {"backbone": "fairvision_dbvae:lab_encoder", "n_latents": 100}}


def epoch_seconds(images: np.ndarray, target: np.ndarray, **params: object) -> float:
    """Processor seconds of the second epoch of two; the first one warms caches."""
    model = DBVAEClassifier(max_epochs=2, device="cpu", random_state=0, **params)
    marks: list[float] = []
    objective = model.make_objective

    def timed() -> object:
        made = objective()
        order, attributes = made.order, made.fitted_attributes

        def marked(module: object, rows: object) -> torch.Tensor:
            marks.append(time.process_time())
            return order(module, rows)

        def ended(module: object, rows: object) -> object:
            marks.append(time.process_time())
            return attributes(module, rows)

        made.order, made.fitted_attributes = marked, ended
        return made

    model.make_objective = timed
    model.fit(images, target)
    return marks[2] - marks[1]


def main(n_samples: int = 2000, image_size: int = 64, rounds: int = 5) -> None:
    torch.set_num_threads(1)
    faces = load_faces(n_samples, image_size, random_state=0)
    worst = 0.0
    for name, params in SHAPES.items():
        pairs = np.array(
            [
                [
                    epoch_seconds(faces.images, faces.target, alpha=alpha, **params)
                    for alpha in (None, 0.01)
                ]
                for _ in range(rounds)
            ]
        )
        without, resampled = np.median(pairs, axis=0)
        ratios = pairs[:, 1] / pairs[:, 0]
        worst = max(worst, float(np.median(ratios)))
        print(
            f"{name}, {n_samples} images of {image_size} x {image_size}: {without:.2f} s an epoch "
            f"without, {resampled:.2f} s with resampling; ratio {np.median(ratios):.3f} "
            f"({ratios.min():.3f} to {ratios.max():.3f} in {rounds} rounds)"
        )
    print(f"limit {LIMIT}: {'kept' if worst <= LIMIT else 'BROKEN'}")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

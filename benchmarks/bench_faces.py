"""How long drawing takes: ``python benchmarks/bench_faces.py [n_samples] [image_size]``.

Prints wall and processor seconds, and faces per second, on one core.
"""

from __future__ import annotations

import sys
import time

from fairvision.datasets import load_faces


def main(n_samples: int = 6000, image_size: int = 64) -> None:
    load_faces(100, image_size)  # imports and first pages of memory are not drawing
    for masks in (False, True):
        wall, cpu = time.perf_counter(), time.process_time()
        load_faces(n_samples, image_size, return_masks=masks)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        what = "with masks" if masks else "images only"
        print(
            f"{n_samples} faces of {image_size} x {image_size}, {what}: "
            f"{wall:.2f} s ({cpu:.2f} s of processor), {n_samples / wall:.0f} faces/s"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""What partners cost: ``python benchmarks/bench_latent.py [n_latents] [latent_dim] [rounds]``.

Partners of 160,000 latents of 512 numbers in single precision; with a target hyperplane for each
domain; and for two protected attributes, where each latent has three partners. Wall-clock seconds
of one thread, the best of the rounds; the limit is for the default sizes. Exits with 1 above it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its linear algebra

import sys
import time

import numpy as np

from fairvision_latent import Hyperplane
from fairvision_latent._algorithm import flips, moved

LIMITS = {"one attribute": 1.0, "a target for each domain": 2.0, "two attributes, 3 partners": 2.0}


def main(n: int = 160_000, dim: int = 512, rounds: int = 3) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((n, dim), dtype=np.float32)
    planes = [Hyperplane.of(rng.standard_normal(dim), rng.normal(), name=str(i)) for i in range(4)]
    targets, first, both = planes[:2], planes[2:3], planes[2:]
    out = np.zeros((3, n, dim), dtype=np.float32)  # touched: the machine's paging is not ours

    def two() -> None:
        for place, flip in zip(out, flips(2), strict=True):
            moved(z, targets[:1], both, flip, out=place)

    jobs = {
        "one attribute": lambda: moved(z, targets[:1], first, [True], out=out[0]),
        "a target for each domain": lambda: moved(z, targets, first, [True], out=out[0]),
        "two attributes, 3 partners": two,
    }
    broken = False
    for name, job in jobs.items():
        seconds = []
        for _ in range(rounds):
            began = time.perf_counter()
            job()
            seconds.append(time.perf_counter() - began)
        broken |= min(seconds) > LIMITS[name]
        print(
            f"{name}: {n} latents of {dim}: {min(seconds):.2f} s (up to {max(seconds):.2f} s in "
            f"{rounds} rounds), limit {LIMITS[name]:.0f} s"
        )
    print("kept" if not broken else "BROKEN")
    sys.exit(broken)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

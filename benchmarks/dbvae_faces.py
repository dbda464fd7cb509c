"""Face or no face, 95 % of the training faces light-skinned: recall by skin tone over alpha.

``python benchmarks/dbvae_faces.py [--seeds 5] [--n-train 1200] [--epochs 20] ...``
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from dbvae_evidence import UNTOLD, VARIANTS, report, run
from dbvae_negatives import plain, scrambled, textures
from numpy.typing import NDArray

from fairvision.datasets import load_faces

TONES = ("I", "II", "III", "IV", "V", "VI")
#: Nothing but skin, hair, age and smile differs by design; the drawing's nuisances stay.
BARE = {"background": {"indoor": 1.0}, "hat": 0.0, "beard": 0.0, "eyeglasses": 0.0}


def draw(
    n: int, size: int, light: float, rng: np.random.Generator, *, easy: float, bare: bool
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Faces, a share of which is light-skinned, and as many non-faces of every tone.

    A share `easy` of the non-faces are plain or textures, half each; the others
    are faces with two parts exchanged.
    """
    shares = {tone: (light if i < 3 else 1 - light) / 3 for i, tone in enumerate(TONES)}
    fixed = BARE if bare else {}
    faces = load_faces(n // 2, size, probabilities=fixed | {"skin_tone": shares}, random_state=rng)
    n_hard = round(n // 2 * (1 - easy))
    n_plain = (n // 2 - n_hard) // 2
    parts = [plain(n_plain, size, rng), textures(n // 2 - n_hard - n_plain, size, rng)]
    if n_hard:
        spare = load_faces(n_hard, size, probabilities=fixed, random_state=rng)
        parts.append(scrambled(spare.images, rng, hard=True))
    images = np.concatenate([faces.images, *parts])
    target = (np.arange(len(images)) < n // 2).astype(int)
    tone = np.full(len(images), "none", dtype=object)
    tone[: n // 2] = faces.attributes["skin_tone"]
    return images, target, tone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--kl-weight", type=float, default=3e-3)
    parser.add_argument("--n-train", type=int, default=1200)
    parser.add_argument("--n-test", type=int, default=2400)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--light", type=float, default=0.95)
    parser.add_argument("--easy", type=float, default=0.2, help="share of plain and texture")
    parser.add_argument("--bare", action="store_true", help="no hats, beards, glasses; indoors")
    parser.add_argument("--variants", default="all", help="names with semicolons")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = UNTOLD if args.variants == "all" else args.variants.split(";")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        rng = np.random.default_rng(seed)
        train = draw(args.n_train, args.size, args.light, rng, easy=args.easy, bare=args.bare)
        test = draw(args.n_test, args.size, 0.5, rng, easy=args.easy, bare=args.bare)
        for name in names:
            params = {"max_epochs": args.epochs, "batch_size": 32, "kl_weight": args.kl_weight}
            params |= {"random_state": seed} | VARIANTS[name]
            found = run(train, test, TONES[3:], **params)
            results[name].append(found)
            line = ", ".join(f"{key} {value:.1f}" for key, value in found.items())
            print(f"seed {seed}, alpha {name}: {line}", flush=True)
    print()
    report(results)


if __name__ == "__main__":
    main()

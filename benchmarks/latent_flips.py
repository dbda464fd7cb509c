"""Whether a GAN's pairs flip what they should, on photographs of CelebA, with one command.

``python benchmarks/latent_flips.py --out DIR`` trains a GAN on FAIRVISION_CELEBA's faces, as it
comes and with augmentation, for so many images each; then makes pairs for three attributes and
asks classifiers that saw other rows whether the partner shows the other value (aim: 70 %) and
keeps the target (aim: 85 %). DIR then holds a sheet of images of every stage. Both trainings go
on where they stopped. The defaults are for some ten minutes of one GPU each;
``--size 16 --width 8 --images 2000`` tries the way on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.frozen import FrozenEstimator

from fairvision.datasets import load
from fairvision_latent import LatentPairSampler, ProgressiveGAN

#: The protected attribute, and the target that its pairs keep.
TASKS = {"Eyeglasses": "Male", "Smiling": "Male", "Male": "Smiling"}
AUGMENTATIONS = {"plain": None, "augmented": ("color", "translation", "cutout")}


def pictures(root: str, size: int, n: int | None) -> tuple[np.ndarray, pd.DataFrame]:
    """The faces, decoded once, and their attributes."""
    data = load("celeba", root=root, image_size=size, target="Smiling", sensitive="Male")
    rows = np.arange(len(data.images))[:n]
    columns = {name: np.asarray(data.attributes[name])[rows] for name in TASKS}
    return np.asarray(data.images[rows]), pd.DataFrame(columns)


def flips(gan: ProgressiveGAN, X: np.ndarray, labels: pd.DataFrame, device: str) -> pd.DataFrame:
    """A row an attribute: shares of partners that flip it and keep the target."""
    rows = []
    for protected, target in TASKS.items():
        sampler = LatentPairSampler(FrozenEstimator(gan), device=device, random_state=0)
        sampler.fit_resample(X, labels[target], sensitive_features=labels[[protected]])
        agreement = sampler.label_agreement_.reset_index().iloc[[0]]
        rows.append(agreement.assign(attribute=protected, keeps=target))
    return pd.concat(rows, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=os.environ.get("FAIRVISION_CELEBA"))
    parser.add_argument("--out", type=Path, default=Path("runs/latent-flips"))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=1_500_000, help="shown at full size")
    parser.add_argument("--rows", type=int, help="photographs to train on; all if not given")
    parser.add_argument("--only", choices=tuple(AUGMENTATIONS))
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    if not args.root:
        raise SystemExit("pass --root, or set FAIRVISION_CELEBA")
    X, labels = pictures(args.root, args.size, args.rows)
    for name in [args.only] if args.only else AUGMENTATIONS:
        folder = args.out / name
        gan = ProgressiveGAN(
            latent_dim=args.width, max_width=args.width, base_width=16 * args.width,
            images_per_phase=args.images // 10, final_images=args.images, batch_size=args.batch,
            augmentations=AUGMENTATIONS[name], checkpoint=folder, device=args.device,
            random_state=0, verbose=1,
        )  # fmt: skip
        start = time.perf_counter()
        gan.fit(X)
        seconds = time.perf_counter() - start
        found = flips(gan, X, labels, args.device)
        print(f"\n{name}: {len(X)} faces, {seconds:.0f} s, {torch.__version__}")
        print(found.round(3).to_markdown(index=False))
        result = {"seconds": seconds, "last": gan.history_[-1], "pairs": found.to_dict("records")}
        (folder / "flips.json").write_text(json.dumps(result, default=float, indent=1))


if __name__ == "__main__":
    main()

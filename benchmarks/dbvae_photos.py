"""Photographed faces against patches of other pictures: recall by perceived race x gender.

``python benchmarks/dbvae_photos.py --root UTKFACE [--seeds 5] ...``, or with the folder in
FAIRVISION_UTKFACE; ``--lfw`` for scikit-image's 200 LFW patches instead. Needs scikit-image.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np
import torch
from dbvae_evidence import UNTOLD, VARIANTS, report, run
from dbvae_negatives import scrambled
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, cross_val_score

from fairvision.datasets import load_utkface
from fairvision_dbvae import DBVAEClassifier

#: scikit-image's own pictures that show nobody's face and come with its wheel.
PICTURES: tuple[str, ...] = (
    "brick",
    "cell",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
)
PICTURES += ("immunohistochemistry", "moon", "page", "retina", "rocket", "text")
Data = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def patches(n: int, size: int, half: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Square cuts of the left (0) or right (1) halves of the pictures, turned and coloured."""
    import skimage.data
    from skimage.transform import resize

    out = np.empty((n, 3, size, size), np.uint8)
    pictures = [np.asarray(getattr(skimage.data, name)()) for name in PICTURES]
    for i, which in enumerate(rng.integers(len(pictures), size=n)):
        picture = pictures[which] / 255
        middle = picture.shape[1] // 2
        picture = picture[:, :middle] if half == 0 else picture[:, middle:]
        side = int(rng.integers(size, min(4 * size, *picture.shape[:2]) + 1))
        top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[:2])
        cut = picture[top : top + side, left : left + side]
        cut = resize(np.rot90(cut, int(rng.integers(4))), (size, size), anti_aliasing=True)
        if cut.ndim == 2:  # between two colours, so that grey does not give it away
            first, second = rng.uniform(0, 1, (2, 3))
            cut = first + cut[..., None] * (second - first)
        out[i] = np.rint(255 * np.clip(cut[..., :3], 0, 1)).transpose(2, 0, 1)
    return out


def split(utk: Any, args: argparse.Namespace, rng: np.random.Generator) -> tuple[Data, Data]:
    """A training set mostly of one perceived race, a test set balanced over race x gender."""
    race, gender = (utk.attributes[name].to_numpy() for name in ("race", "gender"))
    cell = race + " " + gender.astype(object)
    chosen = {}
    for name in sorted(set(cell)):
        chosen[name] = rng.permutation(np.flatnonzero(cell == name))
    test = np.concatenate([rows[: args.n_test_cell] for rows in chosen.values()])
    rest = np.setdiff1d(np.arange(len(cell)), test)
    common = rng.permutation(rest[race[rest] == args.race])
    others = rng.permutation(rest[race[rest] != args.race])
    n_common = round(args.n_train * args.share)
    train = np.concatenate([common[:n_common], others[: args.n_train - n_common]])
    if len(train) < args.n_train:
        raise SystemExit(f"only {len(train)} photographs for training; lower --n-train")
    parts = []
    for half, rows in enumerate((train, test)):
        faces = utk.images[rows]
        faces = np.asarray(faces if isinstance(faces, np.ndarray) else faces[:])
        n_hard = round(len(rows) * args.scrambled)
        spare = np.asarray(utk.images[rng.choice(np.setdiff1d(rest, train), n_hard, False)][:])
        other = [patches(len(rows) - n_hard, args.size, half, rng)]
        if n_hard:
            other.append(scrambled(spare, rng, hard=True))
        images = np.concatenate([faces, *other])
        target = (np.arange(len(images)) < len(rows)).astype(int)
        group = np.r_[cell[rows], np.full(len(images) - len(rows), "none")]
        parts.append((images, target, group))
    return parts[0], parts[1]


def utkface(args: argparse.Namespace) -> None:
    """The table on UTKFace."""
    utk = load_utkface(args.root, image_size=args.size)
    utk.images = np.asarray(utk.images[:])
    results: dict[str, list[dict[str, float]]] = {name: [] for name in args.names}
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        train, test = split(utk, args, np.random.default_rng(seed))
        rare = [g for g in set(train[2]) if g != "none" and not g.startswith(args.race)]
        for name in args.names:
            params = {"max_epochs": args.epochs, "batch_size": 32, "kl_weight": args.kl_weight}
            params |= {"random_state": seed} | VARIANTS[name]
            found = run(train, test, rare, **params)
            results[name].append(found)
            line = ", ".join(f"{key} {value:.1f}" for key, value in found.items())
            print(f"seed {seed}, alpha {name}: {line}", flush=True)
    print()
    report(results)


def lfw(args: argparse.Namespace) -> None:
    """Accuracy on 100 faces and 100 others of 25 x 25 pixels; nobody's group is known."""
    import skimage.data

    images = skimage.data.lfw_subset()[:, None].astype(np.float32)
    target = np.repeat([1, 0], 100)
    for name in args.names:
        scores = []
        for seed in range(args.seeds):
            params = {"max_epochs": args.epochs, "batch_size": 16, "random_state": seed}
            model = DBVAEClassifier(device="cpu", **params, **VARIANTS[name])
            folds = StratifiedKFold(5, shuffle=True, random_state=seed)
            scores.append(cross_val_score(model, images, target, cv=folds).mean())
        mean, spread = 100 * np.mean(scores), 100 * np.std(scores, ddof=1)
        print(f"alpha {name}: accuracy {mean:.1f} (sd over {args.seeds} seeds {spread:.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=os.environ.get("FAIRVISION_UTKFACE"))
    parser.add_argument("--lfw", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--kl-weight", type=float, default=3e-3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--race", default="White", help="perceived race that prevails")
    parser.add_argument("--share", type=float, default=0.95, help="its share in training")
    parser.add_argument("--n-train", type=int, default=600, help="faces")
    parser.add_argument("--n-test-cell", type=int, default=100, help="of each race x gender")
    parser.add_argument("--scrambled", type=float, default=0.0, help="share of hard non-faces")
    parser.add_argument("--variants", default="all", help="names with semicolons")
    args = parser.parse_args()
    args.names = UNTOLD if args.variants == "all" else args.variants.split(";")
    torch.set_num_threads(1)
    if not args.lfw and not args.root:
        parser.error("pass --root, set FAIRVISION_UTKFACE, or pass --lfw")
    lfw(args) if args.lfw else utkface(args)


if __name__ == "__main__":
    main()

"""Data attribution on drawn faces: ``python benchmarks/attribution_faces.py --seeds 5``.

The paper's protocol: the confounder is in two thirds of one class of the training rows and in none
of the other; the test set, always clean, is balanced over the four cells. Every quantile of every
noise is trained; the one with the highest accuracy less gap on 400 validation pictures, balanced
too, is looked at on the test pictures. "Gap" is the paper's: how far the two classes' accuracies
are apart. "Closed" is the share of the gap between plain training on the biased and on balanced
rows that is gone; its interval holds that gap fixed. Rows are kept in ``--out``: the same command
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.datasets import biased_split, load_faces
from fairvision.nn import TorchClassifier
from fairvision_attribution import AttributionNoise, NoisyImages, RegionClassifier
from fairvision_attribution._algorithm import top_mask

TARGETS = {
    "hat": "smiling",
    "eyeglasses": "smiling",
    "hair_colour=blond": "eyeglasses",
    "smiling": "eyeglasses",
}
QUANTILES = (0.6, 0.8, 0.9, 0.95)
NOISES = ("mask", "gaussian", "swap")


def variants(noises: Sequence[str] = NOISES) -> list[tuple[str, str]]:
    return list(itertools.product(("general", "specific"), noises))


def measure(model: Any, data: Bunch, rows: np.ndarray) -> dict[str, float]:
    y, a = data.target[rows], data.confounder[rows]
    right = model.predict(data.images[rows]) == y
    first, second = (right[y == c].mean() for c in (0, 1))
    cells = [right[(y == c) & (a == b)].mean() for c in (0, 1) for b in (0, 1)]
    return {
        "accuracy": right.mean(), "gap": abs(second - first), "worst": min(cells),
        "class 0": first, "class 1": second,
    }  # fmt: skip


def splits(faces: Bunch, confounder: str, seed: int, n_train: int) -> tuple[Bunch, Bunch]:
    """The biased rows and, as `balanced`, the control's; `valid` are among neither."""
    how = {
        "target": TARGETS[confounder], "confounder": confounder, "confounding": 2 / 3,
        "counterexamples": 0.0, "n_train": n_train, "n_test": 2000, "random_state": seed,
    }  # fmt: skip
    data, control = biased_split(faces, **how), biased_split(faces, balanced=True, **how)
    # The balanced test rows are cut into 400 for validation and 1,600 for the table.
    cell = data.target * 2 + data.confounder
    kept = [data.test[cell[data.test] == c] for c in range(4)]
    data.valid = np.concatenate([rows[:100] for rows in kept])
    data.test = np.concatenate([rows[100:] for rows in kept])
    data.images, data.balanced = faces.images, control.train
    return data, faces.masks[confounder.partition("=")[0]]


def hits(regions: RegionClassifier, data: Bunch, true: np.ndarray) -> dict[str, float]:
    """How much of the maps' top tenth lies on the attribute's true pixels, where it shows."""
    rows = data.test[(data.confounder[data.test] == 1) & true[data.test].any((1, 2))]
    mask, general = true[rows], top_mask(regions.mean_map_, 0.9)
    specific = top_mask(regions.pixel_map(data.images[rows]), 0.9)
    return {
        "chance": mask.mean(),
        "best": np.minimum(mask.mean((1, 2)) / 0.1, 1).mean(),
        "general": (mask & general).sum() / (len(mask) * general.sum()),
        "specific": (mask & specific).sum() / specific.sum(),
    }


def run(faces: Bunch, confounder: str, seed: int, args: argparse.Namespace) -> list[dict]:
    data, true = splits(faces, confounder, seed, args.n_train)
    X, y, a, train = data.images, data.target, data.confounder, data.train
    base = {"confounder": confounder, "seed": seed}
    rows = []

    def net() -> TorchClassifier:
        return TorchClassifier(max_epochs=args.epochs, random_state=seed)

    def note(name: str, model: Any, quantile: float, began: float) -> None:
        row = base | {"method": name, "quantile": quantile}
        row |= {f"valid {k}": v for k, v in measure(model, data, data.valid).items()}
        row |= measure(model, data, data.test) | {"seconds": time.process_time() - began}
        rows.append(row)
        short = {k: round(float(row[k]), 3) for k in ("accuracy", "gap", "worst", "seconds")}
        print(confounder, seed, name, quantile, short, flush=True)

    began = time.process_time()
    note("erm", net().fit(X[train], y[train]), 0, began)
    note("erm, balanced data", net().fit(X[data.balanced], y[data.balanced]), 0, began)
    hidden = NoisyImages(X[train], true[train], random_state=seed)
    note("true pixels, mask", net().fit(hidden, y[train]), 0, began)
    with TemporaryDirectory() as folder:
        how = {"cache": folder, "patch_size": args.patch_size}
        sampler = AttributionNoise(attribution=how, random_state=seed)
        regions = sampler.fit(X[train], y[train], sensitive_features=a[train]).attribution_
        rows.append(base | {"method": "map"} | hits(regions, data, true))
        rows[-1]["ece"] = regions.calibration(X[data.valid], a[data.valid]).ece
        for (scope, noise), q in itertools.product(variants(args.noises), args.quantiles):
            began = time.process_time()
            sampler = AttributionNoise(
                scope, noise, quantile=q, random_state=seed, attribution=FrozenEstimator(regions)
            )
            model = fv.compose(pre=sampler, model=net())
            model.fit(X[train], y[train], sensitive_features=a[train])
            note(f"{scope} {noise}", model, q, began)
    return rows


def interval(values: Any, scale: float = 1.0) -> str:
    """Mean and the 95 % interval of the t distribution."""
    values = np.asarray(values, dtype=float) * scale
    n, mean = len(values), values.mean()
    if n < 2:
        return f"{mean:.3f}"
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


def chosen(results: pd.DataFrame) -> pd.DataFrame:
    """For each method and seed its quantile that did best on validation pictures."""
    score = results["valid accuracy"] - results["valid gap"]
    best = score.groupby([results["method"], results["seed"]]).idxmax()
    return results.loc[best]


def table(results: pd.DataFrame) -> str:
    """One confounder's methods, means over seeds."""
    picked = chosen(results)
    names = [n for n in (f"{s} {n}" for s, n in variants()) if n in set(results["method"])]
    noisy = results[results["method"].isin(names)]
    overall = chosen(noisy.assign(method="best on validation data"))
    by = {
        m: r.set_index("seed").sort_index()
        for m, r in pd.concat([picked, overall]).groupby("method")
    }
    erm, control = by["erm"], by["erm, balanced data"]
    room = (erm["gap"] - control["gap"]).mean()
    columns = [
        "method",
        "quantiles",
        "accuracy",
        "gap",
        "closed",
        "worst cell",
        "class 0",
        "class 1",
    ]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    first = ["erm", "erm, balanced data", "true pixels, mask"]
    for name in [*first, *names, "best on validation data"]:
        rows = by[name]
        closed = "" if name in first[:2] else interval((erm["gap"] - rows["gap"]) / room)
        quantiles = "" if name in first else " ".join(f"{q:g}" for q in rows["quantile"])
        cells = [name, quantiles, interval(rows["accuracy"]), interval(rows["gap"]), closed]
        cells += [
            interval(rows["worst"]),
            *(f"{rows[c].mean():.3f}" for c in ("class 0", "class 1")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def by_quantile(results: pd.DataFrame) -> str:
    """Test gap and accuracy of every quantile: what the choice on validation data was made from."""
    noisy = results[results["quantile"] > 0]
    means = noisy.groupby(["method", "quantile"])[["accuracy", "gap"]].mean()
    text = means.apply(lambda r: f"{r['accuracy']:.3f} / {r['gap']:.3f}", axis=1).unstack()
    lines = ["| accuracy / gap | " + " | ".join(f"{q:g}" for q in text.columns) + " |"]
    lines.append("|" + "---|" * (1 + len(text.columns)))
    order = [f"{s} {n}" for s, n in variants()]
    lines += [f"| {n} | " + " | ".join(text.loc[n]) + " |" for n in order if n in text.index]
    return "\n".join(lines)


def maps(results: pd.DataFrame) -> str:
    lines = ["| confounder | general | specific | chance | at most | ECE |", "|" + "---|" * 6]
    for confounder, rows in results.groupby("confounder", sort=False):
        cells = [interval(rows[c]) for c in ("general", "specific")]
        cells += [f"{rows[c].mean():.3f}" for c in ("chance", "best", "ece")]
        lines.append(f"| {confounder} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(rows: list[dict]) -> None:
    frame = pd.DataFrame(rows)
    is_map = frame["method"] == "map"
    print("\n" + maps(frame[is_map]))
    for confounder, part in frame[~is_map].groupby("confounder", sort=False):
        n_seeds = part["seed"].nunique()
        print(f"\n{confounder} in 2/3 of {TARGETS[confounder]!r}, {n_seeds} seeds\n")
        print(table(part))
        print("\n" + by_quantile(part))


def tag(args: argparse.Namespace) -> str:
    """What was asked, in the name of the files that hold it."""
    asked = (args.n_train, args.epochs, args.patch_size, args.noises, args.quantiles)
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--n-train", type=int, default=1200)
    parser.add_argument("--confounders", default=",".join(TARGETS))
    parser.add_argument("--noises", nargs="+", default=NOISES)
    parser.add_argument("--quantiles", type=float, nargs="+", default=QUANTILES)
    parser.add_argument("--patch-size", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/attribution_faces"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        faces = None
        for confounder in args.confounders.split(","):
            path = args.out / f"{confounder}-{tag(args)}-{seed}.json"
            if not path.exists():
                faces = faces or load_faces(10_000, 32, return_masks=True, random_state=seed)
                path.write_text(json.dumps(run(faces, confounder, seed, args), default=float))
            rows += json.loads(path.read_text())
    report(rows)


if __name__ == "__main__":
    main()

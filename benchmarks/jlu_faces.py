"""Joint learning and unlearning on drawn faces: ``python benchmarks/jlu_faces.py --seeds 5``.

Eyeglasses are the target, a hat the confounder: it goes with them in 95 % of the training
rows. The test set is balanced over the four cells. All models take the same number of
optimisation steps on the same rows; ``spurious_data`` are 2,000 other faces of which only
the hat is labelled. Worst cell is the accuracy in the worst of the four cells, probe the
balanced accuracy of a fresh probe that reads the hat from frozen test features. Intervals
are the t distribution's over seeds, differences paired by seed.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
import torch
from scipy import stats

from fairvision.datasets import biased_split, load_faces
from fairvision.exceptions import CollapseWarning
from fairvision.metrics import leakage
from fairvision.nn import TorchClassifier
from fairvision_jlu import JLUClassifier

BASELINE = "erm"
MEASURES = ["accuracy", "worst cell", "probe"]


def methods(epochs: int, seed: int, only: str | None) -> dict[str, tuple]:
    """Name to (estimator, keeps the biased rows, uses spurious data)."""
    common = {"max_epochs": epochs, "random_state": seed}
    published = {
        "warmup": 0, "ramp": 0, "head_solver": "adam", "head_steps": 10,
        "standardize": False, "decorrelate": False, "class_weight": None,
    }  # fmt: skip
    table = {
        "erm": (TorchClassifier(**common), True, False),
        "erm, balanced data": (TorchClassifier(**common), False, False),
        "jlu 0.3": (JLUClassifier(alpha=0.3, **common), True, False),
        "jlu 1": (JLUClassifier(alpha=1, **common), True, False),
        "jlu 3": (JLUClassifier(alpha=3, **common), True, False),
        "jlu 1, spurious_data": (JLUClassifier(alpha=1, **common), True, True),
        "published 1": (JLUClassifier(alpha=1, **common, **published), True, False),
        "published 1, spurious_data": (JLUClassifier(alpha=1, **common, **published), True, True),
    }
    return {name: how for name, how in table.items() if only is None or name in only.split(";")}


def measure(model, faces, split) -> dict[str, float]:
    images, y, a = faces.images[split.test], split.target[split.test], split.confounder[split.test]
    right = pd.Series(model.predict(images) == y)
    probe = leakage(model.transform(images), a, y=y, n_boot=1, random_state=0)
    return {
        "accuracy": right.mean(),
        "worst cell": right.groupby([y, a]).mean().min(),
        "probe": probe.loc["target_balanced_accuracy", "value"],
    }


def run(seed: int, args: argparse.Namespace) -> list[dict]:
    faces = load_faces(9000, 32, random_state=seed)
    how = {
        "target": args.target, "confounder": args.confounder, "confounding": 0.95,
        "n_train": args.n_train, "n_test": 2000, "random_state": seed,
    }  # fmt: skip
    biased, balanced = biased_split(faces, **how), biased_split(faces, balanced=True, **how)
    rest = np.setdiff1d(np.arange(len(faces.images)), np.union1d(biased.train, biased.test))
    others = np.random.default_rng(seed).permutation(rest)[:2000]
    rows = []
    for name, (model, keep, extra) in methods(args.epochs, seed, args.only).items():
        split = biased if keep else balanced
        given = {"sensitive_features": split.confounder[split.train]}
        if extra:
            given = {"spurious_data": (faces.images[others], split.confounder[others])}
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CollapseWarning)
            model.fit(faces.images[split.train], split.target[split.train], **given)
        seconds = time.perf_counter() - start
        row = {"method": name, "seed": seed, **measure(model, faces, split)}
        row |= {"collapsed": len(caught), "steps": model.n_steps_, "seconds": seconds}
        rows.append(row)
        print(*(f"{v:.3f}" if isinstance(v, float) else v for v in row.values()), flush=True)
    return rows


def interval(values: np.ndarray) -> str:
    """Mean and the 95 % interval of the t distribution."""
    mean, n = values.mean(), len(values)
    if n < 2:
        return f"{mean:.3f}"
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


def summary(results: pd.DataFrame) -> str:
    by = {name: rows.set_index("seed") for name, rows in results.groupby("method", sort=False)}
    head = ["method", *MEASURES]
    head += [f"{m} - {BASELINE}" for m in MEASURES[1:]] + ["collapsed", "steps", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, rows in by.items():
        cells = [name, *(interval(rows[m].to_numpy()) for m in MEASURES)]
        for m in MEASURES[1:]:
            other = by.get(BASELINE, rows)
            cells.append("" if name == BASELINE else interval((rows[m] - other[m]).to_numpy()))
        collapsed = f"{int(rows['collapsed'].sum())} of {len(rows)}"
        cells += [collapsed, str(rows["steps"].iloc[0]), f"{rows['seconds'].median():.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--n-train", type=int, default=2000)
    parser.add_argument("--target", default="eyeglasses")
    parser.add_argument("--confounder", default="hat")
    parser.add_argument("--only", help="method names, separated by ';'")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    results = pd.DataFrame([row for seed in seeds for row in run(seed, args)])
    print(
        f"\n{args.target} / {args.confounder}, {args.n_train} rows, {args.epochs} epochs, {seeds}"
    )
    print(summary(results))


if __name__ == "__main__":
    main()

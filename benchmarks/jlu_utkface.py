"""The report's experiment on UTKFace: ``python benchmarks/jlu_utkface.py --root DIR --seeds 5``.

Perceived age, in 14 bins of 4 years from 16 to 71, from photographs of women of 16-35 and men
of 40-71 (the bin 36-39 comes in with neither); the test set has as many women as men in every
bin. With ``--counterexamples 0.05``, that share of the training rows of each bin is of the
other gender. ``spurious_data`` are other photographs with the perceived gender only, as many
women as men in every bin. Printed for each method, with t intervals over seeds:

- accuracy over the 14 bins, and the mean absolute error in years;
- unseen: accuracy in the half of the test set that goes against the bias;
- gap: by how many years men are predicted older than women, where there is no difference;
- probe: balanced accuracy of a fresh probe for perceived gender on frozen test features.

``--tsne FILE`` draws the features of the first seed for alpha 0, 0.4 and 1 by gender.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
import torch
from scipy import stats

from fairvision.datasets import load_utkface
from fairvision.exceptions import CollapseWarning
from fairvision.metrics import leakage
from fairvision.nn import TorchClassifier
from fairvision_jlu import JLUClassifier

MEASURES = ["accuracy", "error", "unseen", "gap", "probe"]


def split(attributes: pd.DataFrame, counterexamples: float, seed: int) -> dict[str, np.ndarray]:
    """Row numbers: biased training rows, a balanced test set, balanced rows for gender only."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], "test": [], "gender": []}
    for bin_, rows in attributes.groupby("age_bin"):
        of = {g: rng.permutation(r.index.to_numpy()) for g, r in rows.groupby("gender")}
        n_fifth = min(len(r) for r in of.values()) // 5
        parts["test"] += [r[:n_fifth] for r in of.values()]
        parts["gender"] += [r[n_fifth : 2 * n_fifth] for r in of.values()]
        low = int(str(bin_).split("-")[0])
        if low == 36:
            continue
        usual, other = ("female", "male") if low < 36 else ("male", "female")
        kept = of[usual][2 * n_fifth :]
        n_other = round(len(kept) * counterexamples / (1 - counterexamples))
        parts["train"] += [kept, of[other][2 * n_fifth :][:n_other]]
    return {name: rng.permutation(np.concatenate(rows)) for name, rows in parts.items()}


def methods(args: argparse.Namespace, seed: int) -> dict[str, tuple]:
    """Name to (estimator, uses spurious data)."""
    common = {"max_epochs": args.epochs, "random_state": seed, "backbone": args.backbone}
    published = {
        "warmup": 0, "ramp": 0, "head_solver": "adam", "head_lr": 1e-3, "head_steps": 10,
        "standardize": False, "decorrelate": False,
    }  # fmt: skip
    common["class_weight"] = None  # as published
    table: dict[str, tuple] = {"erm": (TorchClassifier(**common), False)}
    for alpha in (0.4, 1.0):
        table[f"jlu {alpha:g}"] = (JLUClassifier(alpha=alpha, **common), False)
        table[f"jlu {alpha:g}, spurious_data"] = (JLUClassifier(alpha=alpha, **common), True)
    table["published 1"] = (JLUClassifier(alpha=1, **common, **published), False)
    return table


def measure(model, images, attributes: pd.DataFrame) -> dict[str, float]:
    low = attributes["age_bin"].str.split("-").str[0].astype(int).to_numpy()
    guess = pd.Series(model.predict(images)).str.split("-").str[0].astype(int).to_numpy()
    woman = attributes["gender"].to_numpy() == "female"
    unseen = np.where(low < 36, ~woman, woman) & (low != 36)
    probe = leakage(model.transform(images), woman, n_boot=1, random_state=0)
    return {
        "accuracy": (guess == low).mean(),
        "error": np.abs(guess - low).mean(),
        "unseen": (guess == low)[unseen].mean(),
        "gap": guess[~woman].mean() - guess[woman].mean(),
        "probe": probe.loc["balanced_accuracy", "value"],
    }


def interval(values: np.ndarray) -> str:
    mean, n = values.mean(), len(values)
    if n < 2:
        return f"{mean:.3f}"
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


def run(faces, images: np.ndarray, seed: int, args: argparse.Namespace) -> list[dict]:
    attributes = faces.attributes.reset_index(drop=True)
    bins, gender = attributes["age_bin"].to_numpy(str), attributes["gender"].to_numpy(str)
    parts = split(attributes, args.counterexamples, seed)
    train, test, others = parts["train"], parts["test"], parts["gender"]
    print("rows:", {name: len(rows) for name, rows in parts.items()})
    rows = []
    for name, (model, extra) in methods(args, seed).items():
        given = {"sensitive_features": gender[train]}
        if extra:
            given = {"spurious_data": (images[others], gender[others])}
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CollapseWarning)
            model.fit(images[train], bins[train], **given)
        row = {"method": name, "seed": seed, "seconds": time.perf_counter() - start}
        row |= measure(model, images[test], attributes.iloc[test]) | {"collapsed": len(caught)}
        rows.append(row)
        print(*(f"{v:.3f}" if isinstance(v, float) else v for v in row.values()), flush=True)
    return rows


def draw(faces, images: np.ndarray, args: argparse.Namespace) -> None:
    """t-SNE of the test features by perceived gender, for three alphas."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from sklearn.manifold import TSNE

    attributes = faces.attributes.reset_index(drop=True)
    gender = attributes["gender"].to_numpy(str)
    parts = split(attributes, args.counterexamples, seed=0)
    train, test = parts["train"], parts["test"]
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.5))
    for axis, alpha in zip(axes, (0, 0.4, 1), strict=True):
        model = JLUClassifier(
            args.backbone, alpha=alpha, max_epochs=args.epochs, class_weight=None, random_state=0
        ).fit(
            images[train],
            attributes["age_bin"].to_numpy(str)[train],
            spurious_data=(images[parts["gender"]], gender[parts["gender"]]),
        )
        points = TSNE(random_state=0).fit_transform(model.transform(images[test]))
        for value in ("female", "male"):
            chosen = gender[test] == value
            axis.scatter(*points[chosen].T, s=6, alpha=0.7, label=value)
        axis.set_title(f"alpha = {alpha}")
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0].legend(title="perceived gender")
    figure.savefig(args.tsne, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--backbone", default="small-cnn")
    parser.add_argument("--counterexamples", type=float, default=0.0)
    parser.add_argument("--tsne")
    args = parser.parse_args()
    torch.set_num_threads(1)
    faces = load_utkface(args.root, target="age_bin", sensitive="gender", image_size=args.size)
    images = np.asarray(faces.images[np.arange(len(faces.target))])
    if args.tsne:
        draw(faces, images, args)
        return
    results = pd.DataFrame(
        [row for seed in range(args.seeds) for row in run(faces, images, seed, args)]
    )
    print(f"\ncounter-examples {args.counterexamples:g}, {args.size} x {args.size}")
    print("| method | " + " | ".join(MEASURES) + " | collapsed |")
    print("|" + "---|" * (len(MEASURES) + 2))
    plain = results[results["method"] == "erm"]
    differences = []
    for name, rows in results.groupby("method", sort=False):
        cells = [interval(rows[m].to_numpy()) for m in MEASURES]
        print(f"| {name} | {' | '.join(cells)} | {rows['collapsed'].sum()} of {len(rows)} |")
        cells = [interval(rows[m].to_numpy() - plain[m].to_numpy()) for m in MEASURES]
        differences.append(f"| {name} | {' | '.join(cells)} |")
    print("\n| method - erm, paired by seed | " + " | ".join(MEASURES) + " |")
    print("|" + "---|" * (len(MEASURES) + 1), *differences[1:], sep="\n")


if __name__ == "__main__":
    main()

"""Data attribution on photographs: ``python benchmarks/attribution_utkface.py --root DIR``.

Maps of perceived gender and race from one net, calibrated on held-out photographs
(``--figure FILE`` draws them over the mean photograph). Then a confounded training set: two thirds
of the photographs of people of 40 or more are of men and all others of women, and the classifier
is to tell who is 40 or more; the test set is balanced over the four cells. Quantiles are chosen on
200 validation photographs, as in ``attribution_faces.py``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from attribution_faces import chosen, interval, measure
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.datasets import biased_split, load_utkface
from fairvision.nn import TorchClassifier
from fairvision_attribution import AttributionNoise, RegionClassifier

QUANTILES = (0.6, 0.8, 0.9)


def maps(photos: Bunch, images: np.ndarray, figure: str | None) -> None:
    """Where perceived gender and race are told, and how well."""
    table = photos.attributes[["gender", "race"]]
    order = np.random.default_rng(0).permutation(len(images))
    train, held_out = order[:3000], order[3000:3500]
    began = time.process_time()
    regions = RegionClassifier(max_epochs=15, random_state=0)
    regions.fit(images[train], table.iloc[train])
    right = regions.predict(images[held_out]) == table.iloc[held_out].to_numpy()
    results = regions.calibration(images[held_out][:200], table.iloc[held_out[:200]])
    print(f"3,000 photographs, {time.process_time() - began:.0f} s")
    for result, accuracy, levels, mean in zip(
        results, right.mean(0), regions.classes_, regions.mean_map_, strict=True
    ):
        patches = np.average(result.curve["accuracy"], weights=result.curve["n"])
        most = np.unravel_index(mean.argmax(), mean.shape)
        print(
            f"{result.name}, {len(levels)} levels: accuracy {accuracy:.3f}, of single patches "
            f"{patches:.3f}, ECE {result.ece:.3f}, surest at row {most[0]}, column {most[1]} of "
            f"{len(mean)}"
        )
    if figure:
        draw(images[train[:500]], regions, figure)


def draw(images: np.ndarray, regions: RegionClassifier, path: str) -> None:
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(6, 3.2), layout="constrained")
    for axes, name, mean in zip(
        sheet.subplots(1, 2), regions.attribute_names_, regions.mean_map_, strict=True
    ):
        axes.imshow(images.mean((0, 1)) / 255, cmap="gray", vmin=0, vmax=1)
        axes.imshow(mean, cmap="inferno", alpha=0.5)
        axes.set_title(f"perceived {name}", fontsize=9)
        axes.set_axis_off()
    sheet.savefig(path, dpi=80)


def run(photos: Bunch, images: np.ndarray, seed: int, epochs: int) -> list[dict[str, Any]]:
    how = {
        "target": "old", "confounder": "gender", "confounding": 2 / 3, "counterexamples": 0.0,
        "n_train": 1200, "n_test": 800, "random_state": seed,
    }  # fmt: skip
    data, control = biased_split(photos, **how), biased_split(photos, balanced=True, **how)
    cell = data.target * 2 + data.confounder
    kept = [data.test[cell[data.test] == c] for c in range(4)]
    data.valid = np.concatenate([rows[:50] for rows in kept])
    data.test = np.concatenate([rows[50:] for rows in kept])
    data.images = images
    X, y, a = images[data.train], data.target[data.train], data.confounder[data.train]
    rows = []

    def note(name: str, model: Any, quantile: float = 0) -> None:
        row = {"method": name, "seed": seed, "quantile": quantile}
        row |= {f"valid {k}": v for k, v in measure(model, data, data.valid).items()}
        rows.append(row | measure(model, data, data.test))
        print(seed, name, quantile, {k: round(float(rows[-1][k]), 3) for k in ("accuracy", "gap")})

    net = TorchClassifier(max_epochs=epochs, random_state=seed)
    note("erm", net.fit(X, y))
    note("erm, balanced data", net.fit(images[control.train], data.target[control.train]))
    sampler = AttributionNoise(random_state=seed).fit(X, y, sensitive_features=a)
    sampler.set_params(attribution=FrozenEstimator(sampler.attribution_))
    for noise in ("mask", "gaussian", "swap"):
        for quantile in QUANTILES:
            sampler.set_params(noise=noise, quantile=quantile)
            model = fv.compose(pre=sampler, model=net).fit(X, y, sensitive_features=a)
            note(f"general {noise}", model, quantile)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--figure")
    args = parser.parse_args()
    torch.set_num_threads(1)
    photos = load_utkface(args.root, image_size=args.size)
    images = np.asarray(photos.images)
    maps(photos, images, args.figure)
    results = pd.DataFrame(
        [row for seed in range(args.seeds) for row in run(photos, images, seed, args.epochs)]
    )
    columns = ["accuracy", "gap", "worst"]
    print("\n| method | quantiles | " + " | ".join(columns) + " |\n" + "|---" * 5 + "|")
    for name, rows in chosen(results).groupby("method", sort=False):
        quantiles = " ".join(f"{q:g}" for q in rows["quantile"] if q)
        cells = " | ".join(interval(rows[c]) for c in columns)
        print(f"| {name} | {quantiles} | {cells} |")


if __name__ == "__main__":
    main()

"""What the two DB-VAE evidence tables share: a run, its recalls by group, means and intervals."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from fairvision_dbvae import DBVAEClassifier

#: Smoothing, and the two ways of the publications to combine latents beside the default.
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {"alpha": None},
    "0.1": {"alpha": 0.1},
    "0.05": {"alpha": 0.05},
    "0.01": {"alpha": 0.01},
    "0.001": {"alpha": 0.001},
    "0.01, not flattened": {"alpha": 0.01, "min_effective": 0.0},
    "0.001, max": {"alpha": 0.001, "aggregate": "max", "min_effective": 0.0},
    # No debiasing that anybody could use: what could be had if the rare groups were known.
    "told, 5 times": {"told": 5.0},
    "told, 19 times": {"told": 19.0},
}
#: What `--variants all` stands for.
UNTOLD = [name for name in VARIANTS if not name.startswith("told")]


def run(
    train: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    test: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    rare: Iterable[str],
    told: float | None = None,
    **params: Any,
) -> dict[str, float]:
    """Train on (X, y, group), test on another; percent, and how often rare groups were drawn."""
    began = time.perf_counter()
    X, y, group = train
    is_rare = np.isin(group, list(rare)) & (y == 1)
    model = DBVAEClassifier(device="cpu", **params)
    if told is not None:
        _tell(model, np.where(is_rare, told, 1.0))
    model.fit(X, y)
    X, y, of_test = test
    predicted = model.predict(X)
    groups = sorted(set(of_test[y == 1]))
    recall = {f"recall {g}": 100 * predicted[(y == 1) & (of_test == g)].mean() for g in groups}
    values = np.array(list(recall.values()))
    return recall | {
        "recall": values.mean(),
        "variance": values.var(),
        "worst": values.min(),
        "precision": 100 * y[predicted == 1].mean(),
        "accuracy": 100 * (predicted == y).mean(),
        "rare drawn": model.sample_odds_[is_rare].mean(),
        "sample": model.history_[-1, "effective_sample_size"],
        "seconds": time.perf_counter() - began,
    }


def _tell(model: DBVAEClassifier, odds: NDArray[np.float64]) -> None:
    """Draw rows by the given odds instead of their latents'."""
    make = model.make_objective

    def made() -> Any:
        objective = make()
        by_latents = objective.resample

        def by_odds(module: Any, rows: Any, part: torch.Tensor) -> Any:
            given = torch.from_numpy(odds)[part]
            return by_latents(module, rows, part)[0], given / given.sum()

        objective.resample = by_odds
        return objective

    model.make_objective = made


def interval(differences: NDArray[np.float64]) -> str:
    """Mean of paired differences with its 95 % t-interval."""
    n, mean = len(differences), differences.mean()
    if n < 2:
        return f"{mean:+.2f}"
    half = student.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]"


def report(results: Mapping[str, list[dict[str, float]]], baseline: str = "none") -> None:
    """Print means over seeds, then each variant's paired differences to the baseline."""
    frames = {name: pd.DataFrame(rows) for name, rows in results.items()}
    means = pd.DataFrame({name: frame.mean() for name, frame in frames.items()}).T
    by_group = [column for column in means if column.startswith("recall ")]
    others = [column for column in means if column not in by_group]
    print(_markdown(means[others].round(2)))
    print()
    print(_markdown(means[by_group].round(1)))
    print()
    compared = ("variance", "recall", "worst", "precision", "accuracy")
    rows = {
        name: {
            column: interval((frame[column] - frames[baseline][column]).to_numpy())
            for column in compared
        }
        for name, frame in frames.items()
        if name != baseline
    }
    print(f"Differences to `{baseline}`, paired by seed, mean [95 % t-interval]:\n")
    print(_markdown(pd.DataFrame(rows).T))


def _markdown(table: pd.DataFrame) -> str:
    head = ["alpha", *table.columns]
    lines = [head, ["---"] * len(head)]
    lines += [[str(name), *map(str, row)] for name, row in table.iterrows()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

"""The results of a recipe's comparisons as one long table, by block and by group of blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fairvision.comparison import Comparison, over_seeds
from fairvision.recipes._blocks import Block
from fairvision.recipes._read import Recipe

__all__ = ["results"]


def results(
    recipe: Recipe, blocks: Sequence[Block], comparisons: Mapping[str, Comparison]
) -> pd.DataFrame:
    """The columns of `Reproduction.results`, groups of blocks first."""
    names = [measure.name for measure in recipe.measures]
    by_block = {
        name: comparison.measure(names, by_seed=True) for name, comparison in comparisons.items()
    }
    groups: dict[str, list[pd.DataFrame]] = {}
    for block in blocks:
        if block.group is not None:
            groups.setdefault(block.group, []).append(by_block[block.name])
    rows: list[dict[str, Any]] = []
    for group, frames in groups.items():
        rows += _lines(recipe, group, _medians(frames), len(frames))
    for name, frame in by_block.items():
        rows += _lines(recipe, name, frame, 0)
    columns = ["block", "row", "measure", "value", "lower", "upper", "n_seeds", "paper"]
    return pd.DataFrame(rows, columns=[*columns, "median_of"]).astype({"paper": float})


def _medians(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Medians over the blocks, by method and seed: NaN where one block has NaN.

    A method and seed that failed in a block is left out.
    """
    runs = pd.concat(frames).groupby(level=["method", "seed", "metric"], sort=False)
    medians = runs.median().where(runs.count() == len(frames))
    return medians[runs.size() == len(frames)]


def _lines(
    recipe: Recipe, name: str, by_seed: pd.DataFrame, median_of: int
) -> Iterator[dict[str, Any]]:
    means = over_seeds(by_seed)
    for method in dict.fromkeys(means.index.get_level_values("method")):
        in_paper = recipe.paper.get(name, {}).get(method, {})
        for measure in recipe.measures:
            mean = means.loc[(method, measure.name)]
            yield {
                "block": name,
                "row": method,
                "measure": measure.name,
                **(mean[["value", "lower", "upper"]] * measure.scale).to_dict(),
                "n_seeds": int(mean["n_seeds"]),
                "paper": in_paper.get(measure.name),
                "median_of": median_of,
            }

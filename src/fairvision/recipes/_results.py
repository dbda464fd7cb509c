"""What a recipe's comparisons found, as one long table: a line a block, and a line a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fairvision.comparison import Comparison, over_seeds
from fairvision.recipes._plan import Block
from fairvision.recipes._read import Recipe

__all__ = ["results"]


def results(
    recipe: Recipe, blocks: Sequence[Block], done: Mapping[str, Comparison]
) -> pd.DataFrame:
    """The columns of `Reproduction.results`, groups of blocks first."""
    names = [measure.name for measure in recipe.measures]
    each = {name: found.measure(names, by_seed=True) for name, found in done.items()}
    groups: dict[str, list[pd.DataFrame]] = {}
    for block in blocks:
        if block.group is not None:
            groups.setdefault(block.group, []).append(each[block.name])
    rows: list[dict[str, Any]] = []
    for group, frames in groups.items():
        rows += _lines(recipe, group, _medians(frames), len(frames))
    for name, frame in each.items():
        rows += _lines(recipe, name, frame, 0)
    columns = ["block", "row", "measure", "value", "lower", "upper", "n_seeds", "paper"]
    return pd.DataFrame(rows, columns=[*columns, "median_of"]).astype({"paper": float})


def _medians(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of every method and seed that all blocks have; undefined where one block is."""
    runs = pd.concat(frames).groupby(level=["method", "seed", "metric"], sort=False)
    medians = runs.median().where(runs.count() == len(frames))
    return medians[runs.size() == len(frames)]


def _lines(
    recipe: Recipe, name: str, each: pd.DataFrame, median_of: int
) -> Iterator[dict[str, Any]]:
    found = over_seeds(each)
    for method in dict.fromkeys(found.index.get_level_values("method")):
        printed = recipe.paper.get(name, {}).get(method, {})
        for measure in recipe.measures:
            value = found.loc[(method, measure.name)]
            yield {
                "block": name,
                "row": method,
                "measure": measure.name,
                **(value[["value", "lower", "upper"]] * measure.scale).to_dict(),
                "n_seeds": int(value["n_seeds"]),
                "paper": printed.get(measure.name),
                "median_of": median_of,
            }

"""The comparisons of a recipe on one data set at one scale, and their cost."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairvision.comparison import BALANCED_BASELINE
from fairvision.exceptions import InputError
from fairvision.recipes._read import FigureSpec, Recipe, Row

__all__ = ["Block", "plan"]

_BATCH_SIZE = 64
# Bytes on disk: a finished run, and the predictions of each of its test rows.
_RUN_BYTES, _TEST_ROW_BYTES = 40_000, 20


@dataclass(frozen=True)
class Block:
    """One comparison of a recipe.

    Parameters
    ----------
    name : str
    dataset : str
    load : mapping
        Parameters of the loader.
    compare : mapping
        Parameters of `fairvision.compare`.
    rows : tuple of Row
    preset : str or None
    seeds : int
    prepare : str or None
        ``"module:function"`` of the plugin's package; it takes a Bunch and returns another.
    figures : tuple of FigureSpec
    deviations : tuple of str
    group : str or None
        The table has a line for each group: the median over its blocks.
    features : mapping
        Parameters of `FeatureExtractor`: the methods are given these features, not images.
    """

    name: str
    dataset: str
    load: Mapping[str, Any]
    compare: Mapping[str, Any]
    rows: tuple[Row, ...]
    preset: str | None
    seeds: int
    prepare: str | None
    figures: tuple[FigureSpec, ...]
    deviations: tuple[str, ...]
    group: str | None = None
    features: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_runs(self) -> int:
        """Rows times seeds; the balanced baseline counts as a row."""
        return (len(self.rows) + bool(self.compare.get("balanced_baseline"))) * self.seeds

    @property
    def n_steps(self) -> int | None:
        """ERM training steps of all runs in batches of 64; None before the data are read."""
        if self.compare.get("n_train") is None:
            return None
        batches = math.ceil(self.compare["n_train"] / _BATCH_SIZE)
        return self.n_runs * int(self.compare.get("max_epochs", 10)) * batches

    @property
    def n_bytes(self) -> int:
        """Estimated size of the results on disk, in bytes."""
        return self.n_runs * (
            _RUN_BYTES + _TEST_ROW_BYTES * int(self.compare.get("n_test") or 10_000)
        )


def plan(
    recipe: Recipe,
    data: str,
    scale: str,
    *,
    seeds: int | None = None,
    root: str | None = None,
) -> tuple[Block, ...]:
    """The comparisons of a recipe.

    Parameters
    ----------
    recipe : Recipe
    data : str
        One of ``recipe.data``.
    scale : str
        One of ``recipe.scales(data)``.
    seeds : int or None
        None takes the recipe's own.
    root : str or None
        Folder of the images, for data that are not drawn.

    Raises
    ------
    InputError
        If the recipe has no such data or scale.
    """
    if data not in recipe.data:
        raise InputError(
            f"the recipe {recipe.name!r} has no data {data!r}; it has {sorted(recipe.data)}."
        )
    if scale not in recipe.scales(data):
        raise InputError(
            f"the recipe {recipe.name!r} has no scale {scale!r} for {data!r}; it has "
            f"{sorted(recipe.scales(data))}."
        )
    common = dict(recipe.data[data])
    own = common[scale]
    root_param = {} if root is None else {"root": root}
    blocks = []
    for block in ChainMap(own, common).get("block", [{"name": "all"}]):
        settings = ChainMap(block, own, common)
        rows = [row for row in recipe.rows if row.label in settings.get("rows", [row.label])]
        blocks.append(
            Block(
                name=block["name"],
                dataset=data,
                load=_merged(settings, "load") | root_param,
                compare=_merged(settings, "compare"),
                rows=tuple(_with_params(row, recipe, settings) for row in rows),
                preset=settings.get("preset"),
                seeds=int(seeds or settings.get("seeds", 3)),
                prepare=settings.get("prepare"),
                figures=_figures(
                    recipe, block["name"], {BALANCED_BASELINE, *(row.label for row in rows)}
                ),
                deviations=(*common.get("deviations", ()), *own.get("deviations", ())),
                group=block.get("group"),
                features=_merged(settings, "features"),
            )
        )
    return tuple(blocks)


def _figures(recipe: Recipe, block: str, rows: set[str]) -> tuple[FigureSpec, ...]:
    return tuple(
        figure
        for figure in recipe.figures
        if block in (figure.blocks or [block]) and rows >= set(figure.rows)
    )


def _merged(settings: ChainMap[str, Any], key: str) -> dict[str, Any]:
    """A table of the block over that of the scale over that of the data set."""
    return dict(ChainMap(*(table.get(key, {}) for table in settings.maps)))


def _with_params(row: Row, recipe: Recipe, settings: ChainMap[str, Any]) -> Row:
    """The row with the parameters that are set for its label, or else for its method."""
    labels = {row.label for row in recipe.rows}
    names = [row.label] if row.method in labels else [row.label, row.method]
    tables = [table.get("params", {}).get(name, {}) for table in settings.maps for name in names]
    return Row(row.label, row.method, dict(ChainMap(*tables, dict(row.params))))

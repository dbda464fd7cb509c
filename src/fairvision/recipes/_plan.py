"""What a recipe will do on one data set at one scale: comparisons, their cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairvision.comparison import BALANCED_BASELINE
from fairvision.exceptions import InputError
from fairvision.recipes._read import Drawing, Recipe, Row

__all__ = ["Block", "plan"]

_BATCH = 64
#: Bytes of a finished run: its numbers, and 20 a test row for the predictions.
_RUN, _TEST_ROW = 40_000, 20


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
        ``"module:function"`` of the plugin's package, from a Bunch to another.
    figures : tuple of Drawing
    deviations : tuple of str
    group : str or None
        Blocks of one group also have a line of their medians.
    """

    name: str
    dataset: str
    load: Mapping[str, Any]
    compare: Mapping[str, Any]
    rows: tuple[Row, ...]
    preset: str | None
    seeds: int
    prepare: str | None
    figures: tuple[Drawing, ...]
    deviations: tuple[str, ...]
    group: str | None = None

    @property
    def n_runs(self) -> int:
        """Rows times seeds, the balanced baseline among them."""
        return (len(self.rows) + bool(self.compare.get("balanced_baseline"))) * self.seeds

    @property
    def n_steps(self) -> int | None:
        """Steps of plain training in all runs, 64 images each; None if that rests on the data."""
        if self.compare.get("n_train") is None:
            return None
        batches = math.ceil(self.compare["n_train"] / _BATCH)
        return self.n_runs * int(self.compare.get("max_epochs", 10)) * batches

    @property
    def n_bytes(self) -> int:
        """About what the results take on disk."""
        return self.n_runs * (_RUN + _TEST_ROW * int(self.compare.get("n_test") or 10_000))


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
    common = recipe.data[data]
    if scale not in recipe.scales(data):
        raise InputError(
            f"the recipe {recipe.name!r} has no scale {scale!r} for {data!r}; it has "
            f"{sorted(recipe.scales(data))}."
        )
    own = common[scale]
    labels = {row.label for row in recipe.rows}
    where = {} if root is None else {"root": root}
    return tuple(
        Block(
            name=block["name"],
            dataset=data,
            load=_merged("load", common, own, block) | where,
            compare=_merged("compare", common, own, block),
            rows=tuple(
                Row(row.label, row.method, {**row.params, **_of(row, labels, common, own, block)})
                for row in rows
            ),
            preset=own.get("preset", common.get("preset")),
            seeds=int(seeds or own.get("seeds", common.get("seeds", 3))),
            prepare=_first("prepare", block, own, common),
            figures=_figures(
                recipe, block["name"], {BALANCED_BASELINE, *(row.label for row in rows)}
            ),
            deviations=(*common.get("deviations", ()), *own.get("deviations", ())),
            group=block.get("group"),
        )
        for block in own.get("block", common.get("block", [{"name": "all"}]))
        for rows in [_rows(recipe, block, own, common)]
    )


def _figures(recipe: Recipe, block: str, rows: set[str]) -> tuple[Drawing, ...]:
    return tuple(
        figure
        for figure in recipe.figures
        if block in (figure.blocks or [block]) and rows >= set(figure.rows)
    )


def _first(key: str, *parts: Mapping[str, Any]) -> Any:
    return next((part[key] for part in parts if key in part), None)


def _rows(recipe: Recipe, *parts: Mapping[str, Any]) -> list[Row]:
    chosen = _first("rows", *parts)
    return [row for row in recipe.rows if chosen is None or row.label in chosen]


def _of(row: Row, labels: set[str], *parts: Mapping[str, Any]) -> dict[str, Any]:
    """What is set for one row, or for all of its method, in more and more special places."""
    names = [row.label] if row.method in labels else [row.method, row.label]
    given = (part.get("params", {}).get(name, {}) for part in parts for name in names)
    return {name: value for own in given for name, value in own.items()}


def _merged(key: str, *parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.get(key, {}).items()}

"""Run a recipe, and set the paper's table beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.utils import Bunch

from fairvision.comparison import MIN_SEEDS, Comparison, compare, plan_split, read_data, split_rows
from fairvision.comparison.serialization import dumps
from fairvision.comparison.store import Store
from fairvision.datasets import load
from fairvision.exceptions import FairvisionError
from fairvision.recipes._figures import Drawn, Shown, draw_figures
from fairvision.recipes._plan import Block, plan
from fairvision.recipes._read import Recipe
from fairvision.recipes._results import results
from fairvision.recipes._targets import find_target

__all__ = ["Reproduction", "count_rows", "reproduce"]

#: What of a block's `compare` decides its rows.
_SPLIT = ("confounding", "counterexamples", "n_train", "n_test", "test_size")


@dataclass(frozen=True, eq=False)
class Reproduction:
    """What a recipe found.

    Attributes
    ----------
    recipe : Recipe
    data, scale : str
    blocks : tuple of Block
    comparisons : mapping of block name to Comparison
    results : DataFrame
        A row for each block, method and measure: ``value``, ``lower``, ``upper``
        over ``n_seeds`` seeds, and the figure of the ``paper``, NaN where it has none;
        all in the measure's own scale. Before them a row for each group of blocks,
        method and measure: the median over ``median_of`` blocks in each seed, then over seeds
        as for a block, which has 0 there.
    figures : tuple of Drawn
        In the folder of results; none without one.
    """

    recipe: Recipe
    data: str
    scale: str
    blocks: tuple[Block, ...]
    comparisons: Mapping[str, Comparison]
    results: pd.DataFrame
    figures: tuple[Drawn, ...] = ()

    @property
    def deviations(self) -> tuple[str, ...]:
        """How this differs from the paper."""
        return (*self.recipe.deviations, *self.blocks[0].deviations)

    @property
    def failures(self) -> list[str]:
        """Every run and every figure that failed, and why."""
        runs = [
            f"{block}: {method}, seed {seed} failed: {error}"
            for block, comparison in self.comparisons.items()
            for (method, seed), error in comparison.failures.items()
        ]
        return runs + [
            f"{figure.block}: the figure {figure.name} failed: {figure.error}"
            for figure in self.figures
            if figure.error is not None
        ]

    def table(self) -> pd.DataFrame:
        """Ours with intervals beside the paper's, as text: a row a group or block and method."""
        titles = {measure.name: measure for measure in self.recipe.measures}
        rows: dict[tuple[str, str], dict[str, str]] = {}
        for found in self.results.itertuples(index=False):
            many = f" (median of {found.median_of})" if found.median_of else ""
            cells = rows.setdefault((f"{found.block}{many}", found.row), {})
            measure = titles[found.measure]
            cells[measure.title] = _text(found, measure.digits)
            paper = "" if pd.isna(found.paper) else f"{found.paper:.{measure.digits}f}"
            cells[f"{measure.title} (paper)"] = paper
        frame = pd.DataFrame.from_dict(rows, orient="index").fillna("")
        frame.index = pd.MultiIndex.from_tuples(frame.index, names=["block", "method"])
        return frame.loc[:, (frame != "").any()]

    def to_markdown(self) -> str:
        """The table with the claim and every deviation, for a page."""
        lines = [
            f"### {self.recipe.title}: {self.data}, {self.scale}",
            "",
            f"The paper ({self.recipe.table}): {self.recipe.claim}",
            "",
            _markdown(self.table()),
            "",
            f"{self._interval()} How this differs from the paper:",
            "",
            *(f"- {line}" for line in (*self.deviations, *self.failures)),
            "",
        ]
        drawn = [figure for figure in self.figures if figure.error is None]
        if drawn:
            lines += ["Figures:", ""]
            lines += [f"- {figure.title}: `{figure.path}`" for figure in drawn]
            lines.append("")
        return "\n".join(lines)

    def _interval(self) -> str:
        """What is a mean of what, and what its interval covers."""
        n, grouped = self.blocks[0].seeds, any(block.group for block in self.blocks)
        if n < MIN_SEEDS:
            text = f"Mean with its 95 % interval, {n} seed(s), intervals over test rows only."
            more = ", and so are the ends of its interval, as far apart as for one block"
        else:
            fixed = any(found.plan.split["by"] == "column" for found in self.comparisons.values())
            only = ", the same test rows in each: the noise of training alone" if fixed else ""
            text, more = f"Mean with its 95 % interval, {n} seeds{only}.", ""
        return (
            text + f" A group's line is the median over its blocks, in each seed{more}." * grouped
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        results = self.results.astype(object).where(self.results.notna(), None)
        return {
            "recipe": asdict(self.recipe),
            "data": self.data,
            "scale": self.scale,
            "deviations": list(self.deviations),
            "failures": self.failures,
            "figures": [asdict(figure) for figure in self.figures],
            "results": results.to_dict(orient="records"),
        }


def reproduce(
    recipe: Recipe,
    data: str = "faces",
    scale: str = "small",
    *,
    seeds: int | None = None,
    root: str | None = None,
    out: str | Path | None = None,
    **how: Any,
) -> Reproduction:
    """Run a recipe whole.

    Parameters
    ----------
    recipe : Recipe
    data : str, default="faces"
    scale : str, default="small"
    seeds : int or None, default=None
        None takes the recipe's own.
    root : str or None
        Folder of the images, for data that are not drawn.
    out : str, Path or None
        Folder with one comparison a block, and the figures. The same call resumes it.
    **how
        To `fairvision.compare`: n_jobs, n_threads, backend, address, checkpoint_every, device,
        progress, report.

    Returns
    -------
    Reproduction

    Raises
    ------
    FairvisionError
        As `plan` and `fairvision.compare` do.
    """
    blocks = plan(recipe, data, scale, seeds=seeds, root=root)
    store = None if out is None else Store(out)
    if store is not None:
        store.refuse_links()
    done: dict[str, Comparison] = {}
    figures: list[Drawn] = []
    for block in blocks:
        dataset, params = _data(recipe, block)
        place = None if out is None else Path(out) / block.name
        found = _compare(block, dataset, params, place, out, how)
        done[block.name] = found
        if out is not None:
            shown = Shown(block, found, partial(_read, dataset, params))
            figures += draw_figures(shown, recipe.package, Path(out))
    table = results(recipe, blocks, done)
    result = Reproduction(recipe, data, scale, blocks, done, table, tuple(figures))
    if store is not None:
        store.write_text("table.md", result.to_markdown())
        store.write_text("reproduction.json", dumps(result.to_dict()))
    return result


def count_rows(recipe: Recipe, blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks with the rows that their data have, where the recipe names no number.

    The data are read as a run reads them, so what is missing is met here already. Blocks
    whose images are in a folder that is not given stay as they are.

    Parameters
    ----------
    recipe : Recipe
    blocks : iterable of Block
        From `plan`.

    Raises
    ------
    FairvisionError
        If the data in a given folder cannot be used.
    """
    return tuple(_counted(recipe, block) for block in blocks)


def _counted(recipe: Recipe, block: Block) -> Block:
    if block.compare.get("n_train") is not None:
        return block
    try:
        data = _read(*_data(recipe, block))
    except FairvisionError:
        if "root" in block.load:
            raise
        return block
    asked = {name: block.compare[name] for name in _SPLIT if name in block.compare}
    train, test = split_rows(data, plan_split(data, **asked), seed=0)
    return replace(block, compare={**block.compare, "n_train": len(train), "n_test": len(test)})


def _data(recipe: Recipe, block: Block) -> tuple[Any, Mapping[str, Any] | None]:
    """A block's data set and its parameters: by name, or loaded where it is prepared."""
    if block.prepare is None:
        return block.dataset, block.load
    return _prepare(recipe, block.prepare)(load(block.dataset, **block.load)), None


def _read(dataset: Any, params: Mapping[str, Any] | None) -> Bunch:
    return read_data(dataset, params)[0]


def _compare(
    block: Block,
    dataset: Any,
    params: Mapping[str, Any] | None,
    place: Path | None,
    out: Any,
    how: Mapping[str, Any],
) -> Comparison:
    return compare(
        dataset,
        {row.label: (row.method, _placed(row.params, out)) for row in block.rows},
        seeds=block.seeds,
        dataset_params=params,
        baseline=block.rows[0].label,
        preset=block.preset,
        out=place,
        **{**block.compare, **how},
    )


def _prepare(recipe: Recipe, target: str) -> Any:
    where = f"the recipe {recipe.name!r} of {recipe.distribution}: prepare"
    return find_target(target, recipe.package, where)


def _placed(params: Any, out: Any) -> Any:
    """The parameters with ``{out}`` filled in, so that rows share what one of them trained."""
    if isinstance(params, Mapping):
        placed = {name: _placed(value, out) for name, value in params.items()}
        return {name: value for name, value in placed.items() if value is not _NOWHERE}
    if isinstance(params, str) and "{out}" in params:
        return _NOWHERE if out is None else params.replace("{out}", str(out))
    return params


_NOWHERE = object()


def _text(found: Any, digits: int) -> str:
    if pd.isna(found.value):
        return "undefined"
    text = f"{found.value:.{digits}f}"
    if pd.isna(found.lower):
        return text
    return f"{text} [{found.lower:.{digits}f}, {found.upper:.{digits}f}]"


def _markdown(frame: pd.DataFrame) -> str:
    header = [*map(str, frame.index.names), *map(str, frame.columns)]
    lines = [header, ["---"] * len(header)]
    lines += [[*map(str, index), *map(str, cells)] for index, *cells in frame.itertuples(name=None)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in c) + " |" for c in lines
    )

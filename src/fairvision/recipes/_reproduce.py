"""Run a recipe, and put the paper's table beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.utils import Bunch

from fairvision.comparison import (
    MIN_SEEDS,
    Comparison,
    Features,
    compare,
    plan_split,
    read_data,
    split_rows,
    with_features,
)
from fairvision.comparison.serialization import dumps
from fairvision.comparison.store import Store
from fairvision.comparison.summary import interval_text
from fairvision.datasets import load
from fairvision.exceptions import FairvisionError, InputError
from fairvision.recipes._blocks import Block, plan
from fairvision.recipes._figures import BlockResult, DrawnFigure, draw_figures
from fairvision.recipes._read import Recipe
from fairvision.recipes._results import results
from fairvision.recipes._targets import find_target

__all__ = ["Reproduction", "count_rows", "reproduce"]

# The parameters of `compare` that decide which rows are training and test rows.
_SPLIT = ("confounding", "counterexamples", "n_train", "n_test", "test_size")


@dataclass(frozen=True, eq=False)
class Reproduction:
    """The results of a recipe.

    Attributes
    ----------
    recipe : Recipe
    data, scale : str
    blocks : tuple of Block
    comparisons : mapping of block name to Comparison
    results : DataFrame
        A row for each block, method and measure: ``value``, ``lower``, ``upper`` over
        ``n_seeds`` seeds, and the number in the ``paper`` (NaN if it has none), in the
        measure's scale. Rows for groups of blocks come first: the median over ``median_of``
        blocks in each seed, then the mean over seeds. ``median_of`` is 0 for a block.
    figures : tuple of DrawnFigure
        Empty without a folder of results.
    """

    recipe: Recipe
    data: str
    scale: str
    blocks: tuple[Block, ...]
    comparisons: Mapping[str, Comparison]
    results: pd.DataFrame
    figures: tuple[DrawnFigure, ...] = ()

    @property
    def deviations(self) -> tuple[str, ...]:
        """What differs from the paper."""
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
        """Our numbers with intervals beside the paper's, as text; a row per block and method."""
        measures = {measure.name: measure for measure in self.recipe.measures}
        rows: dict[tuple[str, str], dict[str, str]] = {}
        for line in self.results.itertuples(index=False):
            median = f" (median of {line.median_of})" if line.median_of else ""
            cells = rows.setdefault((f"{line.block}{median}", line.row), {})
            title, digits = measures[line.measure].title, measures[line.measure].digits
            cells[title] = interval_text((line.value, line.lower, line.upper), digits=digits)
            cells[f"{title} (paper)"] = "" if pd.isna(line.paper) else f"{line.paper:.{digits}f}"
        frame = pd.DataFrame.from_dict(rows, orient="index").fillna("")
        frame.index = pd.MultiIndex.from_tuples(frame.index, names=["block", "method"])
        return frame.loc[:, (frame != "").any()]

    def to_markdown(self) -> str:
        """The table with the paper's claim and every deviation."""
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
        figures = [f"- {f.title}: `{f.path}`" for f in self.figures if f.error is None]
        if figures:
            lines += ["Figures:", "", *figures, ""]
        return "\n".join(lines)

    def _interval(self) -> str:
        """A sentence on the mean and on the noise that its interval covers."""
        n, by_block = self.blocks[0].seeds, "."
        if n < MIN_SEEDS:
            text = f"Mean with its 95 % interval, {n} seed(s), intervals over test rows only."
            by_block = ", and so are the ends of its interval, which is as wide as for one block."
        else:
            fixed = any(c.plan.split["by"] == "column" for c in self.comparisons.values())
            note = ", with the same test rows in each: training noise only" if fixed else ""
            text = f"Mean with its 95 % interval, {n} seeds{note}."
        if any(block.group for block in self.blocks):
            text += f" A group's line is the median over its blocks, in each seed{by_block}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """The results as values that JSON has."""
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
    weights: str | None = None,
    features_cache: str | Path | None = None,
    **params: Any,
) -> Reproduction:
    """Run a recipe.

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
        Folder for the figures and a comparison per block. The same call resumes it.
    weights : str or None
        Weights of the pretrained net, for a scale that trains on its features.
    features_cache : str, Path or None
        Folder that keeps these features, for other recipes too; None keeps them in `out`.
    **params
        For `fairvision.compare`: features, shared_params, n_jobs, n_threads, backend,
        address, checkpoint_every, device, progress, report.

    Returns
    -------
    Reproduction

    Raises
    ------
    FairvisionError
        As `plan` and `fairvision.compare` do.
    """
    blocks = plan(recipe, data, scale, seeds=seeds, root=root)
    folder = None if out is None else Path(out)
    store = None if folder is None else Store(folder)
    if store is not None:
        store.refuse_links()
    cache = features_cache or (None if folder is None else folder / "features")
    comparisons: dict[str, Comparison] = {}
    figures: list[DrawnFigure] = []
    for block in blocks:
        net = {} if params.get("features") else _net(recipe, block, weights)
        net = net and {"cache": cache, "device": params.get("device", "auto"), **net}
        dataset, dataset_params = _data(recipe, block, net)
        comparison = compare(
            dataset,
            {row.label: (row.method, fill_in_out(row.params, folder)) for row in block.rows},
            seeds=block.seeds,
            dataset_params=dataset_params,
            baseline=block.rows[0].label,
            preset=block.preset,
            out=None if folder is None else folder / block.name,
            **{**block.compare, **params},
        )
        comparisons[block.name] = comparison
        if folder is not None:
            result = BlockResult(
                block, comparison, partial(_read, dataset, dataset_params, params.get("features"))
            )
            figures += draw_figures(result, recipe.package, folder)
    table = results(recipe, blocks, comparisons)
    reproduction = Reproduction(recipe, data, scale, blocks, comparisons, table, tuple(figures))
    if store is not None:
        store.write_text("table.md", reproduction.to_markdown())
        store.write_text("reproduction.json", dumps(reproduction.to_dict()))
    return reproduction


def count_rows(recipe: Recipe, blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks with their numbers of rows, counted in the data if the recipe names none.

    This reads the data as a run does, so it raises what a run would raise. A block whose
    images are in a folder that is not given stays as it is.

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
    split = {name: block.compare[name] for name in _SPLIT if name in block.compare}
    train, test = split_rows(data, plan_split(data, **split), seed=0)
    return replace(block, compare={**block.compare, "n_train": len(train), "n_test": len(test)})


def _data(
    recipe: Recipe, block: Block, net: Mapping[str, Any] | None = None
) -> tuple[Any, Mapping[str, Any] | None]:
    """The data set by name with its parameters, or a prepared Bunch without parameters."""
    if block.prepare is None and not net:
        return block.dataset, block.load
    data = load(block.dataset, **block.load)
    if net:
        # Features are computed before `prepare`, so that further pictures for `fit` become
        # features too.
        data = with_features(data, **net)
    return data if block.prepare is None else find_prepare(recipe, block.prepare)(data), None


def _net(recipe: Recipe, block: Block, weights: str | None) -> dict[str, Any]:
    """The net whose features a block trains on; empty if it trains on pictures."""
    if block.features and weights is None:
        raise InputError(
            f"{recipe.name!r} trains on features of {block.features['backbone']} at this scale. "
            "Pass weights (--weights): a file, or the published weights' name, such as DEFAULT."
        )
    return {"weights": weights, **block.features} if block.features else {}


def _read(dataset: Any, params: Mapping[str, Any] | None, features: Any = None) -> Bunch:
    data = read_data(dataset, params)[0]
    return data if features is None else Features(features, data).extract(data)


def find_prepare(recipe: Recipe, target: str) -> Any:
    """The function that prepares a data set of the recipe."""
    place = f"the recipe {recipe.name!r} of {recipe.distribution}: prepare"
    return find_target(target, recipe.package, place)


def fill_in_out(params: Mapping[str, Any], out: Path | None) -> dict[str, Any]:
    """The parameters with ``{out}`` replaced by the folder, so that rows can share a trained net.

    Without a folder, a parameter that names it is left out.
    """
    filled: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            filled[name] = fill_in_out(value, out)
        elif not isinstance(value, str) or "{out}" not in value:
            filled[name] = value
        elif out is not None:
            filled[name] = value.replace("{out}", str(out))
    return filled


def _markdown(frame: pd.DataFrame) -> str:
    header = [*map(str, frame.index.names), *map(str, frame.columns)]
    lines = [header, ["---"] * len(header)]
    lines += [[*map(str, index), *map(str, cells)] for index, *cells in frame.itertuples(name=None)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in c) + " |" for c in lines
    )

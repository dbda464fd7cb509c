"""A recipe's figures: drawn from the finished runs of a block, and redrawn if the runs change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from fairvision.comparison import Comparison, fit_run, split_rows
from fairvision.datasets import subset
from fairvision.exceptions import InputError
from fairvision.plugins import describe
from fairvision.recipes._blocks import Block
from fairvision.recipes._read import FigureSpec
from fairvision.recipes._targets import find_target
from fairvision.reports import read_note, write_figure

__all__ = ["BlockResult", "DrawnFigure", "draw_figures"]

_RUNS = "fairvision-runs"  # key of the PNG text that identifies the runs


@dataclass(frozen=True, eq=False)
class BlockResult:
    """A finished block of a recipe: the argument of a figure's function.

    Attributes
    ----------
    block : Block
    comparison : Comparison
        Its `summary`, `measure` and `runs` are read from disk.
    load : callable
        Returns the block's data set, for `train`, `test` and `fit`.
    """

    block: Block
    comparison: Comparison
    load: Callable[[], Bunch]
    _fitted: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def seed(self) -> int:
        """The first seed, which `train`, `test` and `fit` use."""
        return self.comparison.plan.seeds[0]

    @cached_property
    def train(self) -> Bunch:
        """The training rows of all methods but the balanced baseline."""
        return subset(self._data, self._rows[0])

    @cached_property
    def test(self) -> Bunch:
        """The test rows of all methods."""
        return subset(self._data, self._rows[1])

    def fit(self, label: str) -> Any:
        """Fit the estimator of a row of the table, bit for bit as the comparison did.

        A comparison stores no estimator, so this trains it once for all figures of the block.

        Parameters
        ----------
        label : str
            Of a row, or ``"erm-balanced"``, the balanced baseline.

        Raises
        ------
        InputError
            If the block has no such row.
        """
        methods = {method.label: method for method in self.comparison.plan.methods}
        if label not in methods:
            raise InputError(f"the block {self.block.name!r} has no row {label!r}: {[*methods]}.")
        if label not in self._fitted:
            fitted = fit_run(self.comparison.plan, self._data, methods[label], self.seed)
            self._fitted[label] = fitted.estimator
        return self._fitted[label]

    @cached_property
    def _data(self) -> Bunch:
        return self.load()

    @cached_property
    def _rows(self) -> Any:
        return split_rows(self._data, self.comparison.plan.split, self.seed)


@dataclass(frozen=True)
class DrawnFigure:
    """A figure, or why there is none.

    Attributes
    ----------
    block, name, title : str
    path : str
        Relative to the folder of results, with slashes.
    error : str or None
    """

    block: str
    name: str
    title: str
    path: str
    error: str | None = None


def draw_figures(result: BlockResult, package: str, out: Path) -> tuple[DrawnFigure, ...]:
    """Draw the figures of a block into ``OUT/BLOCK/figures``.

    A figure that fails does not stop the others. A figure of the same runs is kept.

    Parameters
    ----------
    result : BlockResult
    package : str
        The plugin's package, which holds the drawing functions.
    out : Path
        Folder of the results of the whole recipe.
    """
    return tuple(_draw(spec, result, package, out) for spec in result.block.figures)


def _draw(spec: FigureSpec, result: BlockResult, package: str, out: Path) -> DrawnFigure:
    block = result.block.name
    path = Path(block) / "figures" / f"{spec.name}.png"
    runs = [(run.method, run.seed, run.request) for run in result.comparison.runs]
    text = json.dumps([spec.draw, spec.title, *runs], sort_keys=True)
    notes = {_RUNS: hashlib.sha256(text.encode()).hexdigest()[:16], "Title": spec.title}
    error = None
    if read_note(out / path, _RUNS) != notes[_RUNS]:
        try:
            draw = find_target(spec.draw, package, f"draw of the figure {spec.name!r}")
            write_figure(lambda: draw(result), out / path, notes=notes)
        except Exception as failure:
            with suppress(OSError):  # an old figure shows other runs
                (out / path).unlink()
            error = describe(failure)
    return DrawnFigure(block, spec.name, spec.title, path.as_posix(), error)

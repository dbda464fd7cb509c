"""A recipe's figures: drawn of the finished runs of a block, and again only if those change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
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
from fairvision.recipes._plan import Block
from fairvision.recipes._read import Drawing
from fairvision.recipes._targets import find_target
from fairvision.reports import read_note, write_figure

__all__ = ["Drawn", "Shown", "draw_figures"]

_RUNS = "fairvision-runs"


@dataclass(frozen=True, eq=False)
class Shown:
    """What a figure's function is given: a block of a recipe that was run.

    Attributes
    ----------
    block : Block
    comparison : Comparison
        Its `summary`, `measure` and `runs` need no training.
    load : callable
        Gives the block's data set, for `train`, `test` and `fit`.
    """

    block: Block
    comparison: Comparison
    load: Callable[[], Bunch]
    _fitted: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def seed(self) -> int:
        """The first seed: that of `train`, `test` and `fit`."""
        return self.comparison.plan.seeds[0]

    @cached_property
    def train(self) -> Bunch:
        """The rows that the methods trained on (the balanced baseline trained on others)."""
        return subset(self._data, self._rows[0])

    @cached_property
    def test(self) -> Bunch:
        """The rows that all methods were tested on."""
        return subset(self._data, self._rows[1])

    def fit(self, label: str) -> Any:
        """The estimator of a row of the table: as the comparison fitted it, bit for bit.

        It is fitted anew, once for all figures of the block, since a comparison keeps no
        estimator.

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
class Drawn:
    """A figure, or why there is none.

    Attributes
    ----------
    block, name, title : str
    path : str
        In the folder of results, with slashes.
    error : str or None
    """

    block: str
    name: str
    title: str
    path: str
    error: str | None = None


def draw_figures(shown: Shown, package: str, out: Path) -> tuple[Drawn, ...]:
    """Draw the figures of a block into ``OUT/BLOCK/figures``.

    What fails costs its own figure only. What is there already, of the same runs, stays.

    Parameters
    ----------
    shown : Shown
    package : str
        Of the plugin, whose functions draw.
    out : Path
        Folder of the results of the whole recipe.
    """
    return tuple(_draw(drawing, shown, package, out) for drawing in shown.block.figures)


def _draw(drawing: Drawing, shown: Shown, package: str, out: Path) -> Drawn:
    path = Path(shown.block.name) / "figures" / f"{drawing.name}.png"
    known = {"block": shown.block.name, "name": drawing.name, "title": drawing.title}
    error = None
    runs = _of_runs(drawing, shown.comparison)
    if read_note(out / path, _RUNS) != runs:
        notes = {_RUNS: runs, "Title": drawing.title}
        where = f"draw of the figure {drawing.name!r}"
        try:
            draw = find_target(drawing.draw, package, where)
            write_figure(lambda: draw(shown), out / path, notes=notes)
        except Exception as failure:
            with suppress(OSError):  # what is there is of other runs
                (out / path).unlink()
            error = describe(failure)
    return Drawn(**known, path=path.as_posix(), error=error)


def _of_runs(drawing: Drawing, comparison: Comparison) -> str:
    """A hash of the runs that a figure shows."""
    runs: Iterable[Any] = ((run.method, run.seed, run.request) for run in comparison.runs)
    text = json.dumps([drawing.draw, drawing.title, *runs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

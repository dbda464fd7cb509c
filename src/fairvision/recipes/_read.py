"""Read a recipe's file and check it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fairvision.comparison import BALANCED_BASELINE
from fairvision.exceptions import InputError
from fairvision.recipes._schema import DATA_KEYS, RECIPE, check, check_keys
from fairvision.recipes._targets import check_target

__all__ = ["FigureSpec", "Measure", "Recipe", "Row", "read_recipe"]

_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True)
class Measure:
    """A column of the table.

    Parameters
    ----------
    name : str
        A measure of `Comparison.summary`, or a metric of `fairvision.metrics` or of
        a plugin, computed on the stored predictions.
    title : str
    scale : float
        What a value is multiplied by: 100 for per cent, 1e4 for a variance of per cents.
    digits : int
    """

    name: str
    title: str
    scale: float = 1.0
    digits: int = 3


@dataclass(frozen=True)
class Row:
    """A row of the table: a method with parameters."""

    label: str
    method: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FigureSpec:
    """A figure of a recipe, drawn once for each block that it shows.

    Parameters
    ----------
    name : str
        Of the file, without ``.png``.
    title : str
    draw : str
        ``"module:function"`` of the plugin's package; it takes a `BlockResult` and returns a
        matplotlib Figure.
    blocks : tuple of str
        The blocks that it shows; empty means all.
    rows : tuple of str
        It shows only blocks that have all of these rows.
    """

    name: str
    title: str
    draw: str
    blocks: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A paper's experiment.

    Parameters
    ----------
    name : str
        The file's name without ``.toml``.
    distribution : str
        The plugin that it came with.
    package : str
        The plugin's package; `prepare` and `draw` name functions of it.
    title : str
    method : str
        The method whose reference is the paper.
    table : str
        Where the numbers stand in the paper.
    claim : str
        What the paper found.
    deviations : tuple of str
        How every run of this recipe differs from the paper.
    measures : tuple of Measure
    rows : tuple of Row
        The first is the baseline.
    figures : tuple of FigureSpec
    data : mapping of str to mapping
        By data set: the settings of all its scales, and a table of settings for each scale.
    paper : mapping
        Block or group of blocks -> row -> measure -> the number in the paper.
    """

    name: str
    distribution: str
    package: str
    title: str
    method: str
    table: str
    claim: str
    deviations: tuple[str, ...]
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    figures: tuple[FigureSpec, ...]
    data: Mapping[str, Mapping[str, Any]]
    paper: Mapping[str, Mapping[str, Mapping[str, float]]]

    def scales(self, data: str) -> list[str]:
        """The scales that it has for a data set."""
        return _scales(self.data[data])


def read_recipe(text: str, *, name: str, distribution: str, package: str) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    text : str
        TOML.
    name, distribution, package : str
        As in `Recipe`.

    Raises
    ------
    InputError
        Naming the key that is missing, unknown or of a wrong kind.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: thousands of open brackets
        raise InputError(
            f"the recipe {name!r} of {distribution} is not valid TOML: {error}."
        ) from error
    return make_recipe(raw, name, distribution, package)


def make_recipe(raw: dict[str, Any], name: str, distribution: str, package: str) -> Recipe:
    """Check the content of a recipe's file; arguments and errors as in `read_recipe`."""
    place = f"the recipe {name!r} of {distribution}"
    check(raw, RECIPE, place)
    for key in ("row", "measure", "data"):
        if not raw[key]:
            raise InputError(f"{place} has no {key}; it needs one or more.")
    rows = tuple(Row(**row) for row in raw["row"])
    measures = tuple(Measure(**measure) for measure in raw["measure"])
    labels = [row.label for row in rows]
    if len(set(labels)) < len(labels):
        raise InputError(f"{place} has two rows with the same label: {labels}.")
    for data, settings in raw["data"].items():
        _check_data(settings, rows, package, f"{place}, data.{data}")
    paper = raw.get("paper", {})
    for block, numbers in paper.items():
        for row, values in numbers.items():
            check_keys(values, {m.name for m in measures}, f"{place}, paper.{block}.{row}")
    return Recipe(
        name=name,
        distribution=distribution,
        package=package,
        **{key: raw[key] for key in ("title", "method", "table", "claim", "data")},
        deviations=tuple(raw.get("deviations", ())),
        measures=measures,
        rows=rows,
        figures=_figures(raw, labels, package, place),
        paper=paper,
    )


def _scales(settings: Mapping[str, Any]) -> list[str]:
    return [name for name in settings if name not in DATA_KEYS]


def _parts(settings: Mapping[str, Any], place: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The settings of a data set and of its scales, each with its place in the file."""
    yield settings, place
    for scale in _scales(settings):
        yield settings[scale], f"{place}.{scale}"


def _check_data(
    settings: Mapping[str, Any], rows: tuple[Row, ...], package: str, place: str
) -> None:
    if not _scales(settings):
        raise InputError(f"{place} has no scale; it needs a table for each, such as 'small'.")
    labels = {row.label for row in rows}
    for table, name in _parts(settings, place):
        blocks = table.get("block", ())
        for own, where in ((table, name), *((b, f"{name}.block {b['name']!r}") for b in blocks)):
            check_keys(
                own.get("params", {}), labels | {row.method for row in rows}, f"{where}.params"
            )
            _check_known(own, "rows", labels, where)
            if "prepare" in own:
                check_target(own["prepare"], package, f"{where}.prepare")
        names = [block["name"] for block in blocks]
        groups = {block["group"] for block in blocks if "group" in block}
        # The results and the paper's numbers find both by name.
        if len(set(names)) < len(names) or groups & set(names):
            raise InputError(f"{name}.block has a name twice: {[*names, *sorted(groups)]}.")


def _check_known(table: Mapping[str, Any], key: str, known: set[str], place: str) -> None:
    if unknown := sorted(set(table.get(key, ())) - known):
        raise InputError(f"{place} names the {key} {unknown}; there are {sorted(known)}.")


def _figures(
    raw: Mapping[str, Any], labels: list[str], package: str, place: str
) -> tuple[FigureSpec, ...]:
    blocks: set[str] = set()
    for settings in raw["data"].values():
        parts = [table for table, _ in _parts(settings, place)]
        blocks |= {block["name"] for table in parts for block in table.get("block", ())} or {"all"}
    figures: dict[str, FigureSpec] = {}
    for figure in raw.get("figure", ()):
        name = figure["name"]
        where = f"{place}, figure {name!r}"
        if not _FILE_NAME.fullmatch(name) or name in figures:
            raise InputError(
                f"{where}: a name consists of a-z, 0-9 and dashes, and belongs to one figure only."
            )
        check_target(figure["draw"], package, f"{where}: draw")
        _check_known(figure, "blocks", blocks, where)
        _check_known(figure, "rows", {*labels, BALANCED_BASELINE}, where)
        shown = {key: tuple(figure.get(key, ())) for key in ("blocks", "rows")}
        figures[name] = FigureSpec(**{**figure, **shown})
    return tuple(figures.values())

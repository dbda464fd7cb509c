"""A recipe's file, read and checked: an error names the file, the key and what is expected."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairvision.comparison import BALANCED_BASELINE
from fairvision.exceptions import InputError
from fairvision.recipes._kinds import RECIPE, check_kinds
from fairvision.recipes._targets import check_target

__all__ = ["COMPARE", "Drawing", "Measure", "Recipe", "Row", "read_recipe"]

#: What of `fairvision.compare` a recipe may set.
COMPARE = (
    "confounding", "counterexamples", "balanced_baseline", "n_train", "n_test", "test_size",
    "max_epochs", "n_boot",
)  # fmt: skip

_FILE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

_TOP = {
    "title", "method", "table", "claim", "deviations", "measure", "row", "figure", "data",
    "paper",
}  # fmt: skip
_DATA = {"load", "compare", "prepare", "block", "params", "preset", "seeds", "rows", "deviations"}
_BLOCK = {"name", "group", "load", "compare", "params", "prepare", "rows"}


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
class Drawing:
    """A figure that is drawn of blocks.

    Parameters
    ----------
    name : str
        Of the file, without ``.png``.
    title : str
    draw : str
        ``"module:function"`` of the plugin's package: from a `Shown` to a matplotlib Figure.
    blocks : tuple of str
        Of which it is drawn; of all if empty.
    rows : tuple of str
        It is drawn of the blocks that have all of these.
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
        The plugin's package, in which `prepare` functions are looked for.
    title : str
    method : str
        The method whose reference is the paper.
    table : str
        Where in the paper the figures are.
    claim : str
        What the paper says came out.
    deviations : tuple of str
        How every run of this recipe differs from the paper.
    measures : tuple of Measure
    rows : tuple of Row
        The first is what the others are compared to.
    figures : tuple of Drawing
    data : mapping of str to mapping
        By data set: what is loaded and how it is compared, with a table a scale.
    paper : mapping
        Block or group of blocks -> row -> measure -> the printed figure.
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
    figures: tuple[Drawing, ...]
    data: Mapping[str, Mapping[str, Any]]
    paper: Mapping[str, Mapping[str, Mapping[str, float]]]

    def scales(self, data: str) -> list[str]:
        """The scales that it has for a data set."""
        return [name for name in self.data[data] if name not in _DATA]


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
    where = f"the recipe {name!r} of {distribution}"
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of numbers and brackets without end, too
        raise InputError(f"{where} is no TOML: {error}.") from error
    return _checked(found, name, distribution, package)


def _checked(found: dict[str, Any], name: str, distribution: str, package: str) -> Recipe:
    where = f"the recipe {name!r} of {distribution}"
    _keys(found, _TOP, where)
    check_kinds(found, RECIPE, where)
    rows = tuple(Row(**_fields(row, Row, f"{where}, row")) for row in found.get("row", ()))
    measures = tuple(
        Measure(**_fields(measure, Measure, f"{where}, measure"))
        for measure in found.get("measure", ())
    )
    for what, many in (("row", rows), ("measure", measures), ("data", found.get("data"))):
        if not many:
            raise InputError(f"{where} has no {what}; it needs one or more.")
    labels = [row.label for row in rows]
    if len(set(labels)) < len(labels):
        raise InputError(f"{where} has two rows of one label: {labels}.")
    for data, entry in found["data"].items():
        _check_data(entry, rows, package, f"{where}, data.{data}")
    return Recipe(
        name=name,
        distribution=distribution,
        package=package,
        title=_text(found, "title", where),
        method=_text(found, "method", where),
        table=_text(found, "table", where),
        claim=_text(found, "claim", where),
        deviations=tuple(found.get("deviations", ())),
        measures=measures,
        rows=rows,
        figures=_figures(found, labels, package, where),
        data=found["data"],
        paper=_paper(found.get("paper", {}), {m.name for m in measures}, where),
    )


def _keys(found: Any, known: set[str], where: str) -> None:
    if not isinstance(found, dict):
        raise InputError(f"{where} is {found!r}; expected a table.")
    if unknown := sorted(found.keys() - known):
        raise InputError(f"{where} has {', '.join(unknown)}; it may have {sorted(known)}.")


def _fields(found: Any, kind: type, where: str, n_texts: int = 2) -> dict[str, Any]:
    known = kind.__dataclass_fields__  # type: ignore[attr-defined]
    _keys(found, set(known), where)
    for name in [*known][:n_texts]:
        _text(found, name, where)
    return dict(found)


def _text(found: Mapping[str, Any], key: str, where: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"{where} has {key} = {value!r}; expected a text.")
    return value


def _figures(
    found: Mapping[str, Any], labels: list[str], package: str, where: str
) -> tuple[Drawing, ...]:
    blocks = {name for entry in found["data"].values() for name in _block_names(entry)}
    figures: dict[str, Drawing] = {}
    for given in found.get("figure", ()):
        fields = _fields(given, Drawing, f"{where}, figure", 3)
        own = f"{where}, figure {given['name']!r}"
        if not _FILE.fullmatch(given["name"]) or given["name"] in figures:
            raise InputError(f"{own}: a name is of a-z, 0-9 and dashes, and of one figure only.")
        check_target(given["draw"], package, f"{own}: draw")
        for key, known in (("blocks", blocks), ("rows", {*labels, BALANCED_BASELINE})):
            fields[key] = tuple(given.get(key, ()))
            if unknown := sorted(set(fields[key]) - known):
                raise InputError(f"{own} names the {key} {unknown}; there are {sorted(known)}.")
        figures[given["name"]] = Drawing(**fields)
    return tuple(figures.values())


def _block_names(entry: Mapping[str, Any]) -> set[str]:
    scales = [entry[name] for name in entry if name not in _DATA]
    found = [part["block"] for part in (entry, *scales) if "block" in part] or [[{"name": "all"}]]
    return {block["name"] for blocks in found for block in blocks}


def _check_data(entry: Any, rows: tuple[Row, ...], package: str, where: str) -> None:
    if not isinstance(entry, dict):
        raise InputError(f"{where} is {entry!r}; expected a table.")
    labels = [row.label for row in rows]
    takers = {*labels, *(row.method for row in rows)}
    scales = [name for name in entry if name not in _DATA]
    if not scales or not all(isinstance(entry[name], dict) for name in scales):
        raise InputError(f"{where} has the scales {scales}; it needs a table a scale, as 'small'.")
    for part, name in ((entry, where), *((entry[s], f"{where}.{s}") for s in scales)):
        _keys(part, _DATA | (set(scales) if part is entry else set()), name)
        _keys(part.get("compare", {}), set(COMPARE), f"{name}.compare")
        _keys(part.get("params", {}), takers, f"{name}.params")
        if "prepare" in part:
            check_target(part["prepare"], package, f"{name}.prepare")
        _check_rows(part, labels, name)
        _check_blocks(part.get("block", ()), labels, takers, package, f"{name}.block")


def _check_blocks(
    blocks: Any, labels: list[str], takers: set[str], package: str, where: str
) -> None:
    for block in blocks:
        own = f"{where} {_text(block, 'name', where)!r}"
        _keys(block, _BLOCK, own)
        _keys(block.get("compare", {}), set(COMPARE), f"{own}.compare")
        _keys(block.get("params", {}), takers, f"{own}.params")
        if "prepare" in block:
            check_target(block["prepare"], package, f"{own}.prepare")
        _check_rows(block, labels, own)
        if "group" in block:
            _text(block, "group", own)
    names = [block["name"] for block in blocks]
    groups = {block.get("group") for block in blocks}
    # Both are found by name, in the table as among the paper's figures.
    if len(set(names)) < len(names) or groups & set(names):
        raise InputError(f"{where} has a name twice: {[*names, *sorted(filter(None, groups))]}.")


def _check_rows(part: Mapping[str, Any], labels: list[str], where: str) -> None:
    if unknown := sorted(set(part.get("rows", ())) - set(labels)):
        raise InputError(f"{where} names the rows {unknown}; there are {labels}.")


def _paper(found: Any, measures: set[str], where: str) -> dict[str, Any]:
    for block, rows in found.items():
        for row, figures in rows.items():
            _keys(figures, measures, f"{where}, paper.{block}.{row}")
    return dict(found)

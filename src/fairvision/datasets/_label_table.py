"""A table of picture names and labels, and where the files are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from fairvision.datasets._bunch import column, readable, text
from fairvision.datasets._lists import check_distinct, find_table
from fairvision.datasets._paths import below, check_root, inside, spelt_in_root
from fairvision.datasets._tables import clean_table, read_table
from fairvision.exceptions import BadImageError, DatasetError

__all__ = ["LabelTable"]


@dataclass(frozen=True, eq=False)
class LabelTable:
    """A table of picture names and labels, and where the files are.

    Attributes
    ----------
    root : str
        The folder of the pictures.
    source : str
        The table's name, for errors.
    table : DataFrame
    names, paths : list of str
        The name of each row, as its file is spelt, and the file.
    """

    root: str
    source: str
    table: pd.DataFrame
    names: list[str]
    paths: list[str]

    @classmethod
    def read(
        cls,
        root: str | os.PathLike[str],
        labels: str | os.PathLike[str] | pd.DataFrame,
        needed: Sequence[str] = (),
        *,
        path_column: str = "path",
        sep: str | None = None,
        skip_bad: bool = False,
    ) -> Self:
        """Read a table.

        Parameters
        ----------
        root, labels, path_column, sep, skip_bad
            As in `load_folder`; with `skip_bad` files need not exist.
        needed : sequence of str
            Columns, or ``"column=value"``, that must be there without empty fields.

        Raises
        ------
        BadImageError, DatasetError
            As `load_folder` does.
        """
        folder = check_root(root)
        table, source = _read_table(labels, folder, path_column, sep)
        _check_table(table, source, [path_column, *needed])
        names = spelt_in_root(folder, text(table[path_column]).tolist())
        table = table.assign(**{path_column: pd.Series(names, index=table.index, dtype=object)})
        paths = inside(folder, names)
        check_distinct(names, source, paths=paths)
        if not skip_bad:
            _check_files(folder, names, paths)
        return cls(folder, source, table, names, paths)

    def has(self, name: str) -> bool:
        """Whether there is a column of this name, or that of ``"column=value"``."""
        return {name, name.partition("=")[0]} & {*self.table.columns} != set()

    def words(self, name: str) -> list[str]:
        """A column as names of classes; an empty field is the empty text."""
        return ["" if pd.isna(v) else str(v) for v in self.values(name, name)]

    def values(self, name: str, known_as: str) -> list[Any]:
        """A column as sensitive features; truth values become words.

        Parameters
        ----------
        name : str
            The column, or ``"column=value"``.
        known_as : str
            The attribute that the column holds, used in the words for truth values.

        Raises
        ------
        DatasetError
            If there is no such column.
        """
        base, _, value = name.partition("=")
        if name in self.table.columns or base not in self.table.columns:
            values = column(self.table, name)
        else:
            values = pd.Series(text(self.table[base]) == value)
        if pd.api.types.is_bool_dtype(values):
            return [readable(known_as, {})[int(value)] for value in values]
        return values.tolist()


def _read_table(
    labels: Any, root: str, path_column: str, sep: str | None
) -> tuple[pd.DataFrame, str]:
    """The label table, and its name for errors."""
    if isinstance(labels, pd.DataFrame):
        return clean_table(labels, "the DataFrame"), "the DataFrame"
    path = find_table(labels, root)
    return read_table(path, sep=sep, text=[path_column]), path


def _check_table(table: pd.DataFrame, source: str, needed: Sequence[str]) -> None:
    for name in needed:
        column(table, name, role="column")  # or an error that lists the columns
        base = name if name in table.columns else name.partition("=")[0]
        missing = np.flatnonzero(table[base].isna())
        if len(missing):
            raise DatasetError(
                f"column {name!r} of {source!r} is empty in {len(missing)} row(s), the first at "
                f"row {missing[0]} (from 0). Fill them in or remove the rows."
            )


def _check_files(root: str, names: Sequence[str], paths: Sequence[str]) -> None:
    missing = [i for i, path in enumerate(paths) if not os.path.isfile(path)]
    if missing:
        name, first = names[missing[0]], paths[missing[0]]
        hint = _similar(first) or below(root, name)
        raise BadImageError(
            f"{len(missing)} of {len(paths)} files do not exist, the first {name!r} "
            f"in {os.path.dirname(first)!r}{hint}. Check root and the paths, or pass "
            "skip_bad=True (--skip-bad) to leave such rows out."
        )


def _similar(path: str) -> str:
    """The file in the folder that has this name with another ending, if there is one."""
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0].casefold()
    if os.path.isdir(path):
        return "; it is a folder"
    with contextlib.suppress(OSError):
        for other in sorted(os.listdir(folder)):
            if os.path.splitext(other)[0].casefold() in (stem, name.casefold()):
                return f"; there is {other!r}"
    return ""

"""Files of a published data set: where they are, and lists read as tables."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from itertools import islice, product
from typing import Any

import numpy as np
import pandas as pd

from fairvision.datasets._paths import IMAGE_ENDINGS, inside
from fairvision.exceptions import DatasetError

__all__ = [
    "check_distinct",
    "find_column",
    "find_table",
    "first_lines",
    "locate",
    "read_list",
    "scan",
]


def locate(root: str, folders: Sequence[str], names: Sequence[str], help_text: str) -> str:
    """The first of `names` that exists in one of `folders` of the root.

    Parameters
    ----------
    root : str
        From :func:`check_root`.
    folders, names : sequence of str
        Folders relative to the root (``""`` for the root), and names in them.
    help_text : str
        End of the error: which files belong where.

    Raises
    ------
    DatasetError
        If there is none, or it is a link that leads out of the root.
    """
    for folder, name in product(folders, names):
        place = os.path.join(folder, name)
        if os.path.exists(os.path.join(root, place)):
            return inside(root, [place])[0]
    raise DatasetError(f"{root!r} holds no {' or '.join(map(repr, names))}. {help_text}")


def find_table(path: str | os.PathLike[str], root: str) -> str:
    """The path of a table: in the root if it is there, else the path as given."""
    inner = os.path.join(root, os.fspath(path))
    return inner if os.path.isfile(inner) else os.fspath(path)


def read_list(path: str, *, needed: Iterable[str] = (), **settings: Any) -> pd.DataFrame:
    """Read a list by :func:`pandas.read_csv`; only an empty field is missing.

    Parameters
    ----------
    path : str
    needed : iterable of str
        Columns that the list must have.
    **settings
        Of :func:`pandas.read_csv`.

    Raises
    ------
    DatasetError
        If the file cannot be read, is a web page or no table, or has no rows.
    """
    _check_text(path)
    settings = {"index_col": False, "low_memory": False, **settings}
    try:
        # Opened here: pandas would download a path that looks like an address.
        with open(path, "rb") as file, warnings.catch_warnings():
            # pandas cuts rows that are longer than the header, and only warns.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(file, keep_default_na=False, na_values=[""], **settings)
    except UnicodeError as error:
        raise DatasetError(f"{path!r} is not UTF-8 text: {error}. Save it as UTF-8.") from error
    except (ValueError, pd.errors.ParserWarning) as error:  # a ParserError is a ValueError
        raise DatasetError(
            f"{path!r} is not a table: {str(error).strip().rstrip('.')}. It needs a header with a "
            "name for every column, and one row per image with no more fields than the header."
        ) from error
    if table.empty:
        raise DatasetError(f"{path!r} has no rows; it needs one per image.")
    if missing := [name for name in needed if name not in table.columns]:
        columns = ", ".join(map(str, table.columns[:50]))
        raise DatasetError(f"{path!r} has no column {', '.join(missing)}; it has {columns}.")
    return table


def _check_text(path: str) -> None:
    try:
        with open(path, "rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise DatasetError(f"{path!r} cannot be read: {error.strerror or error}.") from error
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise DatasetError(
            f"{path!r} is a web page, not a list: the download was refused, usually "
            "because of a daily limit. Download the file again, by hand if necessary."
        )
    if b"\0" in start:
        raise DatasetError(
            f"{path!r} is not a text file. Unpack it, download it again, or save a spreadsheet as "
            "CSV in UTF-8."
        )


def first_lines(path: str, n: int) -> list[str]:
    """The first `n` lines of a text file.

    Raises
    ------
    DatasetError
        If the file cannot be read, is a web page, or is not UTF-8 text.
    """
    _check_text(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            return list(islice(file, n))
    except UnicodeError as error:
        raise DatasetError(f"{path!r} is not UTF-8 text: {error}. Save it as UTF-8.") from error


def find_column(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The first column that has one of these names.

    Names are compared in lower case, with ``_`` for everything that is no letter or
    digit; a name that ends in ``*`` stands for all that begin like it.
    """
    for name in names:
        for column in table.columns:
            plain = re.sub(r"\W+", "_", str(column).strip().lower())
            if plain == name or (name.endswith("*") and plain.startswith(name[:-1])):
                return str(column)
    return None


def check_distinct(
    names: Sequence[str], source: str, *, paths: Sequence[str] | None = None
) -> None:
    """Raise DatasetError if two rows name one file.

    Parameters
    ----------
    names : sequence of str
        One per row.
    source : str
        The table, for the error.
    paths : sequence of str or None
        The file of each row, where one file can have several names.
    """
    keys = pd.Index(names if paths is None else paths, dtype=object)
    repeated = np.flatnonzero(keys.duplicated())
    if len(repeated):
        last = repeated[0]
        first = int(np.flatnonzero(keys == keys[last])[0])
        raise DatasetError(
            f"{source!r} names {names[first]!r} more than once: in row {first} and, as "
            f"{names[last]!r}, in row {last} (from 0). Keep one of them, or get the file again."
        )


def scan(root: str, folder: str, *, deep: bool = False) -> dict[str, str]:
    """The real path of each image, by its name relative to the folder.

    Reads the listing of the folder only: a question per file takes minutes for
    200,000 files on a network disk.

    Parameters
    ----------
    root, folder : str
        Real paths; a link that leads out of the root raises DatasetError.
    deep : bool, default=False
        Whether to look into sub-folders.
    """
    files: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if deep:
                    below = scan(root, entry.path, deep=True)
                    files.update((f"{entry.name}/{name}", path) for name, path in below.items())
            elif entry.name.lower().endswith(IMAGE_ENDINGS) and entry.is_file():
                path = entry.path
                if entry.is_symlink():
                    path = inside(root, [os.path.relpath(path, root)])[0]
                files[entry.name] = path
    return files

"""Any images with a table of their names and labels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets._bunch import column, text
from fairvision.datasets._files import ImageFiles
from fairvision.datasets._listing import image_bunch
from fairvision.datasets._lists import check_distinct, find_table
from fairvision.datasets._paths import below, check_root, inside, spelt_in_root
from fairvision.datasets._tables import clean_table, read_table
from fairvision.exceptions import BadImageError, DatasetError

__all__ = ["load_folder"]

_DESCR = """Images of the folder {root}

{n} images, decoded when used; labels from {source}.
Left out: {left_out}.
"""


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
            "skip_bad=True to leave such rows out."
        )


def _similar(path: str) -> str:
    """Which file there has the name with another ending, if one has."""
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0].casefold()
    if os.path.isdir(path):
        return "; it is a folder"
    with contextlib.suppress(OSError):
        for other in sorted(os.listdir(folder)):
            if os.path.splitext(other)[0].casefold() in (stem, name.casefold()):
                return f"; there is {other!r}"
    return ""


def load_folder(
    root: str | os.PathLike[str],
    labels: str | os.PathLike[str] | pd.DataFrame,
    *,
    target: str,
    sensitive: str | Sequence[str],
    path_column: str = "path",
    sep: str | None = None,
    split_column: str | None = None,
    image_size: int | tuple[int, int] = 64,
    mode: Literal["RGB", "L"] = "RGB",
    resize: Literal["crop", "squash"] = "crop",
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
    max_pixels: int = 50_000_000,
    pixel_max: float | None = None,
) -> Bunch:
    """Read any images of a folder, lazily, with labels from a CSV file.

    Parameters
    ----------
    root : path
        Folder of the images.
    labels : path or DataFrame
        Text table with a header and one row per image; looked for in `root` first. Names and
        fields lose outer spaces; an empty field, ``nan``, ``<NA>`` or ``NaT`` is missing; a column
        of integers, numbers or truth values is read as such, unless one has a leading zero.
    target : str
        Column to predict, or ``"column=value"``.
    sensitive : str or list of str
        Columns of the sensitive features.
    path_column : str, default="path"
        Column of the files, relative to `root` or absolute and below it. One that differs from a
        file's name by letter case, kind of slash or form of Unicode alone stands for that file.
    sep : str or None, default=None
        What parts the fields of the table: a character, "comma", "semicolon", "tab" or "pipe";
        None takes of these the one that parts the header most often. Unless it is a comma,
        numbers may have a decimal comma.
    split_column : str or None, default=None
        Column of the part of each row, such as ``"train"``.
    image_size, mode, resize, cache, max_pixels, pixel_max
        As in :class:`ImageFiles`.
    skip_bad : bool, default=False
        Whether to leave out images that are missing or cannot be read, and count
        them. Every image is decoded once to find out.

    Returns
    -------
    Bunch
        ``images`` (:class:`ImageFiles`), ``target``, ``target_names``,
        ``sensitive_features``, ``attributes`` (all columns), ``n_skipped``,
        ``skipped`` (their paths), ``DESCR``; with `split_column`, ``split``
        (n_samples,) and ``splits``, the rows of each part.

    Raises
    ------
    BadImageError
        Naming a file that is missing, or (when it is decoded) cannot be read.
    DatasetError
        If a column is missing (with a list of those in the table) or has empty
        fields, a path leads out of the root or comes twice, or there are no rows.
    """
    folder = check_root(root)
    table, source = _read_table(labels, folder, path_column, sep)
    columns = [sensitive] if isinstance(sensitive, str) else list(sensitive)
    parts = [] if split_column is None else [split_column]
    _check_table(table, source, [path_column, target, *columns, *parts])
    names = spelt_in_root(folder, text(table[path_column]).tolist())
    table = table.assign(**{path_column: pd.Series(names, index=table.index, dtype=object)})
    paths = inside(folder, names)
    check_distinct(names, source, paths=paths)
    if not skip_bad:
        _check_files(folder, names, paths)
    images = ImageFiles(
        paths,
        image_size=image_size,
        mode=mode,
        resize=resize,
        cache=cache,
        max_pixels=max_pixels,
        pixel_max=pixel_max,
    )
    return image_bunch(
        images,
        table,
        root=folder,
        source=source,
        skip_bad=skip_bad,
        split=None if split_column is None else text(table[split_column]),
        path_column=path_column,
        target=target,
        sensitive=sensitive,
        descr=_DESCR,
    )

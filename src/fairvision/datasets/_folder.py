"""Any images, with a table that names and labels them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets._bunch import column, make_bunch, split_rows, text
from fairvision.datasets._files import ImageFiles
from fairvision.datasets._paths import check_root, inside
from fairvision.exceptions import BadImageError, DatasetError

__all__ = ["load_folder"]

_DESCR = """Images of the folder {root}

{n} images, decoded when used; labels from {labels}.
Left out because they cannot be read: {n_skipped}.
"""


def _read_table(labels: Any, root: str, path_column: str) -> tuple[pd.DataFrame, str]:
    """The label table, and what to call it."""
    if isinstance(labels, pd.DataFrame):
        return labels.reset_index(drop=True), "the DataFrame"
    path = os.fspath(labels)
    if not os.path.exists(path) and os.path.isfile(os.path.join(root, path)):
        path = os.path.join(root, path)
    try:
        # Opened here: given a name, pandas would fetch what looks like an address.
        with open(path, "rb") as file:
            # "NA" and "None" are labels like any other; only an empty field is missing. Names of
            # files stay text: "007" is not 7.
            table = pd.read_csv(
                file,
                keep_default_na=False,
                na_values=[""],
                skipinitialspace=True,
                dtype={path_column: str},
            )
    except OSError as error:
        raise DatasetError(
            f"labels {path!r} cannot be read: {error.strerror or error}. Pass the CSV file."
        ) from error
    except (ValueError, UnicodeError) as error:  # pandas' parser errors are ValueErrors
        raise DatasetError(
            f"labels {path!r} is no CSV table: {error}. It needs a header and one row per image."
        ) from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first fields for an index
        raise DatasetError(
            f"labels {path!r} is no CSV table: its rows have more fields than its header. "
            "Name every column, and end no line with a comma."
        )
    return table, path


def _check_table(table: pd.DataFrame, source: str, needed: Sequence[str]) -> None:
    if table.empty:
        raise DatasetError(f"{source!r} has no rows; it needs one per image.")
    for name in needed:
        column(table, name, role="column")  # or an error that lists the columns
        base = name if name in table.columns else name.partition("=")[0]
        missing = np.flatnonzero(table[base].isna())
        if len(missing):
            raise DatasetError(
                f"column {name!r} of {source!r} is empty in {len(missing)} row(s), the first at "
                f"row {missing[0]} (from 0). Fill them in or remove the rows."
            )


def _check_distinct(paths: Sequence[str], names: Sequence[str], source: str) -> None:
    first: dict[str, int] = {}
    for row, path in enumerate(paths):
        if first.setdefault(path, row) != row:
            raise DatasetError(
                f"{source!r} names the same file twice: {names[first[path]]!r} in row "
                f"{first[path]} and {names[row]!r} in row {row} (from 0). Keep one."
            )


def keep_readable(
    images: ImageFiles, names: Sequence[str], skip_bad: bool
) -> tuple[ImageFiles, np.ndarray, list[str]]:
    """Images, the rows that they are, and the names of those left out.

    Missing files are found at once; unreadable ones at this point only if they are
    to be left out, since that takes decoding them all.
    """
    if skip_bad:
        good, errors = images.without_bad()
        rows = np.array([i for i in range(len(images)) if i not in errors], dtype=np.intp)
        if not len(good):
            raise BadImageError(f"none of the {len(images)} images can be read; {errors[0]}")
        return good, rows, [names[i] for i in sorted(errors)]
    missing = [i for i, path in enumerate(images.paths) if not os.path.isfile(path)]
    if missing:
        raise BadImageError(
            f"{len(missing)} of {len(images)} files are not there, the first "
            f"{names[missing[0]]!r} in {os.path.dirname(images.paths[missing[0]])!r}. Check root "
            "and the paths, or pass skip_bad=True to leave such rows out."
        )
    return images, np.arange(len(images)), []


def load_folder(
    root: str | os.PathLike[str],
    labels: str | os.PathLike[str] | pd.DataFrame,
    *,
    target: str,
    sensitive: str | Sequence[str],
    path_column: str = "path",
    split_column: str | None = None,
    image_size: int | tuple[int, int] = 64,
    mode: Literal["RGB", "L"] = "RGB",
    resize: Literal["crop", "squash"] = "crop",
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
    max_pixels: int = 50_000_000,
) -> Bunch:
    """Read any images of a folder, lazily, with labels from a CSV file.

    Parameters
    ----------
    root : path
        Folder of the images.
    labels : path or DataFrame
        CSV file with a header and one row per image; looked for in `root` too.
    target : str
        Column to predict, or ``"column=value"``.
    sensitive : str or list of str
        Columns of the sensitive features.
    path_column : str, default="path"
        Column of the files, relative to `root`.
    split_column : str or None, default=None
        Column that says to which part a row belongs, such as ``"train"``.
    image_size, mode, resize, cache, max_pixels
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
        If a column is not there (listing those that are), has empty fields, a
        path leads out of the root or comes twice, or there are no rows.
    """
    folder = check_root(root)
    table, source = _read_table(labels, folder, path_column)
    columns = [sensitive] if isinstance(sensitive, str) else list(sensitive)
    parts = [] if split_column is None else [split_column]
    _check_table(table, source, [path_column, target, *columns, *parts])
    names = text(table[path_column]).tolist()
    paths = inside(folder, names)
    _check_distinct(paths, names, source)
    files = ImageFiles(
        paths, image_size=image_size, mode=mode, resize=resize, cache=cache, max_pixels=max_pixels
    )
    images, rows, skipped = keep_readable(files, names, skip_bad)
    table = table.iloc[rows].reset_index(drop=True)
    more: dict[str, Any] = {"n_skipped": len(skipped), "skipped": skipped}
    if split_column is not None:
        more["split"] = text(table[split_column])
        more["splits"] = split_rows(more["split"])
    descr = _DESCR.format(root=folder, n=len(images), labels=source, n_skipped=len(skipped))
    return make_bunch(images, table, target=target, sensitive=sensitive, descr=descr, **more)

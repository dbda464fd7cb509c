"""What data sets in an official layout share: a list that labels the images of a folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.datasets._bunch import make_bunch, split_rows
from fairvision.datasets._files import ImageFiles
from fairvision.datasets._paths import IMAGE_ENDINGS, inside
from fairvision.exceptions import BadImageError, DatasetError

__all__ = ["check_columns", "first_lines", "listed_bunch", "locate", "read_list", "scan"]

# Why a row or an image is left out; the Bunch has ``n_<reason>`` and the names in ``<reason>``.
_REASONS = {
    "bad_values": "with missing, unknown or contradictory values",
    "no_split": "in no part of the partition list",
    "two_labels": "that the label file labels twice, differently",
    "no_label": "without a usable label in the label file",
    "missing_image": "whose image is not there",
    "no_entry": "image(s) that the list does not name",
    "skipped": "unreadable image(s)",
}


def locate(root: str, folders: Sequence[str], names: Sequence[str], where: str) -> str:
    """The first of `names` in the first of `folders` of the root that is there.

    Parameters
    ----------
    root : str
        From :func:`check_root`.
    folders, names : sequence of str
        Folders relative to the root, ``""`` for itself, and names in them.
    where : str
        Which files belong where, for whoever lacks one.

    Raises
    ------
    DatasetError
        If there is none, or it is a link that leads out of the root.
    """
    for folder, name in product(folders, names):
        place = os.path.join(folder, name)
        if os.path.exists(os.path.join(root, place)):
            return inside(root, [place])[0]
    raise DatasetError(f"{root!r} holds no {' or '.join(map(repr, names))}. {where}")


def read_list(path: str, **settings: Any) -> pd.DataFrame:
    """A list as a table, by :func:`pandas.read_csv`; only an empty field is missing.

    Raises
    ------
    DatasetError
        If it cannot be read, is a web page or no table, or has no rows.
    """
    _check_text(path)
    settings = {"index_col": False, "low_memory": False, **settings}
    try:
        with warnings.catch_warnings():
            # pandas would cut rows that are longer than the header, and only warn.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, keep_default_na=False, na_values=[""], **settings)
    except UnicodeError as error:
        raise DatasetError(f"{path!r} is no UTF-8 text: {error}. Get the file anew.") from error
    except (ValueError, pd.errors.ParserWarning) as error:  # a ParserError is a ValueError
        raise DatasetError(
            f"{path!r} is no such list: {str(error).strip()}. Get the file anew."
        ) from error
    if table.empty:
        raise DatasetError(f"{path!r} has no rows; it needs one per image. Get the file anew.")
    return table


def _check_text(path: str) -> None:
    try:
        with open(path, "rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise DatasetError(f"{path!r} cannot be read: {error.strerror or error}.") from error
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise DatasetError(
            f"{path!r} is a web page, not a list: the download was refused, for its daily limit "
            "as a rule. Get the file again, by hand if need be."
        )
    if b"\0" in start:
        raise DatasetError(f"{path!r} is no text file. Unpack it, or get it again.")


def first_lines(path: str, n: int) -> list[str]:
    """The first `n` lines of a list, for one that no reader of tables can begin with.

    Raises
    ------
    DatasetError
        If the file cannot be read, is a web page, or is no UTF-8 text.
    """
    _check_text(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            return list(islice(file, n))
    except UnicodeError as error:
        raise DatasetError(f"{path!r} is no UTF-8 text: {error}. Get the file anew.") from error


def check_columns(table: pd.DataFrame, names: Iterable[str], path: str) -> None:
    """Raise DatasetError naming the columns that a list lacks."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        there = ", ".join(map(str, table.columns[:50]))
        raise DatasetError(f"{path!r} has no column {', '.join(missing)}; it has {there}.")


def scan(root: str, folder: str, *, deep: bool = False) -> dict[str, str]:
    """The real path of each image, by its name relative to the folder.

    The listing of a folder says what is a file, so that none is asked for by
    itself; on a network disk, 200,000 questions take minutes.

    Parameters
    ----------
    root, folder : str
        Real paths; a link that leads out of the root raises DatasetError.
    deep : bool, default=False
        Whether to look into sub-folders.
    """
    found: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if deep:
                    below = scan(root, entry.path, deep=True)
                    found.update((f"{entry.name}/{name}", path) for name, path in below.items())
            elif entry.name.lower().endswith(IMAGE_ENDINGS) and entry.is_file():
                path = entry.path
                if entry.is_symlink():
                    path = inside(root, [os.path.relpath(path, root)])[0]
                found[entry.name] = path
    return found


def listed_bunch(
    root: str,
    files: Mapping[str, str],
    table: pd.DataFrame,
    *,
    source: str,
    bad: Mapping[str, NDArray[np.bool_]],
    image_size: int | tuple[int, int],
    skip_bad: bool,
    cache: str | os.PathLike[str] | None,
    target: str,
    sensitive: str | Sequence[str],
    labels: Mapping[str, tuple[str, str]] | None = None,
    descr: str,
    **more: Any,
) -> Bunch:
    """Bring the images of a folder and the rows of a list together, by name.

    Parameters
    ----------
    root : str
        From :func:`check_root`.
    files : mapping of str to str
        From :func:`scan`.
    table : DataFrame
        The list; its column ``path`` holds the names, ``split``, if there is one,
        the parts.
    source : str
        What to call the list.
    bad : mapping of str to bool arrays of shape (n_rows,)
        Rows to leave out, by reason.
    image_size, cache, skip_bad, target, sensitive, labels, descr, more
        As in :class:`ImageFiles`, :func:`load_folder` and :func:`make_bunch`;
        ``{root}``, ``{n}`` and ``{left_out}`` of `descr` are filled in.

    Raises
    ------
    DatasetError
        If a name comes twice, no row is left, or what is asked for has one value.
    """
    names = table["path"].fillna("").astype(str).to_numpy(dtype=object)
    _check_distinct(names, source)
    missing = np.array([name not in files for name in names], dtype=bool)
    left, used = _leave_out(names, {**bad, "missing_image": missing})
    left["no_entry"] = sorted(files.keys() - set(names))
    if not used.any():
        raise DatasetError(f"none of the {len(table)} rows of {source!r} is usable: {_say(left)}.")
    table = table[used].reset_index(drop=True)
    images = ImageFiles([files[name] for name in names[used]], image_size=image_size, cache=cache)
    left["skipped"] = []
    if skip_bad:
        images, table, left["skipped"] = _readable(images, table)
    if "split" in table:
        more["split"] = table.pop("split").to_numpy(dtype=object)
        more["splits"] = split_rows(more["split"])
    data = make_bunch(
        images,
        table,
        target=target,
        sensitive=sensitive,
        labels=labels,
        descr=descr.format(root=root, n=len(table), left_out=_say(left)),
        **more,
        **left,
        **{f"n_{reason}": len(rows) for reason, rows in left.items()},
    )
    _check_varies(data)
    return data


def _leave_out(
    names: NDArray[np.object_], bad: Mapping[str, NDArray[np.bool_]]
) -> tuple[dict[str, list[str]], NDArray[np.bool_]]:
    """The names left out by reason, each under its first one, and which rows stay."""
    left = {}
    used = np.ones(len(names), dtype=bool)
    for reason, mask in bad.items():
        left[reason] = names[used & mask].tolist()
        used &= ~mask
    return left, used


def _check_distinct(names: NDArray[np.object_], source: str) -> None:
    again = np.flatnonzero(pd.Index(names).duplicated())
    if len(again):
        raise DatasetError(
            f"{source!r} names {names[again[0]]!r} more than once ({len(again)} rows too "
            "many). Which row is right cannot be told: keep one, or get the file anew."
        )


def _readable(
    images: ImageFiles, table: pd.DataFrame
) -> tuple[ImageFiles, pd.DataFrame, list[str]]:
    good, errors = images.without_bad()
    if not len(good):
        raise BadImageError(f"none of the {len(images)} images can be read; {errors[0]}")
    bad = sorted(errors)
    return good, table.drop(index=bad).reset_index(drop=True), table["path"].iloc[bad].tolist()


def _check_varies(data: Bunch) -> None:
    """A constant has no groups to compare, and nothing to learn."""
    columns = {data.target_name: data.target, **data.sensitive_features}
    for name, values in columns.items():
        if len(data.target) > 1 and pd.Series(values).nunique(dropna=False) < 2:
            raise DatasetError(
                f"{name!r} has the same value in all {len(data.target)} usable rows. Name "
                f"another attribute; there are {', '.join(map(str, data.attributes.columns))}."
            )


def _say(left: Mapping[str, Sequence[str]]) -> str:
    said = [f"{len(rows)} {_REASONS[reason]}" for reason, rows in left.items() if rows]
    return ", ".join(said) or "nothing"

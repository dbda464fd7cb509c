"""A file of additional labels for the images of a published data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from fairvision.datasets._lists import find_column, find_table
from fairvision.datasets._paths import respelt
from fairvision.datasets._tables import clean_table, read_table
from fairvision.exceptions import DatasetError

__all__ = ["NAMES", "TONES", "join_labels", "skin_types"]

TYPES = ("I", "II", "III", "IV", "V", "VI")
# What a column may be called, as `find_column` compares names.
NAMES = ("filename", "file", "path", "image", "image_path", "image_id")
TONES = ("fitzpatrick*", "skin_tone", "skin_type")


def skin_types(values: pd.Series) -> dict[str, pd.Series]:
    """``skin_tone`` (I to VI) and ``skin_group`` of Fitzpatrick types; missing for any other."""
    numbers = {str(i): name for i, name in enumerate(TYPES, 1)} | {name: name for name in TYPES}
    words = values.str.upper().str.removeprefix("TYPE").str.strip().str.removesuffix(".0")
    tone = words.map(numbers).astype(object)
    group = tone.map({name: "lighter" if i < 3 else "darker" for i, name in enumerate(TYPES)})
    return {"skin_tone": tone, "skin_group": group.astype(object)}


def join_labels(
    table: pd.DataFrame,
    labels: str | os.PathLike[str] | pd.DataFrame,
    root: str,
    *,
    used: Sequence[str],
    sep: str | None = None,
) -> tuple[pd.DataFrame, dict[str, NDArray[Any]], list[str]]:
    """Add the columns of a label file to those of a list, by the images' names.

    Parameters
    ----------
    table : DataFrame
        With the column ``path``.
    labels : path or DataFrame
        CSV file, looked for in `root` first.
    root : str
    used : sequence of str
        Columns that the user named (or ``"name=value"``): a row that lacks one of them is left
        out.
    sep : str or None
        As in :func:`read_table`.

    Returns
    -------
    table : DataFrame
    bad : dict of str to bool arrays of shape (n_rows,)
        Rows whose labels are missing or contradict each other, by reason.
    remarks : list of str
        Rows of the file that were not used.

    Raises
    ------
    DatasetError
        Naming the file and the column that is missing, is in the list already or
        holds nothing usable.
    """
    labels_table, source = _read(labels, root, sep)
    labels_table["path"] = respelt(labels_table["path"], table["path"].dropna().tolist())
    n_given = len(labels_table)
    # Equal rows count once; rows that contradict each other give no label.
    labels_table = labels_table.drop_duplicates()
    remarks = (
        [f"{source}: {n_given - len(labels_table)} repeated row(s)."]
        if len(labels_table) < n_given
        else []
    )
    contradicted = labels_table["path"].duplicated(keep=False)
    twice, labels_table = set(labels_table.loc[contradicted, "path"]), labels_table[~contradicted]
    known = table["path"].dropna()
    if clash := sorted(set(labels_table.columns) & ({*table.columns, "split"} - {"path"})):
        raise DatasetError(
            f"{source!r} has the column {clash[0]!r}, which the data have already. Rename it."
        )
    unknown = labels_table.loc[~labels_table["path"].isin(known), "path"].tolist()
    if len(unknown) == len(labels_table) and not twice:
        raise DatasetError(
            f"{source!r} names no image of the data: the first is {unknown[0]!r}, the data's "
            f"first {known.iloc[0]!r}. Spell the names as in the data."
        )
    if unknown:
        remarks.append(
            f"{source}: {len(unknown)} row(s) of images that the data do not list, the first "
            f"{unknown[0]!r}."
        )
    joined = table.merge(labels_table, on="path", how="left")
    columns_used = {str(name).partition("=")[0] for name in used} - {"path"}
    unlabelled = (
        joined[[name for name in labels_table.columns if name in columns_used]].isna().any(axis=1)
    )
    two = table["path"].isin(twice).to_numpy()
    return joined, {"two_labels": two, "no_label": unlabelled.to_numpy()}, remarks


def _read(
    labels: str | os.PathLike[str] | pd.DataFrame, root: str, sep: str | None
) -> tuple[pd.DataFrame, str]:
    """The file's columns as text, with ``path`` and what Fitzpatrick types give; its name."""
    if isinstance(labels, pd.DataFrame):
        source = "the DataFrame of labels"
        table = clean_table(labels, source).astype(object)
        table = table.where(table.isna(), table.map(str))
    else:
        source, path = os.fspath(labels), find_table(labels, root)
        if not os.path.isfile(path):
            raise DatasetError(
                f"{root!r} holds no {source!r}. Put the file of labels there: a CSV with a column "
                "image_id and a column for each label, such as fitzpatrick (1 to 6, or I to VI)."
            )
        table = read_table(path, sep=sep, text=None)
    name, tone = find_column(table, NAMES), find_column(table, TONES)
    if name is None or len(table.columns) < 2:
        columns = ", ".join(map(str, table.columns[:50]))
        raise DatasetError(
            f"{source!r} needs a column of image names ({', '.join(NAMES)}) and one of labels; it "
            f"has {columns}."
        )
    if tone is not None:
        types = skin_types(table.pop(tone))
        if types["skin_tone"].isna().all():
            raise DatasetError(
                f"{source!r} has no Fitzpatrick type in its column {tone!r}: 1 to 6, or I to VI."
            )
        table = table.assign(**types)
    return table.rename(columns={name: "path"}).dropna(subset="path"), source

"""Labels that somebody else made for the images of a published set, in a file of their own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.datasets._listed import read_list
from fairvision.exceptions import DatasetError

__all__ = ["NAMES", "TONES", "asked_columns", "join_labels", "pick", "skin_types"]

TYPES = ("I", "II", "III", "IV", "V", "VI")
# What a column may be called, in small letters with _ for anything else; * for any ending.
NAMES = ("filename", "file", "path", "image", "image_path", "image_id")
TONES = ("fitzpatrick*", "skin_tone", "skin_type")


def pick(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The first column that has one of these names."""
    for name in names:
        for column in table.columns:
            plain = re.sub(r"\W+", "_", str(column).strip().lower())
            if plain == name or (name.endswith("*") and plain.startswith(name[:-1])):
                return str(column)
    return None


def skin_types(values: pd.Series) -> dict[str, pd.Series]:
    """``skin_tone`` (I to VI) and ``skin_group`` of Fitzpatrick types; missing for any other."""
    numbers = {str(i): name for i, name in enumerate(TYPES, 1)} | {name: name for name in TYPES}
    words = values.str.upper().str.removeprefix("TYPE").str.strip().str.removesuffix(".0")
    tone = words.map(numbers).astype(object)
    group = tone.map({name: "lighter" if i < 3 else "darker" for i, name in enumerate(TYPES)})
    return {"skin_tone": tone, "skin_group": group.astype(object)}


@dataclass(frozen=True)
class Joined:
    """A list with the columns of a label file.

    Attributes
    ----------
    table : DataFrame
    bad : dict of str to bool arrays of shape (n_rows,)
        Rows whose labels are missing or contradict each other, by reason.
    remarks : list of str
        What of the file was not used.
    """

    table: pd.DataFrame
    bad: dict[str, NDArray[np.bool_]]
    remarks: list[str]


def join_labels(
    table: pd.DataFrame,
    labels: str | os.PathLike[str] | pd.DataFrame,
    root: str,
    *,
    asked: Sequence[str],
) -> Joined:
    """Set the columns of a label file beside those of a list, by the images' names.

    Parameters
    ----------
    table : DataFrame
        With the column ``path``.
    labels : path or DataFrame
        CSV file, looked for in `root` first.
    root : str
    asked : sequence of str
        Columns that will be used: a row without one of them is a bad one.

    Raises
    ------
    DatasetError
        Naming the file and the column that is missing, is in the list already or
        holds nothing usable.
    """
    own, source = _read(labels, root)
    n_given = len(own)
    # What is said twice alike is read once; what is said differently is no label.
    own = own.drop_duplicates()
    remarks = [f"{source}: {n_given - len(own)} row(s) said twice."] if len(own) < n_given else []
    contradicted = own["path"].duplicated(keep=False)
    twice, own = set(own.loc[contradicted, "path"]), own[~contradicted]
    known = table["path"].dropna()
    if clash := sorted(set(own.columns) & ({*table.columns, "split"} - {"path"})):
        raise DatasetError(
            f"{source!r} has the column {clash[0]!r}, which the data have already. Rename it."
        )
    unknown = own.loc[~own["path"].isin(known), "path"].tolist()
    if len(unknown) == len(own) and not twice:
        raise DatasetError(
            f"{source!r} names no image of the data: the first is {unknown[0]!r}, the data's first "
            f"{known.iloc[0]!r}. Write the names as the data have them."
        )
    if unknown:
        remarks.append(
            f"{source}: {len(unknown)} row(s) of images that the data do not list, the first "
            f"{unknown[0]!r}."
        )
    joined = table.merge(own, on="path", how="left")
    used = [name for name in own.columns if name != "path" and name in asked]
    two = table["path"].isin(twice).to_numpy()
    bad = {"two_labels": two, "no_label": joined[used].isna().any(axis=1).to_numpy()}
    return Joined(joined, bad, remarks)


def _read(labels: str | os.PathLike[str] | pd.DataFrame, root: str) -> tuple[pd.DataFrame, str]:
    """The file's columns as text, with ``path`` and what Fitzpatrick types give; its name."""
    if isinstance(labels, pd.DataFrame):
        table, source = labels.astype(object), "the DataFrame of labels"
        table = table.where(table.isna(), table.map(str))
    else:
        source = os.fspath(labels)
        inner = os.path.join(root, source)
        if not os.path.isfile(inner) and not os.path.isfile(source):
            raise DatasetError(
                f"{root!r} holds no {source!r}. Put the file of labels there: a CSV with a column "
                "image_id and a column for each label, such as fitzpatrick (1 to 6, or I to VI)."
            )
        table = read_list(inner if os.path.isfile(inner) else source, dtype=str)
    table = table.apply(lambda column: column.str.strip())
    table = table.mask(table == "")
    name, tone = pick(table, NAMES), pick(table, TONES)
    if name is None or len(table.columns) < 2:
        there = ", ".join(map(str, table.columns[:50]))
        raise DatasetError(
            f"{source!r} needs a column of image names ({', '.join(NAMES)}) and one of labels; it "
            f"has {there}."
        )
    if tone is not None:
        found = skin_types(table.pop(tone))
        if found["skin_tone"].isna().all():
            raise DatasetError(
                f"{source!r} has no Fitzpatrick type in its column {tone!r}: 1 to 6, or I to VI."
            )
        table = table.assign(**found)
    return table.rename(columns={name: "path"}).dropna(subset="path"), source


def asked_columns(*given: Any) -> list[str]:
    """The columns that a target and sensitive features name, ``name=value`` among them."""
    names = [name for some in given for name in ([some] if isinstance(some, str) else some)]
    return [str(name).partition("=")[0] for name in names]

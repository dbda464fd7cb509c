"""The tables of a data card."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.cards.associations import MOST_LEVELS
from fairvision.cards.pictures import Pictures
from fairvision.comparison.data import class_names
from fairvision.exceptions import InputError


def read_labels(data: Bunch) -> pd.DataFrame:
    """Class and groups of each row by name; the target is the first column."""
    codes = np.unique(data.target, return_inverse=True)[1]
    names = np.array(class_names(data), dtype=object)
    groups = data.sensitive_features.astype(str).rename(columns=str)
    labels = pd.concat([pd.Series(names[codes], name=str(data.target_name)), groups], axis=1)
    if not labels.columns.is_unique:
        raise InputError(f"{data.target_name!r} is both target and sensitive. Name another column.")
    for name, values in labels.items():
        if not 2 <= (n := values.nunique()) <= MOST_LEVELS:
            raise InputError(
                f"{name!r} has {n} value(s); a data card needs 2 to {MOST_LEVELS}. Name another "
                "column, or 'name=value' of one."
            )
    return labels


def read_attribute(data: Bunch, name: str) -> pd.Series:
    """One attribute of each row."""
    table = data.get("attributes")
    if table is None or name not in table:
        known = [] if table is None else list(table.columns)
        raise InputError(f"identity {name!r} is no attribute; there are {known}.")
    return table[name].reset_index(drop=True)


def read_parts(data: Bunch) -> NDArray[Any] | None:
    """The part of each row as text, None if there are not several."""
    split = data.get("split")
    parts = np.array([] if split is None else split).astype(str).astype(object)
    return parts if len(set(parts)) > 1 else None


def count_cells(labels: pd.DataFrame, parts: NDArray[Any] | None) -> pd.DataFrame:
    """Rows of each class in each group that occurs, by part."""
    target, *groups = labels.columns
    by = labels.groupby([target, *groups]).size()
    crossed = labels[groups].drop_duplicates().sort_values(groups)
    cells = [
        (label, *group)
        for label in dict.fromkeys(sorted(labels[target]))
        for group in crossed.itertuples(index=False, name=None)
    ]
    index = pd.MultiIndex.from_tuples(cells, names=labels.columns)
    columns = {}
    for split in [] if parts is None else sorted(set(parts)):
        columns[split] = labels[parts == split].groupby([target, *groups]).size().reindex(index)
    columns["all"] = by.reindex(index)
    return pd.DataFrame(columns).fillna(0).astype(int)


def comparable_columns(
    data: Bunch,
    labels: pd.DataFrame,
    parts: NDArray[Any] | None,
    pictures: Pictures | None,
    identity: str | None,
) -> pd.DataFrame:
    """Target, sensitive columns, and whatever else may be confounded with them."""
    used = {name.partition("=")[0] for name in labels.columns} | {*labels.columns, identity}
    others = data.get("attributes")
    others = pd.DataFrame(index=labels.index) if others is None else others.reset_index(drop=True)
    others = others.rename(columns=str)
    others = others.drop(columns=[name for name in others if name in used])
    columns = pd.concat([labels, others], axis=1)
    if parts is not None:
        columns["part of the data"] = parts
    if pictures is not None:
        for name in ("brightness", "size", "mode", "format"):
            columns[f"image {name}"] = pictures.table[name].reindex(labels.index)
    return columns


def pictures_by_group(labels: pd.DataFrame, pictures: Pictures | None) -> pd.DataFrame:
    """Means of size, brightness and contrast by class and by group."""
    names = ["column", "label"]
    if pictures is None:
        return pd.DataFrame(index=pd.MultiIndex.from_tuples([], names=names))
    table = pictures.table
    numbers = table[["width", "height", "brightness", "contrast"]].assign(
        grey=table["mode"].isin(["1", "L", "LA", "I", "I;16", "F"])
    )
    blocks = {}
    for name, values in labels.items():
        grouped = numbers.groupby(values.reindex(table.index))
        blocks[name] = grouped.mean().assign(n=grouped.size())
    return pd.concat(blocks, names=names)


def list_copies(
    data: Bunch, labels: pd.DataFrame, parts: NDArray[Any] | None, pictures: Pictures | None
) -> pd.DataFrame:
    """A row for each picture in a set of near copies."""
    columns = ["set", "row", "path", "part", *labels.columns]
    if pictures is None:
        return pd.DataFrame(columns=columns)
    repeated = pictures.table.query("copies >= 0").sort_values("copies", kind="stable")
    rows = repeated.index.to_numpy()
    chosen = labels.iloc[rows].reset_index(drop=True)
    paths = data.images[rows].paths if hasattr(data.images, "paths") else [""] * len(rows)
    first = pd.DataFrame({"set": repeated["copies"].to_numpy(), "row": rows, "path": paths})
    first["part"] = "" if parts is None else parts[rows]
    return pd.concat([first, chosen], axis=1)


def list_unreadable(data: Bunch, pictures: Pictures | None) -> pd.DataFrame:
    """Paths of pictures that cannot be read, and why."""
    errors = {} if pictures is None else pictures.errors
    listed = [(data.images[[row]].paths[0], reason) for row, reason in errors.items()]
    listed += [(path, "left out by the loader") for path in data.get("skipped") or ()]
    return pd.DataFrame(listed, columns=["path", "reason"])


def count_identities(people: pd.Series | None, parts: NDArray[Any] | None) -> dict[str, Any]:
    """How many values the identity column has, and how many are in several parts."""
    if people is None:
        return {}
    sizes = people.value_counts()
    shared = 0
    if parts is not None:
        shared = int((pd.Series(parts).groupby(people).nunique() > 1).sum())
    return {
        "column": str(people.name),
        "n": len(sizes),
        "n_repeated": int((sizes > 1).sum()),
        "n_in_several_parts": shared,
    }

"""The common form of data sets: images, target, groups, and the attributes of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.base import rows_of
from fairvision.exceptions import DatasetError

__all__ = ["column", "encode", "make_bunch", "readable", "split_rows", "subset", "text"]

Labels = Mapping[str, tuple[str, str]]


def text(values: pd.Series) -> NDArray[Any]:
    """Values as Python's str: pandas' strings cannot hold a name that is not valid UTF-8."""
    return np.array([str(value) for value in values], dtype=object)


def column(attributes: pd.DataFrame, name: str, *, role: str = "attribute") -> pd.Series:
    """The column of this name; for ``"name=value"``, whether each row has the value.

    Raises
    ------
    DatasetError
        If there is no such column or value, with a list of those in the data.
    """
    if name in attributes.columns:
        return attributes[name]
    base, equals, value = str(name).partition("=")
    if not equals or base not in attributes.columns:
        names = ", ".join(map(str, attributes.columns))
        raise DatasetError(
            f"{role} {name!r} is not in the data; there are {names}, or 'name=value' of one."
        )
    words = text(attributes[base])
    if value not in set(words):
        known = sorted(set(words))[:20]
        raise DatasetError(f"{role} {name!r}: no row has {value!r}; {base!r} has {known}.")
    return pd.Series(words == value, index=attributes.index, name=name)


def readable(name: str, labels: Labels) -> tuple[str, str]:
    """The names of false and true for a column of truth values."""
    if name in labels:
        return labels[name]
    words = name.partition("=")[2] or name.replace("_", " ")
    return (f"not {words}" if "=" in name else f"no {words}", words)


def encode(values: pd.Series, labels: Labels | None = None) -> tuple[NDArray[Any], list[str]]:
    """Encode a column as a target; return it and the names of the classes.

    Truth values become 0 and 1, text becomes 0 to K - 1 in sorted order, and
    numbers stay as they are.
    """
    missing = int(values.isna().sum())
    if missing:
        raise DatasetError(
            f"{values.name!r} is missing in {missing} of {len(values)} rows. Leave these rows "
            "out, or fill in the values."
        )
    if pd.api.types.is_bool_dtype(values):
        return values.to_numpy(dtype=np.int64), list(readable(str(values.name), labels or {}))
    if pd.api.types.is_numeric_dtype(values):
        array = values.to_numpy()
        return array, [str(value) for value in np.unique(array)]
    names, codes = np.unique(text(values), return_inverse=True)
    return codes.astype(np.int64), [str(name) for name in names]


def _groups(attributes: pd.DataFrame, names: Sequence[str], labels: Labels) -> pd.DataFrame:
    """Sensitive columns with readable labels."""
    frame = {}
    for name in names:
        values = column(attributes, name, role="sensitive feature")
        if pd.api.types.is_bool_dtype(values):
            no, yes = readable(name, labels)
            values = pd.Series(np.where(values, yes, no).astype(object), name=name)
        array = values.to_numpy()
        frame[name] = pd.Series(array, dtype=array.dtype)
    return pd.DataFrame(frame)


def make_bunch(
    images: Any,
    attributes: pd.DataFrame,
    *,
    target: str,
    sensitive: str | Sequence[str],
    labels: Labels | None = None,
    descr: str = "",
    **more: Any,
) -> Bunch:
    """Put a data set together.

    Parameters
    ----------
    images : array-like of shape (n_samples, n_channels, height, width)
    attributes : DataFrame of n_samples rows
        The attributes of each row.
    target, sensitive : str, str or list of str
        Columns of `attributes`, or ``"name=value"`` for a binary column made from one.
    labels : mapping of str to (str, str)
        The names of false and true, by column of truth values.
    descr : str
        The text of ``DESCR``.
    **more
        Further entries of the result.

    Returns
    -------
    Bunch
        ``images``, ``target`` (n_samples,), ``target_name``, ``target_names`` (of the
        classes, in the order of their codes), ``sensitive_features`` (DataFrame),
        ``sensitive_names``, ``attributes``, ``labels``, ``DESCR``, and `more`.
    """
    labels = dict(labels or {})
    names = [sensitive] if isinstance(sensitive, str) else list(sensitive)
    if not names:
        raise DatasetError("sensitive names no column; name one or more.")
    if not isinstance(target, str):
        raise DatasetError(f"target must be the name of one column; got {target!r}.")
    y, classes = encode(column(attributes, target, role="target"), labels)
    return Bunch(
        images=images,
        target=y,
        target_name=target,
        target_names=classes,
        sensitive_features=_groups(attributes, names, labels),
        sensitive_names=names,
        attributes=attributes.reset_index(drop=True),
        labels=labels,
        DESCR=descr,
        **more,
    )


# Entries of a Bunch with one element per row.
_PER_ROW = ("target", "split", "identity")
_FRAMES = ("sensitive_features", "attributes")


def split_rows(split: NDArray[Any]) -> dict[str, NDArray[np.intp]]:
    """The rows of each part, by its name in `split`."""
    return {str(name): np.flatnonzero(split == name) for name in sorted(set(split))}


def subset(data: Bunch, rows: Any) -> Bunch:
    """Take some rows of a data set; files are not decoded, images in memory not copied.

    Parameters
    ----------
    data : Bunch
        From any loader.
    rows : ndarray of int, bool mask or slice
        For example ``split.train`` of :func:`biased_split`.
    """
    subset_data = Bunch(**data)
    subset_data.images = rows_of(subset_data.images, rows)
    for name in _PER_ROW:
        if subset_data.get(name) is not None:
            subset_data[name] = subset_data[name][rows]
    for name in _FRAMES:
        if subset_data.get(name) is not None:
            subset_data[name] = subset_data[name].iloc[rows].reset_index(drop=True)
    if "splits" in subset_data:
        subset_data.splits = split_rows(subset_data.split)
    if subset_data.get("masks") is not None:
        subset_data.masks = {name: mask[rows] for name, mask in subset_data.masks.items()}
    return subset_data

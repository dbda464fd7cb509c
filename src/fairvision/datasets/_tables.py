"""Reader of users' tables: every column as text, then numbers or truth values where all fit."""

from __future__ import annotations

import csv
import os
import re
import unicodedata
from collections.abc import Callable, Collection
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd

from fairvision.datasets._lists import first_lines, read_list
from fairvision.exceptions import DatasetError

__all__ = ["MISSING", "clean_table", "read_table"]

#: A field that holds nothing else is missing, in any case; "NA" and "None" may be labels.
MISSING = ("", "nan", "<na>", "nat")
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
# No leading zeros: "007" is a name, not 7.
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_NUMBER = re.compile(
    r"-?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)(e[+-]?\d+)?|-?inf", re.ASCII | re.IGNORECASE
)
_COMMA = re.compile(r"-?(0|[1-9]\d*)(,\d+)?", re.ASCII)
_TRUTH = {"true": True, "false": False}


def read_table(
    path: str | os.PathLike[str], *, sep: str | None = None, text: Collection[str] | None = ()
) -> pd.DataFrame:
    """Read a text table with a header.

    Names and fields lose outer spaces. A field that is empty, or ``nan``, ``<NA>`` or
    ``NaT``, is missing. A column all of whose fields are integers, numbers or truth values is
    read as such; one with leading zeros stays text, and so does any other, in Unicode's form NFC.

    Parameters
    ----------
    path : path
    sep : str or None, default=None
        Field separator: a character, "comma", "semicolon", "tab" or "pipe". None takes the one of
        these that is most frequent in the header. Unless the separator is a comma, numbers may
        have a decimal comma.
    text : collection of str or None
        Columns that stay text; None for all.

    Raises
    ------
    DatasetError
        If the file cannot be read, is no table, has no rows, or two columns have one name.
    """
    name = os.fspath(path)
    header = next((line for line in first_lines(name, 20) if line.strip()), "")
    sep = _SEPARATORS.get(sep, sep) if sep is not None else _sniff(header)
    if len(sep) != 1:
        raise DatasetError(
            f"sep is {sep!r}; pass one character, 'comma', 'semicolon', 'tab' or 'pipe'."
        )
    _check_names([field.strip() for field in _fields(header, sep)], name)
    table = read_list(name, dtype=str, sep=sep, skipinitialspace=True)
    table = clean_table(table, name)
    if text is None:
        return table
    for column in table.columns.difference(list(text), sort=False):
        table[column] = _typed(table[column], decimal_comma=sep != ",")
    return table


def clean_table(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """A copy without outer spaces in names and in text, missing fields NaN, no empty rows.

    Parameters
    ----------
    table : DataFrame
    source : str
        Name of the table, for errors.
    """
    names = [str(name).strip() for name in table.columns]
    _check_names(names, source)
    cleaned = {name: _each(table.iloc[:, i], _stripped) for i, name in enumerate(names)}
    frame = pd.DataFrame(cleaned, columns=names, index=table.index)
    frame = frame[frame.notna().any(axis=1)] if len(names) else frame
    if frame.empty:
        raise DatasetError(f"{source!r} has no rows; it needs one per image.")
    return frame.reset_index(drop=True)


def _check_names(names: list[str], source: str) -> None:
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise DatasetError(f"{source!r} has two columns named {twice[0]!r}. Rename one of them.")


def _sniff(header: str) -> str:
    """The separator that gives the header the most fields; a comma in doubt."""
    return max(_SEPARATORS.values(), key=lambda sep: len(_fields(header, sep)))


def _fields(header: str, sep: str) -> list[str]:
    try:
        return next(csv.reader(StringIO(header), delimiter=sep), [])
    except csv.Error:  # a field beyond csv's limit, or a lone carriage return
        return []


def _each(values: pd.Series, change: Callable[[list[Any]], list[Any]]) -> pd.Series:
    """A column of objects with each distinct value changed; other columns as they are."""
    if values.dtype.kind in "biufcmM" or not len(values):
        return values
    objects = np.asarray(values, dtype=object)
    if pd.api.types.infer_dtype(objects, skipna=True) != "string":  # 1, 1.0 and True hash alike
        changed = np.empty(len(objects), dtype=object)
        changed[:] = [change([value])[0] for value in objects]
        return pd.Series(changed, index=values.index, name=values.name, dtype=object)
    codes, distinct = pd.factorize(objects)
    changed = np.empty(len(distinct) + 1, dtype=object)
    changed[:-1] = change(distinct.tolist())
    changed[-1] = np.nan
    return pd.Series(changed[codes], index=values.index, name=values.name, dtype=object)


def _stripped(values: list[Any]) -> list[Any]:
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]
    texts = [v.strip() if isinstance(v, str) else v for v in texts]
    return [np.nan if isinstance(v, str) and v.lower() in MISSING else v for v in texts]


def _composed(values: list[Any]) -> list[Any]:
    return [unicodedata.normalize("NFC", v) if isinstance(v, str) else v for v in values]


def _typed(values: pd.Series, *, decimal_comma: bool) -> pd.Series:
    """Integers, numbers or truth values where all fields are such, else the text.

    In text, a letter and its combining accent become one character (Unicode NFC), so that
    equal-looking labels are equal.
    """
    read = _reader(values.dropna().unique().tolist(), decimal_comma)
    if read is None:
        return _each(values, _composed)
    typed = _each(values, lambda texts: [read(text) for text in texts])
    # Integers beside missing fields stay objects: as floats, group 1 would be called 1.0.
    whole = typed.notna().all() or read is not int
    return typed.infer_objects() if whole else typed


def _reader(texts: list[str], decimal_comma: bool) -> Callable[[str], Any] | None:
    if not texts:
        return None
    if all(_INTEGER.fullmatch(text) for text in texts):
        return int
    if all(_NUMBER.fullmatch(text) for text in texts):
        return float
    if decimal_comma and all(_COMMA.fullmatch(text) for text in texts):
        return lambda text: float(text.replace(",", "."))
    if all(text.lower() in _TRUTH for text in texts):
        return lambda text: _TRUTH[text.lower()]
    return None

"""The Pilot Parliaments Benchmark, and folders like it: image, gender, Fitzpatrick type."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets._label_file import NAMES, TONES, skin_types
from fairvision.datasets._listing import Listing
from fairvision.datasets._lists import find_column, first_lines, locate, read_list, scan
from fairvision.datasets._paths import check_root
from fairvision.exceptions import DatasetError

__all__ = ["load_ppb"]

_FOLDERS = ("", "PPB-2017")
# Columns by what they may be called.
_COLUMNS = {"path": NAMES, "gender": ("gender", "sex", "perceived_gender"), "skin_tone": TONES}
_GROUP = ("bi_fitz", "skin_group")
_WHERE = (
    "Put the folder imgs/ and its table PPB-2017-metadata.csv into the root; its authors give the "
    "benchmark out on request (http://gendershades.org). For photographs of your own, put them "
    "into imgs/ with a metadata.csv of the columns filename, gender, fitzpatrick (1 to 6 or I to "
    "VI); or use load_folder for any other columns."
)
_DESCR = """Photographs in the form of the Pilot Parliaments Benchmark (Buolamwini, Gebru, "Gender
Shades", FAccT 2018), read from {root}

{n} photographs. Gender is perceived; skin_tone is the Fitzpatrick type that annotators gave,
skin_group is lighter for I to III and darker for IV to VI. A benchmark: it has no training part.
Left out: {left_out}.
"""


def _metadata(root: str) -> str:
    """The one table in the root: the benchmark's own, or the only one there is."""
    for folder in _FOLDERS:
        place = os.path.join(root, folder)
        names = sorted(os.listdir(place)) if os.path.isdir(place) else []
        tables = [n for n in names if re.fullmatch(r".*\.csv|.*metadata.*\.txt", n, re.I)]
        tables = [n for n in tables if "metadata" in n.lower()] or tables
        if len(tables) == 1:
            return locate(root, [folder], tables, _WHERE)
        if tables:
            raise DatasetError(
                f"{place!r} holds {len(tables)} tables ({', '.join(tables[:5])}); keep one with "
                f"'metadata' in its name. {_WHERE}"
            )
    raise DatasetError(f"{root!r} holds no metadata. {_WHERE}")


def _read_metadata(path: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Attributes of each row, and which rows lack one or contradict themselves."""
    tabs = "\t" in "".join(first_lines(path, 1))
    table = read_list(path, dtype=str, sep="\t" if tabs else ",")
    columns = {new: find_column(table, names) for new, names in _COLUMNS.items()}
    if missing := [name for name, column in columns.items() if column is None]:
        present = ", ".join(map(str, table.columns[:50]))
        expected = "; ".join(f"{name}: {', '.join(_COLUMNS[name])}" for name in missing)
        raise DatasetError(f"{path!r} lacks a column ({expected}); it has {present}.")
    columns_by_name = {new: table[column].str.strip() for new, column in columns.items()}
    columns_by_name |= skin_types(columns_by_name["skin_tone"])
    columns_by_name["gender"] = columns_by_name["gender"].str.lower()
    bad = columns_by_name["skin_tone"].isna() | columns_by_name["gender"].isna()
    if column := find_column(table, _GROUP):
        bad |= table[column].str.strip().str.lower() != columns_by_name["skin_group"]
    rest = table.drop(
        columns=[name for name in table if name in {*columns.values(), *columns_by_name}]
    )
    return pd.DataFrame(columns_by_name).join(rest), bad.to_numpy(dtype=bool)


def load_ppb(
    root: str | os.PathLike[str],
    *,
    target: str = "gender",
    sensitive: str | Sequence[str] = "skin_group",
    image_size: int | tuple[int, int] = 64,
    mode: Literal["RGB", "L"] = "RGB",
    resize: Literal["crop", "squash"] = "crop",
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Read the Pilot Parliaments Benchmark, or a folder like it, lazily.

    Parameters
    ----------
    root : path
        Folder with ``imgs/`` (or ``images/``) and ``PPB-2017-metadata.csv``, or one
        other table (``.csv``, or ``.txt`` with "metadata" in its name) with columns
        for the file name, gender, and Fitzpatrick type (1 to 6, or I to VI).
    target : str, default="gender"
        ``"gender"`` (perceived), ``"skin_tone"`` (I to VI), ``"skin_group"``
        (lighter: I to III; darker: IV to VI), or a further column of the table.
    sensitive : str or list of str, default="skin_group"
        The same names.
    image_size : int or (height, width), default=64
    mode : {"RGB", "L"}, default="RGB"
    resize : {"crop", "squash"}, default="crop"
        As in :class:`ImageFiles`.
    skip_bad : bool, default=False
        Whether to leave out images that cannot be read, and count them.
    cache : path or None, default=None
        Folder for decoded images, as in :class:`ImageFiles`.

    Returns
    -------
    Bunch
        ``images`` (:class:`ImageFiles`), ``target``, ``target_names``,
        ``sensitive_features``, ``attributes`` (gender, skin_tone, skin_group,
        path, and further columns), ``DESCR``. Left out and counted, with the
        names: ``n_bad_values`` (no gender, no such type, or a column ``bi.fitz``
        that contradicts it), ``n_missing_image``, ``n_no_entry`` (images without
        a row), ``n_skipped``.

    Raises
    ------
    DatasetError
        If a file is missing (with a list of what belongs where), lacks a column or
        names an image twice; if an attribute is unknown, or has one value only.
    BadImageError
        Naming a file that cannot be read, when it is decoded.

    References
    ----------
    Buolamwini, Gebru, "Gender Shades: Intersectional Accuracy Disparities in
    Commercial Gender Classification", FAccT 2018.
    """
    folder = check_root(root)
    path = _metadata(folder)
    files = scan(folder, locate(folder, _FOLDERS, ("imgs", "images"), _WHERE))
    table, bad = _read_metadata(path)
    listing = Listing(folder, files, table, path, {"bad_values": bad}, _DESCR)
    read = {"image_size": image_size, "mode": mode, "resize": resize, "cache": cache}
    return listing.bunch(target, sensitive, skip_bad=skip_bad, **read)

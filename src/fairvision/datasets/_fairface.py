"""FairFace: 97,698 photographs with perceived race, gender and age, balanced over race."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets._listing import Listing
from fairvision.datasets._lists import locate, read_list, scan
from fairvision.datasets._paths import check_root

__all__ = ["load_fairface"]

AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
GENDERS = ("Female", "Male")
RACES = (
    "Black", "East Asian", "Indian", "Latino_Hispanic", "Middle Eastern", "Southeast Asian",
    "White",
)  # fmt: skip
_KNOWN = {"age": AGES, "gender": GENDERS, "race": RACES}
# What a spreadsheet makes of two of the age bins when it opens and saves the lists.
_DATES = {"9-Mar": "3-9", "3-Sep": "3-9", "19-Oct": "10-19", "Oct-19": "10-19"}
_PARTS = {"train": "train", "val": "test"}  # the set's own names, and ours
_FOLDERS = (
    "", "fairface", "fairface-img-margin025-trainval", "fairface-img-margin125-trainval",
)  # fmt: skip
_WHERE = (
    "Put train/ and val/ (one of the two unpacked archives of photographs), "
    "fairface_label_train.csv and fairface_label_val.csv into the root; links to them are at "
    "https://github.com/joojs/fairface."
)
_DESCR = """FairFace (Kärkkäinen, Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender,
and Age for Bias Measurement and Mitigation", WACV 2021), read from {root}

{n} photographs of Flickr, under CC BY 4.0. Race, gender and age are what annotators perceived, not
what people said of themselves. Its validation part is the test part here.
Left out: {left_out}.
"""


def _read_labels(folder: str) -> pd.DataFrame:
    """Both lists, with the part of each row."""
    tables = []
    for part, split in _PARTS.items():
        path = locate(folder, _FOLDERS, [f"fairface_label_{part}.csv"], _WHERE)
        table = read_list(path, needed=["file", *_KNOWN], dtype=str)
        tables.append(table.assign(split=split))
    table = pd.concat(tables, ignore_index=True).rename(columns={"file": "path"})
    if "service_test" in table:
        table["service_test"] = table["service_test"].str.lower() == "true"
    return table


def _scan_parts(folder: str) -> dict[str, str]:
    """Photographs by their name in the lists, ``train/1.jpg``."""
    return {
        f"{part}/{name}": path
        for part in _PARTS
        for name, path in scan(folder, locate(folder, _FOLDERS, [part], _WHERE)).items()
    }


def load_fairface(
    root: str | os.PathLike[str],
    *,
    target: str = "gender",
    sensitive: str | Sequence[str] = "race",
    image_size: int | tuple[int, int] = 64,
    mode: Literal["RGB", "L"] = "RGB",
    resize: Literal["crop", "squash"] = "crop",
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Read a local copy of FairFace, lazily.

    Parameters
    ----------
    root : path
        Folder with ``train/``, ``val/``, ``fairface_label_train.csv`` and
        ``fairface_label_val.csv``.
    target : str, default="gender"
        ``"gender"``, ``"age"`` (nine bins, as they are), ``"race"`` (seven
        groups), ``"service_test"``, or one value, such as ``"age=3-9"``.
    sensitive : str or list of str, default="race"
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
        ``sensitive_features``, ``attributes`` (age, gender and race as perceived,
        service_test, path), ``split`` ("train", and "test" for the set's
        validation part), ``splits``, ``DESCR``. Left out and counted, with the
        names: ``n_bad_values`` (an age, gender or race that the set does not
        have), ``n_missing_image``, ``n_no_entry`` (images without a row),
        ``n_skipped``. ``n_dates``: ages that a spreadsheet had turned into
        dates ("9-Mar"), read as the bins they were; ``remarks`` says so.

    Raises
    ------
    DatasetError
        If a file is missing (with a list of what belongs where), lacks a column or
        names an image twice; if an attribute is unknown, or has one value only.
    BadImageError
        Naming a file that cannot be read, when it is decoded.

    References
    ----------
    Kärkkäinen, Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender, and
    Age for Bias Measurement and Mitigation", WACV 2021.
    """
    folder = check_root(root)
    table = _read_labels(folder)
    dates = int(table["age"].isin(_DATES).sum())
    table["age"] = table["age"].replace(_DATES)
    known = np.logical_and.reduce([table[name].isin(values) for name, values in _KNOWN.items()])
    remark = f"Read as the bins they were: {dates} ages that a spreadsheet had turned into dates."
    listing = Listing(
        folder,
        _scan_parts(folder),
        table,
        "fairface_label_train.csv and fairface_label_val.csv",
        bad={"bad_values": ~known},
        descr=_DESCR + (f"{remark}\n" if dates else ""),
        more={"n_dates": dates, "remarks": [remark] if dates else []},
    )
    read = {"image_size": image_size, "mode": mode, "resize": resize, "cache": cache}
    return listing.bunch(target, sensitive, skip_bad=skip_bad, **read)

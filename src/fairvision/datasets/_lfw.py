"""Labeled Faces in the Wild, with the attributes that Kumar et al. scored."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets._listing import Listing
from fairvision.datasets._lists import first_lines, locate, read_list, scan
from fairvision.datasets._paths import check_root
from fairvision.exceptions import DatasetError

__all__ = ["load_lfw"]

_FOLDERS = ("", "lfw-py")  # by hand, by torchvision
_IMAGES = tuple(
    place
    for name in ("lfw", "lfw_funneled", "lfw-funneled", "lfw-deepfunneled")
    for place in (f"{name}/{name}", name)
)
_WHERE = (
    "Put the folder lfw/, lfw_funneled/ or lfw-deepfunneled/ (a folder per person, as in "
    "Aaron_Eckhart/Aaron_Eckhart_0001.jpg) and lfw_attributes.txt into the root. The photographs' "
    "own server is gone; sklearn.datasets.fetch_lfw_people() fetches lfw_funneled/ into the folder "
    "lfw_home of its data. The list of attributes is of Columbia University "
    "(https://www.cs.columbia.edu/CAVE/databases/pubfig/)."
)
_TABS: dict[str, Any] = {"sep": "\t", "quoting": csv.QUOTE_NONE}
_LABELS = {"Male": ("female", "male"), "Smiling": ("not smiling", "smiling")}
_DESCR = """Labeled Faces in the Wild (Huang, Ramesh, Berg, Learned-Miller, 2007), read from {root}

{n} photographs of people in the news, for research. The attributes are the signs of scores that
classifiers gave (Kumar, Berg, Belhumeur, Nayar, "Attribute and Simile Classifiers for Face
Verification", ICCV 2009): a machine's guess, not an annotator's word. "Male" is perceived gender.
Left out: {left_out}.
"""


def _read_scores(path: str) -> tuple[pd.DataFrame, np.ndarray]:
    """A truth value per attribute and row, and a mask of rows that hold something else."""
    # The official list has a line before the header, which begins with a #.
    lines = [text.lstrip("#").strip().split("\t") for text in first_lines(path, 5)]
    n = next((i for i, names in enumerate(lines) if names[:2] == ["person", "imagenum"]), None)
    if n is None:
        raise DatasetError(
            f"{path!r} has no line that names the columns person, imagenum and the attributes, "
            "separated by tabs. Get the file again."
        )
    text = {"person": str, "imagenum": str}
    table = read_list(path, skiprows=n + 1, names=lines[n], dtype=text, **_TABS)
    person = table["person"].fillna("").astype(str).str.strip().str.replace(" ", "_")
    number = table["imagenum"].fillna("").astype(str).str.strip()
    scores = table[lines[n][2:]].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    good = number.str.fullmatch(r"[1-9]\d{0,3}") & np.isfinite(scores).all(axis=1)
    names = person + "/" + person + "_" + number.str.zfill(4) + ".jpg"
    return (scores > 0).assign(person=person, path=names), ~good.to_numpy(dtype=bool)


def _parts(root: str, person: pd.Series) -> pd.Series | None:
    """The part of each row by the set's view 1, if its two lists of people are there."""
    split_of = {}
    for split, name in {"train": "peopleDevTrain.txt", "test": "peopleDevTest.txt"}.items():
        try:
            path = locate(root, _FOLDERS, [name], "")
        except DatasetError:
            return None
        people = read_list(path, skiprows=1, names=["person", "images"], **_TABS)
        split_of.update(dict.fromkeys(people["person"].astype(str), split))
    return person.map(split_of)


def load_lfw(
    root: str | os.PathLike[str],
    *,
    target: str = "Smiling",
    sensitive: str | Sequence[str] = "Male",
    image_size: int | tuple[int, int] = 64,
    mode: Literal["RGB", "L"] = "RGB",
    resize: Literal["crop", "squash"] = "crop",
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Read a local copy of Labeled Faces in the Wild with its attributes, lazily.

    Parameters
    ----------
    root : path
        Folder with ``lfw_attributes.txt`` and the first there is of ``lfw/``,
        ``lfw_funneled/``, ``lfw-deepfunneled/``; with ``peopleDevTrain.txt`` and
        ``peopleDevTest.txt``, too, its rows are in parts of different people.
    target : str, default="Smiling"
        One of the 73 attributes; true where its score is above 0.
    sensitive : str or list of str, default="Male"
        Attributes; ``"Male"`` is perceived gender.
    image_size : int or (height, width), default=64
        The photographs are 250 x 250.
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
        ``sensitive_features``, ``attributes`` (truth values, person, path),
        ``DESCR``; ``split`` and ``splits`` where the lists of people are there.
        Left out and counted, with the names: ``n_bad_values`` (a score that is
        no number), ``n_no_split``, ``n_missing_image``, ``n_no_entry`` (images
        without scores: 90 of the 13,233), ``n_skipped``.

    Raises
    ------
    DatasetError
        If a file is missing (with a list of what belongs where), has no header or
        names an image twice; if an attribute is unknown, or has one value only.
    BadImageError
        Naming a file that cannot be read, when it is decoded.

    Notes
    -----
    Without the lists of people rows are split at random, and a person of many
    photographs is on both sides.

    References
    ----------
    Huang, Ramesh, Berg, Learned-Miller, "Labeled Faces in the Wild", University of
    Massachusetts, 2007; Kumar, Berg, Belhumeur, Nayar, "Attribute and Simile
    Classifiers for Face Verification", ICCV 2009.
    """
    folder = check_root(root)
    path = locate(folder, _FOLDERS, ["lfw_attributes.txt"], _WHERE)
    files = scan(folder, locate(folder, _FOLDERS, _IMAGES, _WHERE), deep=True)
    table, bad = _read_scores(path)
    reasons = {"bad_values": bad}
    parts = _parts(folder, table["person"])
    if parts is not None:
        table["split"] = parts
        reasons["no_split"] = parts.isna().to_numpy()
    listing = Listing(folder, files, table, path, reasons, _DESCR, _LABELS)
    read = {"image_size": image_size, "mode": mode, "resize": resize, "cache": cache}
    return listing.bunch(target, sensitive, skip_bad=skip_bad, **read)

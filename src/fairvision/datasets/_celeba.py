"""CelebA: 202,599 photographs of 10,177 celebrities, with forty attributes."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets._label_file import asked_columns, join_labels
from fairvision.datasets._listed import (
    check_columns,
    first_lines,
    listed_bunch,
    locate,
    read_list,
    scan,
)
from fairvision.datasets._paths import check_root
from fairvision.exceptions import DatasetError

__all__ = ["load_celeba"]

PARTS = ("train", "valid", "test")
_FOLDERS = ("", "celeba", "Anno", "Eval", "Img")  # as given out, by torchvision, by hand
_LISTS = ("list_attr_celeba.txt", "list_attr_celeba.csv")
_PARTITIONS = ("list_eval_partition.txt", "list_eval_partition.csv")
_IMAGES = ("img_align_celeba/img_align_celeba", "img_align_celeba")
_WHERE = (
    "Put img_align_celeba/ (the unpacked img_align_celeba.zip), list_attr_celeba.txt and "
    "list_eval_partition.txt, or both lists as .csv, into the root or into its folder celeba; "
    "they are at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html. Or pass download=True."
)
_BY_HAND = "By hand: " + _WHERE.removesuffix(" Or pass download=True.")
_REST = "more than there should be"
_SPACED: dict[str, Any] = {"sep": r"\s+", "dtype": {"path": str}, "quoting": csv.QUOTE_NONE}
_LABELS = {
    "Male": ("female", "male"),
    "Young": ("not young", "young"),
    "Smiling": ("not smiling", "smiling"),
    "Attractive": ("not attractive", "attractive"),
    "Bald": ("not bald", "bald"),
    "Chubby": ("not chubby", "chubby"),
    "Blurry": ("not blurry", "blurry"),
    "No_Beard": ("beard", "no beard"),
}
_DESCR = """CelebA (Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015),
read from {root}

{n} photographs, for research that is not commercial. The attributes are what annotators
perceived; "Male" is perceived gender, and a yes or no. Many labels are wrong or a matter of
taste: two annotators agreed on 12 of the 40 in at least 95 of 100 pictures (Wu et al., "Consistency
and Accuracy of CelebA Attribute Values", CVPR Workshops 2023).
Left out: {left_out}.
"""


def _read_txt(path: str) -> pd.DataFrame:
    """The list as given out: a count, the names of the attributes, a row per image."""
    first, second = [*first_lines(path, 2), "", ""][:2]
    count, header = first.strip(), second.split()
    if not count.isdecimal() or not header:
        raise DatasetError(
            f"{path!r} begins with {count[:40]!r}; its first line is the number of images, its "
            "second the names of the attributes. Get the file anew."
        )
    # One column more than there should be, where a row that is too long shows itself.
    names = ["path", *header, _REST]
    table = read_list(path, skiprows=2, names=names, **_SPACED)
    if count.lstrip("0") != str(len(table)):
        raise DatasetError(
            f"{path!r} says that it lists {count[:20]} images, and lists {len(table)}: it was cut "
            "short, or changed. Get it anew, or correct its first line if the change was meant."
        )
    return table


def _read_attributes(path: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Forty truth values a row, and which rows hold something else."""
    if path.endswith(".csv"):
        table = read_list(path, dtype={"image_id": str})
        check_columns(table, ["image_id"], path)
        table = table.rename(columns={"image_id": "path"})
    else:
        table = _read_txt(path)
    bad = table.pop(_REST).notna().to_numpy() if _REST in table else np.zeros(len(table), bool)
    columns = {}
    for name in table.columns.drop("path"):
        values = pd.to_numeric(table[name], errors="coerce").to_numpy()
        bad = bad | ((values != 1) & (values != -1))
        columns[name] = values == 1
    return pd.DataFrame({**columns, "path": table["path"]}), bad


def _read_parts(path: str) -> pd.Series:
    """The part of each image, by its name."""
    if path.endswith(".csv"):
        table = read_list(path, dtype={"image_id": str})
        check_columns(table, ["image_id", "partition"], path)
        table = table.set_index("image_id")
    else:
        names = ["path", "partition"]
        table = read_list(path, names=names, **_SPACED)
        table = table.set_index("path")
    if not table.index.is_unique:
        name = table.index[table.index.duplicated()][0]
        raise DatasetError(f"{path!r} names {name!r} more than once. Get the file anew.")
    numbers = pd.to_numeric(table["partition"], errors="coerce")
    return numbers.map(dict(enumerate(PARTS)))


def _download(root: str) -> None:
    """Fetch the set through torchvision, into its folder ``celeba``."""
    from torchvision.datasets import CelebA

    try:
        CelebA(root, split="all", download=True)
    # It hands on what its downloader, the network or the archive raise, of any kind.
    except Exception as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise DatasetError(f"CelebA could not be downloaded: {reason}. {_BY_HAND}") from error


def _complete(root: str) -> bool:
    try:
        for names in (_LISTS, _PARTITIONS, _IMAGES):
            locate(root, _FOLDERS, names, "")
    except DatasetError:
        return False
    return True


def load_celeba(
    root: str | os.PathLike[str],
    *,
    target: str = "Smiling",
    sensitive: str | Sequence[str] = "Male",
    labels: str | os.PathLike[str] | pd.DataFrame | None = None,
    image_size: int | tuple[int, int] = 64,
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> Bunch:
    """Read a local copy of CelebA, lazily.

    Parameters
    ----------
    root : path
        Folder with ``img_align_celeba/``, ``list_attr_celeba.txt`` and
        ``list_eval_partition.txt``, or both lists as ``.csv``; torchvision's
        ``root/celeba/``, the sub-folders ``Anno``, ``Eval`` and ``Img`` of the
        release, and ``img_align_celeba/img_align_celeba/`` are found, too.
        Other files (identities, bounding boxes, landmarks) are not read.
    target : str, default="Smiling"
        One of the forty attributes.
    sensitive : str or list of str, default="Male"
        Attributes; ``"Male"`` is perceived gender, ``"Young"`` perceived age.
    labels : path, DataFrame or None, default=None
        A CSV file in the root (or elsewhere) with labels that others made: a column
        of image names (``image_id``, ``filename``, ...) and columns that `target` and
        `sensitive` may then name, too, as text. Of a column ``fitzpatrick`` (or
        ``skin_type``; 1 to 6, or I to VI) come ``skin_tone``, I to VI, and
        ``skin_group``, lighter for I to III and darker for IV to VI. Images without a
        label that is asked for, or with two, are left out and counted.
    image_size : int or (height, width), default=64
        The photographs are 218 x 178.
    skip_bad : bool, default=False
        Whether to leave out images that cannot be read, and count them. Every
        image is decoded once to find out.
    cache : path or None, default=None
        Folder for decoded images, as in :class:`ImageFiles`.
    download : bool, default=False
        Whether to fetch what is missing, through torchvision, into
        ``root/celeba``: 1.4 GB, for which it needs the package gdown.

    Returns
    -------
    Bunch
        ``images`` (:class:`ImageFiles`), ``target``, ``target_names``,
        ``sensitive_features``, ``attributes`` (forty truth values, and path),
        ``split`` ("train", "valid", "test": of different people), ``splits``,
        ``DESCR``. Left out and counted, with the names: ``n_bad_values`` (rows
        with anything but forty times 1 or -1), ``n_no_split`` (the partition
        list does not name it), ``n_no_label`` and ``n_two_labels`` (of `labels`; what
        of that file was not used is in ``remarks``), ``n_missing_image`` (rows without an image),
        ``n_no_entry`` (images without a row), ``n_skipped``. Rows are matched by
        name, never by position.

    Raises
    ------
    DatasetError
        If a file is not there (saying which belong where), is a web page, is cut
        short or names an image twice; if the download fails; if an attribute is
        unknown, or has one value only; if `labels` lacks a column, naming both.
    BadImageError
        Naming a file that cannot be read, when it is decoded.

    References
    ----------
    Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015.
    """
    if download and not _complete(os.path.realpath(root)):
        _download(os.fspath(root))
    folder = check_root(root)
    attributes = locate(folder, _FOLDERS, _LISTS, _WHERE)
    partition = locate(folder, _FOLDERS, _PARTITIONS, _WHERE)
    files = scan(folder, locate(folder, _FOLDERS, _IMAGES, _WHERE))
    table, bad = _read_attributes(attributes)
    parts = table["path"].map(_read_parts(partition))
    reasons = {"bad_values": bad, "no_split": parts.isna().to_numpy()}
    remarks: list[str] = []
    if labels is not None:
        joined = join_labels(table, labels, folder, asked=asked_columns(target, sensitive))
        table, remarks = joined.table, joined.remarks
        reasons |= joined.bad
    return listed_bunch(
        folder,
        files,
        table.assign(split=parts),
        source=attributes,
        bad=reasons,
        image_size=image_size,
        skip_bad=skip_bad,
        cache=cache,
        target=target,
        sensitive=sensitive,
        labels=_LABELS,
        descr=_DESCR,
        remarks=remarks,
    )

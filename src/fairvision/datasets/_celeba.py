"""CelebA: 202,599 photographs of 10,177 celebrities, with forty attributes."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets._label_file import NAMES, join_labels
from fairvision.datasets._listing import Listing
from fairvision.datasets._lists import (
    check_distinct,
    find_column,
    first_lines,
    locate,
    read_list,
    scan,
)
from fairvision.datasets._paths import check_root
from fairvision.exceptions import DatasetError

__all__ = ["load_celeba"]

PARTS = ("train", "valid", "test")
_FOLDERS = ("", "celeba", "Anno", "Eval", "Img")  # as given out, by torchvision, by hand
_ATTRIBUTES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
_PARTITION = ("list_eval_partition.txt", "list_eval_partition.csv")
_IMAGES = ("img_align_celeba/img_align_celeba", "img_align_celeba")
_PLAIN = ("images", *_IMAGES)
_TABLE, _NO_ATTRIBUTES = "labels.csv", ("path", "identity", "partition")
_WHERE = (
    "Put img_align_celeba/ (the unpacked img_align_celeba.zip), list_attr_celeba.txt and "
    "list_eval_partition.txt, or both lists as .csv, into the root or into its folder celeba, or "
    "images/ and labels.csv (path, the attributes, identity) into the root; they are at "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html. Or pass download=True."
)
_BY_HAND = "By hand: " + _WHERE.removesuffix(" Or pass download=True.")
_SURPLUS = "more fields than attributes"
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


def _read_csv(path: str, *needed: str) -> pd.DataFrame:
    table = read_list(path, needed=["image_id", *needed], dtype={"image_id": str})
    return table.rename(columns={"image_id": "path"})


def _read_txt(path: str) -> pd.DataFrame:
    """The official list: a count, the names of the attributes, a row per image."""
    first, second = [*first_lines(path, 2), "", ""][:2]
    count, header = first.strip(), second.split()
    if not count.isdecimal() or not header:
        raise DatasetError(
            f"{path!r} begins with {count[:40]!r}; its first line must be the number of images, "
            "its second the names of the attributes. Get the file again."
        )
    # A further column, which holds what a row has too much.
    table = read_list(path, skiprows=2, names=["path", *header, _SURPLUS], **_SPACED)
    if count.lstrip("0") != str(len(table)):
        raise DatasetError(
            f"{path!r} says that it lists {count[:20]} images, and lists {len(table)}: it was cut "
            "short or edited. Get it again, or correct its first line after an edit."
        )
    return table


def _read_attributes(path: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Forty truth values per row, and a mask of rows that hold something else."""
    table = _read_csv(path) if path.endswith(".csv") else _read_txt(path)
    surplus = table.pop(_SURPLUS).notna() if _SURPLUS in table else False
    return _truth_values(table, surplus, no=-1)


def _truth_values(table: pd.DataFrame, bad: Any, *, no: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The columns of attributes, which are 1 or `no`, as truth values; a mask of other rows."""
    other = table.columns.intersection(_NO_ATTRIBUTES)
    values = table.drop(columns=other).apply(pd.to_numeric, errors="coerce")
    bad = bad | ~values.isin((1, no)).all(axis=1)
    return (values == 1).join(table[other]), bad.to_numpy()


def _read_parts(path: str) -> pd.Series:
    """The split of each image, by its name."""
    if path.endswith(".csv"):
        table = _read_csv(path, "partition")
    else:
        table = read_list(path, names=["path", "partition"], **_SPACED)
    check_distinct(table["path"].tolist(), path)
    return _parts(table.set_index("path")["partition"])


def _parts(numbers: pd.Series) -> pd.Series:
    return pd.to_numeric(numbers, errors="coerce").map(dict(enumerate(PARTS)))


def _read_lists(root: str) -> tuple[str, str, pd.DataFrame, dict[str, Any]]:
    """The release: name of the list, folder of images, rows, and which of them are bad."""
    attributes, partition, photos = _locate_all(root)
    table, bad = _read_attributes(attributes)
    table["split"] = table["path"].map(_read_parts(partition))
    return attributes, photos, table, {"bad_values": bad, "no_split": _missing(table, "split")}


def _missing(table: pd.DataFrame, name: str) -> Any:
    """The rows in which a value is missing that other rows have."""
    return table[name].isna().to_numpy() if name in table else np.zeros(len(table), dtype=bool)


def _read_one_table(root: str) -> tuple[str, str, pd.DataFrame, dict[str, Any]]:
    """The same from one table with all labels; splits only if it has training and test rows."""
    source, photos = locate(root, ("",), (_TABLE,), _WHERE), locate(root, ("",), _PLAIN, _WHERE)
    table = read_list(source)
    name = find_column(table, NAMES)
    if name is None:
        raise DatasetError(f"{source!r} has no column of image names: {', '.join(NAMES)}.")
    table = table.rename(columns={name: "path"}).astype({"path": str})
    table["path"] = table["path"].str.replace("\\", "/").str.rpartition("/")[2]
    signed = (table.drop(columns=table.columns.intersection(_NO_ATTRIBUTES)) == -1).any(axis=None)
    table, bad = _truth_values(table, False, no=-1 if signed else 0)
    if "partition" in table:
        parts = _parts(table.pop("partition"))
        if {"train", "test"} <= set(parts):
            table["split"] = parts
    bad = bad | _missing(table, "identity")
    return source, photos, table, {"bad_values": bad, "no_split": _missing(table, "split")}


def _is_one_table(root: str) -> bool:
    with contextlib.suppress(DatasetError):
        locate(root, _FOLDERS, _ATTRIBUTES, _WHERE)
        return False
    return os.path.isfile(os.path.join(root, _TABLE))


def _locate_all(root: str) -> list[str]:
    """The attributes, the partition and the folder of images."""
    return [locate(root, _FOLDERS, names, _WHERE) for names in (_ATTRIBUTES, _PARTITION, _IMAGES)]


def _download_missing(root: str) -> None:
    """Download the set with torchvision into its folder ``celeba``, unless it is there."""
    with contextlib.suppress(DatasetError):
        _locate_all(os.path.realpath(root))
        return
    from torchvision.datasets import CelebA

    try:
        CelebA(root, split="all", download=True)
    # Its downloader, the network and the archive raise errors of any kind.
    except Exception as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise DatasetError(f"CelebA could not be downloaded: {reason}. {_BY_HAND}") from error


def load_celeba(
    root: str | os.PathLike[str],
    *,
    target: str = "Smiling",
    sensitive: str | Sequence[str] = "Male",
    labels: str | os.PathLike[str] | pd.DataFrame | None = None,
    sep: str | None = None,
    image_size: int | tuple[int, int] = 64,
    mode: Literal["RGB", "L"] = "RGB",
    resize: Literal["crop", "squash"] = "crop",
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
        Other files (identities, bounding boxes, landmarks) are not read. Or with
        ``images/`` and one ``labels.csv``: a column of image names (``path``,
        ``image_id``, ...), the attributes as 1 and 0 or 1 and -1, and, if known,
        ``identity`` (who it is) and ``partition`` (0, 1, 2).
    target : str, default="Smiling"
        One of the forty attributes.
    sensitive : str or list of str, default="Male"
        Attributes; ``"Male"`` is perceived gender, ``"Young"`` perceived age.
    labels : path, DataFrame or None, default=None
        A CSV file in the root (or elsewhere) with additional labels: a column of image names
        (``image_id``, ``filename``, ...) and text columns that `target` and `sensitive` may name.
        From a column ``fitzpatrick`` (or ``skin_type``; 1 to 6, or I to VI) come ``skin_tone``, I
        to VI, and ``skin_group``, lighter for I to III and darker for IV to VI. Images that lack
        a requested label, or have two, are left out and counted.
    sep : str or None, default=None
        Field separator of `labels`, as in :func:`load_folder`.
    image_size : int or (height, width), default=64
        The photographs are 218 x 178.
    mode : {"RGB", "L"}, default="RGB"
    resize : {"crop", "squash"}, default="crop"
        As in :class:`ImageFiles`.
    skip_bad : bool, default=False
        Whether to leave out images that cannot be read, and count them. Every
        image is decoded once to find out.
    cache : path or None, default=None
        Folder for decoded images, as in :class:`ImageFiles`.
    download : bool, default=False
        Whether to download missing files with torchvision into ``root/celeba``: 1.4 GB; needs the
        package gdown.

    Returns
    -------
    Bunch
        ``images`` (:class:`ImageFiles`), ``target``, ``target_names``,
        ``sensitive_features``, ``attributes`` (forty truth values, and path),
        ``split`` ("train", "valid", "test": of different people), ``splits``,
        ``DESCR``; of one ``labels.csv`` ``identity``, by which `fairvision.compare` splits,
        and parts only if it names training and test rows. Left out and counted, with the
        names: ``n_bad_values`` (rows with anything but forty times 1 or -1),
        ``n_no_split`` (the partition list does not name it), ``n_no_label`` and
        ``n_two_labels`` (of `labels`; what of that file was not used is in ``remarks``),
        ``n_missing_image`` (rows without an image), ``n_no_entry`` (images without a
        row), ``n_skipped``. Rows are matched by name, never by position.

    Raises
    ------
    DatasetError
        If a file is missing (with a list of what belongs where), is a web page, is cut
        short or names an image twice; if the download fails; if an attribute is
        unknown, or has one value only; if `labels` lacks a column, naming both.
    BadImageError
        Naming a file that cannot be read, when it is decoded.

    References
    ----------
    Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015.
    """
    if download:
        _download_missing(os.fspath(root))
    folder = check_root(root)
    labelled = _read_one_table if _is_one_table(folder) else _read_lists
    source, photos, table, reasons = labelled(folder)
    files = scan(folder, photos)
    remarks: list[str] = []
    if labels is not None:
        used = [target, *([sensitive] if isinstance(sensitive, str) else sensitive)]
        table, unlabelled, remarks = join_labels(table, labels, folder, used=used, sep=sep)
        reasons |= unlabelled
    more = {"remarks": remarks}
    listing = Listing(folder, files, table, source, reasons, _DESCR, _LABELS, more)
    read = {"image_size": image_size, "mode": mode, "resize": resize, "cache": cache}
    return listing.bunch(target, sensitive, skip_bad=skip_bad, **read)

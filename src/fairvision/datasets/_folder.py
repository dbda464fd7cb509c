"""Any images with a table of their names and labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import pandas as pd
from sklearn.utils import Bunch

from fairvision.base import ImageFiles
from fairvision.datasets._bunch import text
from fairvision.datasets._label_table import LabelTable
from fairvision.datasets._listing import image_bunch

__all__ = ["load_folder"]

_DESCR = """Images of the folder {root}

{n} images, decoded when used; labels from {source}.
Left out: {left_out}.
"""


def load_folder(
    root: str | os.PathLike[str],
    labels: str | os.PathLike[str] | pd.DataFrame,
    *,
    target: str,
    sensitive: str | Sequence[str],
    path_column: str = "path",
    sep: str | None = None,
    split_column: str | None = None,
    image_size: int | tuple[int, int] = 64,
    mode: Literal["RGB", "L"] = "RGB",
    resize: Literal["crop", "squash"] = "crop",
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
    max_pixels: int = 50_000_000,
    pixel_max: float | None = None,
) -> Bunch:
    """Read any images of a folder, lazily, with labels from a CSV file.

    Parameters
    ----------
    root : path
        Folder of the images.
    labels : path or DataFrame
        Text table with a header and one row per image; looked for in `root` first. Names and
        fields lose outer spaces; an empty field, ``nan``, ``<NA>`` or ``NaT`` is missing; a column
        of integers, numbers or truth values is read as such, unless one has a leading zero.
    target : str
        Column to predict, or ``"column=value"``.
    sensitive : str or list of str
        Columns of the sensitive features.
    path_column : str, default="path"
        Column of file paths, relative to `root` or absolute and below it. A path may differ from
        the file's name in letter case, kind of slash or form of Unicode.
    sep : str or None, default=None
        Field separator of the table: a character, "comma", "semicolon", "tab" or "pipe". None
        takes the one of these that is most frequent in the header. Unless the separator is a
        comma, numbers may have a decimal comma.
    split_column : str or None, default=None
        Column with the split of each row, such as ``"train"``.
    image_size, mode, resize, cache, max_pixels, pixel_max
        As in :class:`ImageFiles`.
    skip_bad : bool, default=False
        Whether to leave out images that are missing or cannot be read, and count
        them. Every image is decoded once to find out.

    Returns
    -------
    Bunch
        ``images`` (:class:`ImageFiles`), ``target``, ``target_names``,
        ``sensitive_features``, ``attributes`` (all columns), ``n_skipped``,
        ``skipped`` (their paths), ``DESCR``; with `split_column`, ``split``
        (n_samples,) and ``splits``, the rows of each split.

    Raises
    ------
    BadImageError
        Naming a file that is missing, or (when it is decoded) cannot be read.
    DatasetError
        If a column is missing (with a list of those in the table) or has empty
        fields, a path leads out of the root or comes twice, or there are no rows.
    """
    columns = [sensitive] if isinstance(sensitive, str) else list(sensitive)
    parts = [] if split_column is None else [split_column]
    listed = LabelTable.read(
        root,
        labels,
        [target, *columns, *parts],
        path_column=path_column,
        sep=sep,
        skip_bad=skip_bad,
    )
    images = ImageFiles(
        listed.paths,
        image_size=image_size,
        mode=mode,
        resize=resize,
        cache=cache,
        max_pixels=max_pixels,
        pixel_max=pixel_max,
    )
    return image_bunch(
        images,
        listed.table,
        root=listed.root,
        source=listed.source,
        skip_bad=skip_bad,
        split=None if split_column is None else text(listed.table[split_column]),
        path_column=path_column,
        target=target,
        sensitive=sensitive,
        descr=_DESCR,
    )

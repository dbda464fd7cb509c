"""Picture files, as people name them: a file, a folder, a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from fairvision.base import is_path, is_paths
from fairvision.datasets import IMAGE_ENDINGS, ImageFiles
from fairvision.exceptions import InputError

__all__ = ["as_images", "picture_files"]

Path = str | os.PathLike[str]


def picture_files(pictures: Iterable[Path]) -> Iterator[str]:
    """Give the path of each picture, one at a time.

    Parameters
    ----------
    pictures : iterable of path
        Files as they are, also those that do not exist; of a folder all files that end as pictures
        do (``.jpg``), in its sub-folders too, in the order of their names.

    Raises
    ------
    InputError
        If a folder holds no picture.
    """
    for picture in pictures:
        path = os.fspath(picture)
        if not os.path.isdir(path):
            yield path
            continue
        empty = True
        for file in _below(path):
            empty = False
            yield file
        if empty:
            endings = ", ".join(IMAGE_ENDINGS)
            raise InputError(f"folder {path!r} holds no picture: no file ends in {endings}.")


def _below(folder: str) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)
        elif entry.name.lower().endswith(IMAGE_ENDINGS):
            yield entry.path


def as_images(X: Any, settings: dict[str, Any]) -> Any:
    """Files, folders or lists of them as `ImageFiles`; images as they are."""
    if is_path(X):
        X = [X]
    return ImageFiles(picture_files(X), **settings) if is_paths(X) else X

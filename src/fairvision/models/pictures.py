"""Picture files, as people name them: a file, a folder, a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from fairvision.base import is_path, is_paths
from fairvision.datasets import IMAGE_ENDINGS, ImageFiles
from fairvision.exceptions import InputError

__all__ = ["as_images", "check_pictures", "picture_files"]

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


def check_pictures(images: Any) -> dict[str, Any]:
    """How files are read as the images of a data set were: keywords of `ImageFiles`.

    Raises
    ------
    InputError
        If they are no images of one or three channels, but features.
    """
    if isinstance(images, ImageFiles):
        return images.settings
    shape = tuple(map(int, images.shape[1:]))
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(
            f"the data hold rows of shape {shape} and no images; a model of pictures needs images "
            "of shape (n_samples, n_channels, height, width) with 1 or 3 channels."
        )
    return {"image_size": shape[1:], "mode": "L" if shape[0] == 1 else "RGB"}

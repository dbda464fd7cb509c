"""Paths of files that must lie below a root."""

from __future__ import annotations

import os
from collections.abc import Iterable

from fairvision.exceptions import DatasetError

__all__ = ["IMAGE_ENDINGS", "check_root", "inside"]

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def check_root(root: str | os.PathLike[str]) -> str:
    """The real path of an existing folder."""
    path = os.fspath(root)
    if not os.path.isdir(path):
        what = "is a file" if os.path.exists(path) else "does not exist"
        raise DatasetError(f"root {path!r} {what}; pass the folder that holds the images.")
    return os.path.realpath(path)


def _resolved(path: str, folders: dict[str, str]) -> str:
    """`os.path.realpath` with a cache per folder: a data set has many files in few folders."""
    folder, name = os.path.split(path)
    if name in ("", ".", "..") or os.path.islink(path):
        return os.path.realpath(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.join(folders[folder], name)


def _possible(name: str) -> bool:
    """Whether a file can have this name."""
    try:
        return bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # a lone surrogate
        return False


def inside(root: str, names: Iterable[str]) -> list[str]:
    """The real path of each file, all of them below `root`.

    Parameters
    ----------
    root : str
        From :func:`check_root`.
    names : iterable of str
        Relative to it.

    Raises
    ------
    DatasetError
        Naming the first that is absolute, that leads out of the root (by ``..`` or a
        symbolic link), or that is no possible file name.
    """
    folders: dict[str, str] = {}
    paths = []
    for name in names:
        if os.path.isabs(name) or not _possible(name):
            raise DatasetError(f"path {name!r} is not a file name relative to the root {root!r}.")
        path = _resolved(os.path.join(root, name), folders)
        if not path.startswith(os.path.join(root, "")):
            raise DatasetError(
                f"path {name!r} leads out of the root, to {path!r}. Copy the file below "
                f"{root!r}, or pass a root that holds both."
            )
        paths.append(path)
    return paths

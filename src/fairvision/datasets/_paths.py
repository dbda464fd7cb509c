"""Paths of files that must lie below a root."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterable

from fairvision.exceptions import DatasetError

__all__ = ["IMAGE_ENDINGS", "below", "check_root", "inside", "respelt", "spelt_in_root"]

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def check_root(root: str | os.PathLike[str]) -> str:
    """The real path of an existing folder."""
    path = os.fspath(root)
    if not os.path.isdir(path):
        problem = "is a file" if os.path.exists(path) else "does not exist"
        raise DatasetError(f"root {path!r} {problem}; pass the folder that holds the images.")
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


def below(root: str, name: str) -> str:
    """A clause that names the file in the root which an outside path may mean; else empty."""
    parts = name.replace("\\", "/").split("/")
    ends = ("/".join(parts[i:]) for i in range(1, len(parts)))
    same = next((end for end in ends if end and os.path.isfile(os.path.join(root, end))), None)
    return "" if same is None else f"; the root has {same!r}"


def inside(root: str, names: Iterable[str]) -> list[str]:
    """The real path of each file, all of them below `root`.

    Parameters
    ----------
    root : str
        From :func:`check_root`.
    names : iterable of str
        Relative to it, or absolute and below it.

    Raises
    ------
    DatasetError
        Naming the first that leads out of the root (by itself, by ``..`` or a symbolic
        link), or that is no possible file name.
    """
    folders: dict[str, str] = {}
    paths = []
    for name in names:
        if not _possible(name):
            raise DatasetError(f"path {name!r} is not a file name relative to the root {root!r}.")
        path = _resolved(os.path.join(root, name), folders)
        if not path.startswith(os.path.join(root, "")):
            raise DatasetError(
                f"path {name!r} leads out of the root, to {path!r}{below(root, name)}. Copy the "
                f"file below {root!r}, or pass a root that holds both."
            )
        paths.append(path)
    return paths


def _key(name: str) -> str:
    """A key that is equal for all spellings of a name: Unicode form, slashes, letter case."""
    plain = unicodedata.normalize("NFC", name).replace("\\", "/").casefold()
    return unicodedata.normalize("NFC", os.path.normpath(plain))


def respelt(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Names in the spelling of `known`; a name that it has, or that has no unique match, stays.

    Parameters
    ----------
    names : iterable of str
    known : collection of str
    """
    names, exact = list(names), set(known)
    if exact.issuperset(names):
        return names
    places: dict[str, list[str]] = {}
    for name in exact:
        places.setdefault(_key(name), []).append(name)
    spelt = []
    for name in names:
        matches = [] if name in exact else places.get(_key(name), [])
        spelt.append(matches[0] if len(matches) == 1 else name)
    return spelt


def spelt_in_root(root: str, names: list[str]) -> list[str]:
    """Names in the spelling of the root's files, if no file has the exact name.

    The root is listed only if one is missing.
    """
    missing = [
        i
        for i, name in enumerate(names)
        if _possible(name) and not os.path.exists(os.path.join(root, name))
    ]
    if not missing:
        return names
    files = [
        os.path.normpath(os.path.join(os.path.relpath(folder, root), file))
        for folder, _, below in os.walk(root)
        for file in below
    ]
    spelt = list(names)
    for i, name in zip(missing, respelt([names[i] for i in missing], files), strict=True):
        spelt[i] = name
    return spelt

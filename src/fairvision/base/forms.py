"""Forms of data that users may pass as X: each is read, or refused with advice."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from os.path import exists
from typing import Any

import numpy as np
from scipy.sparse import issparse

from fairvision.base.image_files import ImageFiles
from fairvision.exceptions import BadImageError, InputError

__all__ = ["check_form", "is_path", "is_paths"]

_READ = "fairvision.datasets.load('folder', ...)"


def check_form(X: Any, *, shape: tuple[int, ...] | None = None, passes_on: bool = False) -> Any:
    """Refuse what is neither an array nor a sequence of images.

    Parameters
    ----------
    X : array-like, or list or column of paths
    shape : tuple (n_channels, height, width) or None
        Shape of the images; files are scaled to it and the middle is cropped.
    passes_on : bool, default=False
        Whether X goes to an estimator that may know the shape.

    Returns
    -------
    X : `ImageFiles` of paths, if `shape` is given; anything else as it is

    Raises
    ------
    InputError
        Naming what X is, and how to make images of it.
    BadImageError
        If a path names no file.
    """
    kind = type(X).__name__
    if X is None or isinstance(X, (bool, int, float)):
        raise InputError(f"X is {X!r}. Pass images, of shape (n_samples, ...).")
    if is_path(X):
        raise InputError(f"X is the path {str(X)!r}. Read the images first: {_READ}.images.")
    if is_paths(X):
        return X if passes_on else _files(X, shape)
    if getattr(getattr(X, "device", None), "type", "cpu") != "cpu":
        raise InputError(f"X is a tensor on {X.device}. Pass X.cpu(): batches go to the device.")
    if getattr(X, "requires_grad", False):
        raise InputError("X is a tensor that requires a gradient. Pass X.detach().")
    if issparse(X):
        raise InputError(f"X is sparse, a {kind}. Pass X.toarray().")
    first = _first(X)
    if isinstance(first, Mapping):
        raise InputError(
            f"X is a {kind} whose rows are each a {type(first).__name__} with {list(first)[:6]}. "
            "Pass the images alone, as one array: numpy.stack([row[...] for row in X])."
        )
    if not isinstance(X, (list, tuple)) and np.ndim(first):
        raise InputError(f"X is a {kind} that holds an array in each row. Pass numpy.stack(X).")
    if hasattr(X, "shape") or hasattr(X, "__array__") or isinstance(X, (list, tuple, range)):
        _check_pair(X)
        return X
    if hasattr(X, "dataset") and hasattr(X, "batch_size"):
        raise InputError(
            f"X is a {kind}, which makes batches itself. Pass its data set through "
            "fairvision.datasets.from_torch(loader.dataset), and batch_size= to the estimator."
        )
    if isinstance(X, Mapping):
        key = "images" if "images" in X else next(iter(X), None)
        raise InputError(
            f"X is a {kind} with {list(X)[:6]}. Pass its images alone, such as data[{key!r}]."
        )
    if hasattr(X, "__getitem__") and hasattr(X, "__len__"):
        raise InputError(
            f"X is a {kind}, whose items are not plain images. Read it through "
            "fairvision.datasets.from_torch(dataset): then X is its .images, y its .target."
        )
    raise InputError(f"X is a {kind}. Pass images as one array, of shape (n_samples, ...).")


def _files(paths: Any, shape: tuple[int, ...] | None) -> ImageFiles:
    """The images of these files, read to a shape of (n_channels, height, width)."""
    if shape is None or len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(
            f"X is a {type(paths).__name__} of paths, {str(_first(paths))!r} first. Read the "
            f"images first: {_READ}.images, or "
            "fairvision.datasets.ImageFiles(paths, image_size=...)."
        )
    missing = [path for path in paths if not exists(path)]
    if missing:
        raise BadImageError(
            f"{len(missing)} of the {len(paths)} files in X do not exist, the first "
            f"{str(missing[0])!r}. Check the paths."
        )
    return ImageFiles(list(paths), image_size=shape[1:], mode="L" if shape[0] == 1 else "RGB")


def _first(X: Any) -> Any:
    """The first item of a list or of a flat array of objects or text."""
    flat = isinstance(X, (list, tuple)) or (
        getattr(X, "ndim", 0) == 1 and getattr(getattr(X, "dtype", None), "kind", "O") in "OUST"
    )
    return next(iter(X), None) if flat else None


def is_path(value: Any) -> bool:
    """Whether a value is the path of a file or a folder."""
    return isinstance(value, (str, bytes, PathLike))


def is_paths(X: Any) -> bool:
    """Whether X is a list or a column of paths."""
    first = _first(X)
    return first is not None and is_path(first)


def _check_pair(X: Any) -> None:
    if isinstance(X, tuple) and len(X) == 2:
        shapes = [getattr(element, "shape", ()) for element in X]
        if len(shapes[0]) > 1 and len(shapes[1]) == 1:
            raise InputError(
                "X is a tuple of images and labels. Pass them apart: fit(images, labels)."
            )

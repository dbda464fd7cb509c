"""Forms of data that are natural to pass for X: each is read, or refused with what to pass."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from scipy.sparse import issparse

from fairvision.exceptions import InputError

__all__ = ["check_form"]

_READ = "fairvision.datasets.load('folder', ...)"


def check_form(X: Any) -> None:
    """Refuse what is neither an array nor a sequence of images.

    Raises
    ------
    InputError
        Naming what X is, and how to make images of it.
    """
    kind = type(X).__name__
    if X is None or isinstance(X, (bool, int, float)):
        raise InputError(f"X is {X!r}. Pass images, of shape (n_samples, ...).")
    if _is_path(X):
        raise InputError(f"X is the path {str(X)!r}. Read the images first: {_READ}.images.")
    first = _first(X)
    if first is not None and _is_path(first):
        raise InputError(
            f"X is a {kind} of paths, {str(first)!r} first. Read the images first: {_READ}.images, "
            "or fairvision.datasets.ImageFiles(paths, image_size=64)."
        )
    if getattr(getattr(X, "device", None), "type", "cpu") != "cpu":
        raise InputError(f"X is a tensor on {X.device}. Pass X.cpu(): batches go to the device.")
    if getattr(X, "requires_grad", False):
        raise InputError("X is a tensor that requires a gradient. Pass X.detach().")
    if issparse(X):
        raise InputError(f"X is sparse, a {kind}. Pass X.toarray().")
    if hasattr(X, "shape") or hasattr(X, "__array__") or isinstance(X, (list, tuple, range)):
        _check_pair(X)
        return
    if hasattr(X, "dataset") and hasattr(X, "batch_size"):
        raise InputError(
            f"X is a {kind}, which cuts batches itself. Pass its data set through "
            "fairvision.datasets.from_torch(loader.dataset), and batch_size= to the estimator."
        )
    if isinstance(X, Mapping):
        key = "images" if "images" in X else next(iter(X), None)
        raise InputError(
            f"X is a {kind} with {list(X)[:6]}. Pass its images alone, such as data[{key!r}]."
        )
    if hasattr(X, "__getitem__") and hasattr(X, "__len__"):
        raise InputError(
            f"X is a {kind}, whose items are no plain images. Read it through "
            "fairvision.datasets.from_torch(dataset): then X is its .images, y its .target."
        )
    raise InputError(f"X is a {kind}. Pass images as one array, of shape (n_samples, ...).")


def _first(X: Any) -> Any:
    """The first item of a list or of a flat array of objects or text."""
    flat = isinstance(X, (list, tuple)) or (
        getattr(X, "ndim", 0) == 1 and getattr(getattr(X, "dtype", None), "kind", "O") in "OUST"
    )
    return next(iter(X), None) if flat else None


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, bytes, PathLike))


def _check_pair(X: Any) -> None:
    if isinstance(X, tuple) and len(X) == 2:
        shapes = [getattr(part, "shape", ()) for part in X]
        if len(shapes[0]) > 1 and len(shapes[1]) == 1:
            raise InputError(
                "X is a tuple of images and labels. Pass them apart: fit(images, labels)."
            )

"""`load`: a fitted estimator out of a file, running nothing that the file brings along."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from fairvision.exceptions import InputError, SavingError
from fairvision.plugins import clean, closest, default_registry, describe
from fairvision.saving._decode import Decoder
from fairvision.saving._file import unpack
from fairvision.saving._trust import Trust

__all__ = ["load", "read_manifest"]


def load(path: str | PathLike[str], *, objects: Mapping[str, Any] | None = None) -> Any:
    """Make the estimator again that `save` wrote.

    Only classes are made that an installed plugin offers, fairvision's own, and a few
    of scikit-learn and imbalanced-learn. A file cannot name any other, run anything, or
    have anything downloaded: pretrained weights are in the file and not fetched again.

    Parameters
    ----------
    path : path-like
    objects : mapping of str to object, default=None
        Parameters that the file could not hold, by their name in ``get_params``
        (``{"backbone": module}``; the last part of a nested name will do). A module
        is used for its structure; the weights are the file's. What prediction does
        without, such as a `train_transform`, may be None.

    Returns
    -------
    estimator
        Fitted.

    Raises
    ------
    SavingError
        If the file cannot be read, is of another kind, damaged, cut short or of
        a newer format; if it needs a class that is not installed; or if `objects`
        lacks something, or does not fit.
    InputError
        If `path` is the name of a data set: use :func:`fairvision.datasets.load`.
    """
    manifest, tensors = _read(Path(path))
    try:
        given = _given(manifest["objects"], objects or {})
        return Decoder(Trust(), tensors, given).estimator(manifest["estimator"])
    except SavingError as error:
        raise SavingError(f"{path} cannot be loaded: {str(error).rstrip('.')}.") from error
    except Exception as error:  # whatever a strange manifest leads to is the file's fault
        raise SavingError(_does_not_fit(path, manifest, error)) from error


def read_manifest(path: str | PathLike[str]) -> dict[str, Any]:
    """What a file says of itself; no class is made.

    Returns
    -------
    manifest : dict
        ``method``, ``class``, ``distribution`` and ``version`` of the estimator,
        ``versions`` of the libraries, ``evaluation`` (as `Evaluation.to_dict` has
        it, or None), ``objects`` that `load` must be given, and ``estimator``, the
        whole of it: ``params`` and ``state``.

    Raises
    ------
    SavingError
        As in `load`, if there is no such file or it is damaged.
    """
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        return unpack(path.read_bytes())
    except OSError as error:
        if str(path) in {data.name for data in default_registry().datasets()}:
            raise InputError(
                f"{str(path)!r} is not a file but the name of a data set: use "
                f"fairvision.datasets.load({str(path)!r})."
            ) from error
        raise SavingError(f"{path} cannot be read: {error.strerror or error}.") from error
    except SavingError as error:
        raise SavingError(f"{path} cannot be loaded: {error}.") from error


def _given(needed: Mapping[str, str], objects: Mapping[str, Any]) -> dict[str, Any]:
    """Each needed object by its full name; the last part of it will do."""
    found = {}
    for name in needed:
        for key in (name, name.rpartition("__")[2]):
            if key in objects:
                found[name] = objects[key]
                break
    missing = {name: what for name, what in needed.items() if name not in found}
    if missing:
        what = ", ".join(f"{clean(name)} ({clean(what)})" for name, what in missing.items())
        call = ", ".join(f"{clean(name)!r}: ..." for name in needed)
        raise SavingError(
            f"it was saved without {what}. Pass objects={{{call}}}, None for what prediction "
            "does without"
        )
    used = {*needed, *(name.rpartition("__")[2] for name in needed)}
    for key in objects:
        if key not in used:
            hint = closest(str(key), used) or " It needs none." * (not needed)
            raise SavingError(f"objects has {key!r}, which the file does not ask for.{hint}")
    return found


def _does_not_fit(path: Any, manifest: dict[str, Any], error: Exception) -> str:
    saved = f"{manifest.get('distribution')} {manifest.get('version')}"
    objects = manifest.get("objects")
    hint = ""
    if objects and isinstance(objects, dict):
        hint = f" Are the given {', '.join(map(clean, objects))} those that it was saved with?"
    return f"{path} cannot be loaded (saved by {clean(saved)}): {describe(error)}{hint}"

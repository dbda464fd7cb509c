"""`load`: a fitted estimator from a file, without running code of the file."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from fairvision.exceptions import InputError, SavingError
from fairvision.nn import choose_device
from fairvision.plugins import clean, closest, default_registry, describe
from fairvision.saving._decode import Decoder
from fairvision.saving._file import unpack
from fairvision.saving._trust import Trust

__all__ = ["load", "read_manifest"]


def load(
    path: str | PathLike[str],
    *,
    objects: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> Any:
    """Load the estimator that `save` wrote.

    It makes only classes of installed plugins, of fairvision, and a few of
    scikit-learn and imbalanced-learn. A file cannot name another class, run code, or
    start a download: pretrained weights are in the file.

    Parameters
    ----------
    path : path-like
    objects : mapping of str to object, default=None
        Parameters that the file could not hold, by their name in ``get_params``
        (``{"backbone": module}``; the last part of a nested name is enough). Only the
        structure of a module is used; its weights come from the file. Parameters that
        prediction does not need, such as a `train_transform`, may be None.
    device : str or None, default=None
        Replaces the parameter `device` of every estimator in the file. None keeps the saved
        device, or the CPU if that device is not available.

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
        If `path` is the name of a data set (use :func:`fairvision.datasets.load`), or
        torch sees no such `device`.
    """
    if device is not None:
        choose_device(device)
    manifest, tensors = _read(Path(path))
    try:
        given = _given(manifest["objects"], objects or {})
        return Decoder(Trust(), tensors, given, device=device).estimator(manifest["estimator"])
    except SavingError as error:
        raise SavingError(f"{path} cannot be loaded: {str(error).rstrip('.')}.") from error
    except Exception as error:  # a manifest that makes no sense can raise anything
        raise SavingError(_does_not_fit(path, manifest, error)) from error


def read_manifest(path: str | PathLike[str]) -> dict[str, Any]:
    """Read the manifest of a file; no estimator is built.

    Returns
    -------
    manifest : dict
        ``method``, ``class``, ``distribution`` and ``version`` of the estimator,
        ``versions`` of the libraries, ``evaluation`` (as `Evaluation.to_dict` has
        it, or None), ``objects`` that `load` needs, and ``estimator`` with its
        ``params`` and ``state``.

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
    """Each needed object by its full name; the user may pass the last component of the name."""
    keys = [(name, key) for name in needed for key in (name.rpartition("__")[2], name)]
    given = {name: objects[key] for name, key in keys if key in objects}
    if missing := [f"{clean(n)} ({clean(needed[n])})" for n in needed if n not in given]:
        call = ", ".join(f"{clean(name)!r}: ..." for name in needed)
        raise SavingError(
            f"it was saved without {', '.join(missing)}. Pass objects={{{call}}}, with None for "
            "objects that prediction does not need"
        )
    accepted = {key for _, key in keys}
    for key in objects.keys() - accepted:
        hint = closest(str(key), accepted) or " It needs none." * (not needed)
        raise SavingError(f"objects has {key!r}, which the file does not need.{hint}")
    return given


def _does_not_fit(path: Any, manifest: dict[str, Any], error: Exception) -> str:
    saved = clean(f"{manifest.get('distribution')} {manifest.get('version')}")
    hint, objects = "", manifest.get("objects")
    if objects and isinstance(objects, dict):
        hint = f" Was it saved with the {', '.join(map(clean, objects))} that you gave?"
    return f"{path} cannot be loaded (saved by {saved}): {describe(error)}{hint}"

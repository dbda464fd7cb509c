"""Data sets by name, from every plugin that offers one."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

from sklearn.utils import Bunch

from fairvision.exceptions import DatasetError, InputError, UnknownNameError

__all__ = ["load"]

_ENTRIES = ("images", "target", "sensitive_features", "attributes")


def _check_params(name: str, loader: Callable[..., Any], params: dict[str, Any]) -> None:
    accepted = inspect.signature(loader).parameters
    if any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        return
    for param in params:
        if param not in accepted:
            raise DatasetError(
                f"data set {name!r} has no parameter {param!r}; it takes {', '.join(accepted)}."
            )
    missing = [n for n, p in accepted.items() if p.default is p.empty and n not in params]
    if missing:
        raise DatasetError(
            f"data set {name!r} needs {', '.join(missing)}: "
            f"load({name!r}, {', '.join(f'{n}=...' for n in missing)}), or at a terminal "
            f"{' '.join(f'--{n} ...' for n in missing)}."
        )


def load(name: str, **params: Any) -> Bunch:
    """Load a data set that an installed plugin offers.

    Parameters
    ----------
    name : str
        ``"faces"``, ``"digits"``, ``"utkface"``, ``"celeba"``, ``"fairface"``, ``"lfw"``,
        ``"ppb"``, ``"folder"``, or another that ``fairvision.plugins.datasets()`` lists.
    **params
        Parameters of its loader: all take ``target=`` and ``sensitive=``, those that
        read a folder ``root=``.

    Returns
    -------
    Bunch
        At least ``images``, ``target``, ``sensitive_features`` and ``attributes``.

    Raises
    ------
    UnknownNameError, AmbiguousNameError, PluginError
        If no data set has the name, several have it, or its loader cannot be imported.
    InputError
        If `name` is a file: :func:`fairvision.load` loads a saved estimator.
    DatasetError
        If a parameter is missing or unknown, or the loader returns something else.

    Examples
    --------
    >>> import fairvision as fv
    >>> faces = fv.datasets.load("faces", n_samples=100, target="hat", image_size=32)
    >>> faces.images.shape
    (100, 3, 32, 32)
    """
    # Late: the data room works without the host.
    from fairvision.plugins import default_registry, resolve

    try:
        registered = default_registry().find("dataset", name)
    except UnknownNameError as error:
        if os.path.splitext(name)[1] or os.path.exists(name):
            raise InputError(
                f"{os.fspath(name)!r} is not the name of a data set. If it is the file of a saved "
                f"estimator, use fairvision.load({os.fspath(name)!r})."
            ) from error
        raise
    loader = resolve(registered)
    _check_params(name, loader, params)
    data = loader(**params)
    missing = [entry for entry in _ENTRIES if entry not in data]
    if missing:
        raise DatasetError(
            f"data set {name!r} of {registered.origin} has no {', '.join(missing)}; "
            "its loader must return them. Tell its authors."
        )
    return data

"""Write a distribution from the templates beside this file.

Every distribution gets ``templates/common`` and the folder of its stage, ``pre``, ``in`` or
``post``. In files whose names end in ``.in``, each ``$name`` is replaced.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from os import PathLike
from pathlib import Path
from string import Template

from fairvision import __version__
from fairvision.exceptions import InputError
from fairvision.hookspecs import API_VERSION
from fairvision.types import STAGES, Stage

__all__ = ["new_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SUFFIX = {"pre": "Sampler", "in": "Classifier", "post": "Adjuster"}
_HOOK = {"pre": "preprocessing", "in": "inprocessing", "post": "postprocessing"}


def new_plugin(name: str, stage: Stage, into: str | PathLike[str] = ".") -> Path:
    """Write a distribution that offers one method.

    Parameters
    ----------
    name : str
        The method's name: lower case, digits and dashes. The distribution is called
        ``fairvision-NAME``.
    stage : {"pre", "in", "post"}
    into : path-like, default="."
        The folder in which ``fairvision-NAME`` is created.

    Returns
    -------
    path : Path
        The new folder.

    Raises
    ------
    InputError
        If the name or the stage is invalid, a distribution of this name is installed, or the folder
        exists or cannot be written.

    Examples
    --------
    >>> from fairvision.scaffold import new_plugin
    >>> new_plugin("my-method", "in", "work").name
    'fairvision-my-method'
    """
    name = name.removeprefix("fairvision-")
    if not _NAME.fullmatch(name):
        raise InputError(f"the name is {name!r}; expected something like 'my-method'.")
    if stage not in STAGES:
        raise InputError(f"stage is {stage!r}; expected one of {', '.join(map(repr, STAGES))}.")
    _check_free(f"fairvision-{name}")
    root = Path(into) / f"fairvision-{name}"
    values = _values(name, stage)
    templates = files("fairvision.scaffold") / "templates"
    try:
        if root.exists():
            raise InputError(f"{root} exists. Choose another name, or another folder with --into.")
        _write(templates / "common", root, values)
        _write(templates / stage, root, values)
    except OSError as error:
        raise InputError(
            f"{root!s:.100} cannot be written: {error.strerror or error}. Choose another name, "
            "or another folder with --into."
        ) from error
    return root


def _check_free(distribution: str) -> None:
    """Refuse the name of a distribution that is installed, also of one whose plugin is disabled.

    Its methods may have other names, but pip would put the new one in its place.
    """
    try:
        number = version(distribution)
    except PackageNotFoundError:
        return
    raise InputError(
        f"{distribution} {number} is installed here, and the new distribution would take its "
        "place. Choose another name."
    )


def _values(name: str, stage: Stage) -> dict[str, str]:
    package = f"fairvision_{name.replace('-', '_')}"
    major, minor, *_ = __version__.split(".")
    return {
        "name": name,
        "distribution": f"fairvision-{name}",
        "package": package,
        "class_name": "".join(p.capitalize() for p in name.split("-")) + _SUFFIX[stage],
        "hook": f"fairvision_{_HOOK[stage]}",
        "api": repr(API_VERSION),
        "host": f"{major}.{minor}",
        "stage": stage,
    }


def _write(folder: Traversable, into: Path, values: dict[str, str]) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        target = into / entry.name.removesuffix(".in")
        if target.name == "package":
            target = into / values["package"]
        if entry.is_dir():
            _write(entry, target, values)
        else:
            text = entry.read_text(encoding="utf-8")
            filled = Template(text).substitute(values) if entry.name.endswith(".in") else text
            target.write_text(filled, encoding="utf-8")

"""The recipes that came with the plugins."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fairvision.exceptions import FairvisionError, FairvisionWarning, InputError, UnknownNameError
from fairvision.plugins import closest, default_registry
from fairvision.recipes._read import Recipe, read_recipe

__all__ = ["find_recipe", "find_recipes"]


@dataclass(frozen=True)
class _Shipped:
    """A recipe's file, not read yet."""

    name: str
    distribution: str
    package: str
    file: Traversable

    def read(self) -> Recipe:
        text = self.file.read_bytes().decode("utf-8", "backslashreplace")
        return read_recipe(
            text, name=self.name, distribution=self.distribution, package=self.package
        )


def find_recipes() -> tuple[Recipe, ...]:
    """Every recipe of every loaded plugin, by name.

    Warns
    -----
    FairvisionWarning
        For one that cannot be read, and for two of one name: they are left out, and
        cost the others nothing.
    """
    found = []
    for name in sorted(shipped := _shipped()):
        try:
            found.append(_only(shipped[name]).read())
        except FairvisionError as error:
            warnings.warn(f"{error} It is left out.", FairvisionWarning, stacklevel=2)
    return tuple(found)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    UnknownNameError
        With the closest names.
    InputError
        If it cannot be read, or two plugins have one of that name.
    """
    shipped = _shipped()
    if name not in shipped:
        raise UnknownNameError(
            f"There is no recipe {name!r}.{closest(name, shipped)} "
            "`fairvision reproduce --list` lists all."
        )
    return _only(shipped[name]).read()


def _shipped() -> dict[str, list[_Shipped]]:
    """Name -> the files of that name."""
    packages = {
        plugin.origin.module.rpartition(".")[0]: plugin.origin.distribution
        for plugin in default_registry().plugins
        if plugin.status == "loaded"
    }
    found: dict[str, list[_Shipped]] = {}
    for package, distribution in packages.items():
        folder = files(package) / "recipes" if package else None
        if folder is None or not folder.is_dir():
            continue
        for file in folder.iterdir():
            name, dot, ending = file.name.rpartition(".")
            if dot and ending == "toml":
                found.setdefault(name, []).append(_Shipped(name, distribution, package, file))
    return found


def _only(files_of_one_name: list[_Shipped]) -> _Shipped:
    if len(files_of_one_name) > 1:
        owners = " and ".join(file.distribution for file in files_of_one_name)
        raise InputError(
            f"{owners} both have a recipe {files_of_one_name[0].name!r}. Uninstall one, or ask its "
            "authors for another name."
        )
    return files_of_one_name[0]

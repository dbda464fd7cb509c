"""Find the recipes that plugins ship."""

from __future__ import annotations

import warnings
from importlib.resources import files
from importlib.resources.abc import Traversable

from fairvision.exceptions import FairvisionError, FairvisionWarning, InputError, UnknownNameError
from fairvision.plugins import closest, default_registry
from fairvision.recipes._read import Recipe, read_recipe

__all__ = ["find_recipe", "find_recipes"]


def find_recipes() -> tuple[Recipe, ...]:
    """Every recipe of every loaded plugin, by name.

    Warns
    -----
    FairvisionWarning
        For a recipe that cannot be read, or whose name two plugins use. It is left out.
    """
    recipes = []
    for name, shipped in sorted(_shipped().items()):
        try:
            recipes.append(_read(name, shipped))
        except FairvisionError as error:
            warnings.warn(f"{error} It is left out.", FairvisionWarning, stacklevel=2)
    return tuple(recipes)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    UnknownNameError
        With the closest names.
    InputError
        If it cannot be read, or two plugins have a recipe of that name.
    """
    shipped = _shipped()
    if name not in shipped:
        raise UnknownNameError(
            f"There is no recipe {name!r}.{closest(name, shipped)} "
            "`fairvision reproduce --list` lists all."
        )
    return _read(name, shipped[name])


def _shipped() -> dict[str, list[tuple[str, str, Traversable]]]:
    """By name of the recipe: the distribution, package and file of each that ships it."""
    packages = {
        plugin.origin.module.rpartition(".")[0]: plugin.origin.distribution
        for plugin in default_registry().plugins
        if plugin.status == "loaded"
    }
    shipped: dict[str, list[tuple[str, str, Traversable]]] = {}
    for package, distribution in packages.items():
        folder = files(package) / "recipes" if package else None
        if folder is None or not folder.is_dir():
            continue
        for file in folder.iterdir():
            name, dot, suffix = file.name.rpartition(".")
            if dot and suffix == "toml":
                shipped.setdefault(name, []).append((distribution, package, file))
    return shipped


def _read(name: str, shipped: list[tuple[str, str, Traversable]]) -> Recipe:
    if len(shipped) > 1:
        owners = " and ".join(distribution for distribution, _, _ in shipped)
        raise InputError(
            f"{owners} both have a recipe {name!r}. Uninstall one, or ask its authors for another "
            "name."
        )
    ((distribution, package, file),) = shipped
    text = file.read_bytes().decode("utf-8", "backslashreplace")
    return read_recipe(text, name=name, distribution=distribution, package=package)

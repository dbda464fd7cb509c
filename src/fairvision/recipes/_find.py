"""The recipes that came with the plugins."""

from __future__ import annotations

from importlib.resources import files

from fairvision.exceptions import InputError, UnknownNameError
from fairvision.plugins import closest, default_registry
from fairvision.recipes._read import Recipe, read_recipe

__all__ = ["find_recipe", "find_recipes"]


def find_recipes() -> tuple[Recipe, ...]:
    """Every recipe of every loaded plugin, by name.

    Raises
    ------
    InputError
        If one of them cannot be read, or two have one name.
    """
    found: dict[str, Recipe] = {}
    packages = {
        plugin.origin.module.rpartition(".")[0]: plugin.origin.distribution
        for plugin in default_registry().plugins
        if plugin.status == "loaded"
    }
    for package, distribution in packages.items():
        folder = files(package) / "recipes" if package else None
        if folder is None or not folder.is_dir():
            continue
        for entry in folder.iterdir():
            name, dot, ending = entry.name.rpartition(".")
            if not dot or ending != "toml":
                continue
            text = entry.read_bytes().decode("utf-8", "backslashreplace")
            recipe = read_recipe(text, name=name, distribution=distribution, package=package)
            if name in found:
                raise InputError(
                    f"{distribution} and {found[name].distribution} both have a recipe {name!r}. "
                    "Uninstall one, or ask its authors for another name."
                )
            found[name] = recipe
    return tuple(found[name] for name in sorted(found))


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    UnknownNameError
        With the closest names.
    """
    recipes = {recipe.name: recipe for recipe in find_recipes()}
    if name not in recipes:
        raise UnknownNameError(
            f"There is no recipe {name!r}.{closest(name, recipes)} "
            "`fairvision reproduce --list` lists all."
        )
    return recipes[name]

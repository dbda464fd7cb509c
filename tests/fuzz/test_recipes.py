"""Recipes as somebody hostile would write them: one clear error, and no folder but below --out."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hostile import NASTY, damaged, forged, times
from hypothesis import given
from hypothesis import strategies as st

from fairvision.exceptions import InputError
from fairvision.recipes import _read, plan, read_recipe

FILES = sorted(Path(__file__).parents[2].glob("plugins/*/src/*/recipes/*.toml"))
WHOLE = [path.read_text("utf-8") for path in FILES]
PACKAGES = [path.parents[1].name for path in FILES]


def take(recipe: Any, package: str) -> None:
    """Read it and plan all of it, or hear what is wrong with it."""
    try:
        if isinstance(recipe, str):
            recipe = read_recipe(recipe, name="x", distribution="y", package=package)
        else:
            recipe = _read.make_recipe(recipe, "x", "y", package)
    except InputError:
        return
    for data in recipe.data:
        for scale in recipe.scales(data):
            for block in plan(recipe, data, scale):
                assert Path("out", block.name).parent == Path("out")
                assert block.name not in (".", "..")
                assert block.n_runs >= 0


@pytest.mark.parametrize("which", range(len(FILES)))
@times(12)
@given(st.data())
def test_damaged_recipes(which: int, data: Any) -> None:
    content = data.draw(damaged(WHOLE[which].encode()))
    take(content.decode("utf-8", "backslashreplace"), PACKAGES[which])


@pytest.mark.parametrize("which", range(len(FILES)))
@times(20)
@given(st.data())
def test_forged_recipes(which: int, data: Any) -> None:
    take(data.draw(forged(tomllib.loads(WHOLE[which]))), PACKAGES[which])


@pytest.mark.parametrize("name", NASTY)
def test_blocks_are_folders_below_the_results_only(name: str) -> None:
    (found,) = (tomllib.loads(text) for text in WHOLE[:1])
    data = copy.deepcopy(found["data"])
    for entry in data.values():
        entry["block"] = [{"name": name}]
    take({**found, "data": data}, PACKAGES[0])


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 9000, "a = " + "9" * 9000, "\ufeff\ud800", "a = 1e999"]
)
def test_what_no_toml_is(text: str) -> None:
    take(text, "fairvision")

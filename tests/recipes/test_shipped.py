"""The recipes that plugins ship: every one can be planned, and its methods be made."""

from __future__ import annotations

import inspect
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fairvision as fv
from fairvision.comparison import plan_split, split_rows
from fairvision.metrics import available_metrics
from fairvision.plugins import default_registry
from fairvision.recipes import Block, Recipe, find_recipes, plan, reproduce
from fairvision.recipes._reproduce import fill_in_out, find_prepare
from fairvision.recipes._targets import find_target

pytestmark = pytest.mark.cpu

RECIPES = find_recipes()
CASES = [
    pytest.param(recipe, data, scale, id=f"{recipe.name}-{data}-{scale}")
    for recipe in RECIPES
    for data in recipe.data
    for scale in recipe.scales(data)
]


@pytest.mark.parametrize(("recipe", "data", "scale"), CASES)
def test_it_can_be_planned_and_made(recipe: Recipe, data: str, scale: str) -> None:
    loader = default_registry().find("dataset", data).target
    assert loader
    for block in plan(recipe, data, scale):
        for row in block.rows:
            made = fv.make(row.method, **fill_in_out(row.params, None))
            assert "fit" in dir(made) or "fit_resample" in dir(made)
        _check_compare(block)


def _check_compare(block: Block) -> None:
    known = inspect.signature(fv.compare).parameters
    assert set(block.compare) <= set(known)
    assert not (block.compare.get("balanced_baseline") and "confounding" not in block.compare)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_its_measures_are_known_and_its_paper_is_that_of_its_method(recipe: Recipe) -> None:
    summary = {"accuracy", "balanced_accuracy", "leakage"}
    known = {*available_metrics(), *summary, *(m.name for m in default_registry().metrics())}
    assert {measure.name for measure in recipe.measures} <= known
    assert default_registry().find("method", recipe.method).descriptor.reference is not None
    labels = {row.label for row in recipe.rows} | {"erm-balanced"}
    assert {label for rows in recipe.paper.values() for label in rows} <= labels
    blocks = [b for d in recipe.data for scale in recipe.scales(d) for b in plan(recipe, d, scale)]
    assert set(recipe.paper) <= {b.name for b in blocks} | {b.group for b in blocks}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_its_figures_can_be_drawn(recipe: Recipe) -> None:
    for figure in recipe.figures:
        assert callable(find_target(figure.draw, recipe.package, figure.name))
    shown = {
        f.name
        for d in recipe.data
        for s in recipe.scales(d)
        for b in plan(recipe, d, s)
        for f in b.figures
    }
    assert shown == {figure.name for figure in recipe.figures}, "a figure of no block"


def prepared(name: str, by: str | None = None, **load: Any) -> Any:
    (recipe,) = [recipe for recipe in RECIPES if recipe.name == name]
    return recipe, lambda data: find_prepare(recipe, by or recipe.data[data]["prepare"])(
        fv.datasets.load(data, **load)
    )


@pytest.mark.skipif(
    "dbvae-alpha" not in [recipe.name for recipe in RECIPES], reason="the plugin is not installed"
)
def test_faces_and_scrambled() -> None:
    data = prepared("dbvae-alpha", n_samples=1000, image_size=24, sensitive="skin_tone")[1]("faces")
    tone = data.sensitive_features["skin_tone"].to_numpy()
    train, test = data.split == "train", data.split == "test"
    dark = np.isin(tone, ["IV", "V", "VI"])
    assert dark[train & (data.target == 1)].mean() == pytest.approx(0.05, abs=0.01)
    assert dark[test & (data.target == 1)].mean() == pytest.approx(0.5, abs=0.1)
    original = fv.datasets.load("faces", n_samples=1000, image_size=24, sensitive="skin_tone")
    same = (data.images == original.images).all(axis=(1, 2, 3))
    assert (same == (data.target == 1)).all()
    # Parts are exchanged, nothing is drawn anew: every picture keeps its colours.
    np.testing.assert_array_equal(data.images.sum(axis=(2, 3)), original.images.sum(axis=(2, 3)))


@pytest.mark.skipif(
    "dbvae-alpha" not in [recipe.name for recipe in RECIPES], reason="the plugin is not installed"
)
def test_photographs_and_scrambled() -> None:
    data = fv.datasets.load("faces", n_samples=1000, image_size=24, sensitive="skin_group")
    races = data.sensitive_features["skin_group"].map({"light": "White", "dark": "Black"})
    data.sensitive_features = races.to_frame("race")
    (recipe,) = [recipe for recipe in RECIPES if recipe.name == "dbvae-alpha"]
    made = find_prepare(recipe, recipe.data["utkface"]["prepare"])(data)
    # Every rare face that is not trained on is tested on.
    assert set(made.split) == {"train", "test"}
    rare = (made.sensitive_features["race"] == "Black").to_numpy() & (made.target == 1)
    face = (made.split == "train") & (made.target == 1)
    assert rare[face].mean() == pytest.approx(0.05, abs=0.01)
    assert rare[made.split == "test"].sum() > 200
    # Files are sorted by age: the first half of them would be the young.
    assert (made.images[:100] == data.images[:100]).all(axis=(1, 2, 3)).mean() < 0.1


@pytest.mark.skipif(
    "dbvae-windows" not in [recipe.name for recipe in RECIPES], reason="the plugin is not installed"
)
def test_whole_pictures() -> None:
    settings = {"n_samples": 1000, "image_size": 24, "sensitive": "skin_tone"}
    data = prepared("dbvae-windows", **settings, return_masks=True)[1]("faces")
    original = fv.datasets.load("faces", **settings, return_masks=True)
    face, test = data.target == 1, data.split == "test"
    dark = original.attributes["skin_tone"].isin(["IV", "V", "VI"]).to_numpy()
    assert dark[(data.split == "train") & face].mean() == pytest.approx(0.05, abs=0.01)
    # A whole picture without a face is its own tiles in another order.
    whole = test & ~face
    sums = [x.images[whole].sum(axis=(2, 3)) for x in (data, original)]
    np.testing.assert_array_equal(*sums)
    assert (data.images[whole] != original.images[whole]).any(axis=(1, 2, 3)).all()
    # A face as high as the picture lies where it lay, and hides the tiles.
    found = np.array([
        (abs(a.astype(int) - b)[:, mask] <= 1).all()
        for a, b, mask in zip(
            data.images, original.images, ~original.masks["background"], strict=True
        )
    ])  # fmt: skip
    assert 0.01 < found[test & face].mean() < 0.3
    assert not found[test & ~face].any()


@pytest.mark.skipif(
    "jlu-age" not in [recipe.name for recipe in RECIPES]
    or not os.environ.get("FAIRVISION_UTKFACE"),
    reason="FAIRVISION_UTKFACE names no folder of photographs, or the plugin is not installed",
)
def test_young_women_and_old_men() -> None:
    where = {"root": os.environ["FAIRVISION_UTKFACE"], "image_size": 32}
    data = prepared("jlu-age", target="age_bin", sensitive="gender", **where)[1]("utkface")
    frame = data.attributes.assign(split=data.split).reset_index(drop=True)
    train, test = (frame[frame["split"] == part] for part in ("train", "test"))
    assert set(train.loc[train["age"] < 36, "gender"]) == {"female"}
    assert set(train.loc[train["age"] >= 40, "gender"]) == {"male"}
    assert not train["age"].between(36, 39).any()
    counts = test.groupby(["age_bin", "gender"]).size().unstack()
    assert (counts["female"] == counts["male"]).all()


def sample(name: str, data: str) -> tuple[Recipe, dict[str, Any]]:
    """A recipe of photographs at hand, and where they are; skips where they are not."""
    for variable in (f"FAIRVISION_{data.upper()}", "FAIRVISION_WEIGHTS"):
        if not os.environ.get(variable):
            pytest.skip(f"{variable} is not set")
    recipes = [recipe for recipe in RECIPES if recipe.name == name]
    if not recipes:
        pytest.skip("the plugin is not installed")
    return recipes[0], {"root": os.environ[f"FAIRVISION_{data.upper()}"], "scale": "sample"}


def cut(recipe: Recipe, data: str, n: int, **compare: Any) -> Recipe:
    """The first block of that scale, on pictures of 16 or 32 pixels, for an epoch."""
    own = dict(recipe.data[data])
    scale = dict(own["sample"])
    size = 32 if "features" in scale else 16
    block = dict((scale.get("block") or own.get("block") or [{"name": "all"}])[0])
    block["compare"] = {**block.get("compare", {}), "max_epochs": 1, "n_boot": 10, **compare}
    block["load"] = {**block.get("load", {}), "image_size": size}
    if "features" in scale:
        scale["features"] = {**scale["features"], "image_size": size}
    rows = [row.label for row in recipe.rows][:n]
    preset = "pretrained" if scale.get("preset") == "pretrained" else "quick"
    scale |= {"block": [block], "preset": preset, "rows": rows}
    return replace(recipe, data={data: {**own, "sample": scale}}, figures=())


@pytest.mark.parametrize("name", ["attribution-table-1", "attribution-quantiles"])
def test_celebas_confounders_are_in_two_thirds_of_one_class(name: str) -> None:
    recipe, where = sample(name, "celeba")
    for scale in ("sample", "paper"):
        for block in plan(recipe, "celeba", scale, root=where["root"]):
            data = fv.datasets.load("celeba", **block.load)
            shares = {key: block.compare[key] for key in ("confounding", "counterexamples")}
            rows = split_rows(data, plan_split(data, test_size=0.5, **shares), seed=0)[0]
            shown = data.attributes[block.load["sensitive"]].to_numpy()[rows]
            of_class = [shown[data.target[rows] == male].mean() for male in (0, 1)]
            swapped = scale == "sample" and block.name in ("Eyeglasses", "Wearing Hat")
            assert of_class[swapped] == pytest.approx(2 / 3, abs=0.05), block.name
            assert of_class[not swapped] == 0, block.name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "n"),
    [
        ("intra-bound", "celeba", 2),
        ("jlu-age", "utkface", 1),
        ("jlu-extreme-bias", "utkface", 3),
        ("attribution-table-1", "celeba", 2),
        ("dbvae-alpha", "celeba", 1),
        ("dbvae-windows", "celeba", 1),
        ("latent-pairs", "celeba", 2),
    ],
)
def test_it_runs_on_the_photographs_at_hand(name: str, data: str, n: int, tmp_path: Path) -> None:
    recipe, where = sample(name, data)
    made = reproduce(
        cut(recipe, data, n), data, seeds=1, device="cpu", progress=False, report=False,
        out=tmp_path, weights=os.environ["FAIRVISION_WEIGHTS"], **where,
    )  # fmt: skip
    assert not made.failures
    assert made.results["value"].notna().any()
    (comparison,) = made.comparisons.values()
    assert comparison.plan.split.get("parts", "column") in ("people", "column")


needs_jlu = pytest.mark.skipif(
    "jlu-age" not in [recipe.name for recipe in RECIPES], reason="the plugin is not installed"
)


def extreme(which: str, data: str, **load: Any) -> Any:
    by = f"fairvision_jlu.recipes.extremes:{which}"
    return prepared("jlu-extreme-bias", by, **load)[1](data)


def cells(data: Any, part: str) -> Any:
    own = data.split == part
    return pd.crosstab(data.target[own], data.sensitive_features[own].iloc[:, 0]).to_numpy()


@needs_jlu
def test_extremes_have_no_exception_and_the_test_rows_no_bias() -> None:
    load = {"n_samples": 300, "image_size": 24, "target": "eyeglasses", "sensitive": "hat"}
    first, second, both = (
        extreme(which, "faces", **load) for which in ("extreme_1", "extreme_2", "both_extremes")
    )
    n = cells(first, "train")[0, 0]
    assert n > 30
    np.testing.assert_array_equal(cells(first, "train"), [[n, 0], [0, n]])
    np.testing.assert_array_equal(cells(second, "train"), [[0, n], [n, 0]])
    assert set(cells(both, "train").ravel()) == {n // 2}
    tests = []
    for data in (first, second, both):
        assert len(set(cells(data, "test").ravel())) == 1
        images, groups = data.fit_params["spurious_data"]
        spurious = data.split == "spurious"
        np.testing.assert_array_equal(images, data.images[spurious])
        assert groups.equals(data.sensitive_features.iloc[np.flatnonzero(spurious)])
        assert len(set(cells(data, "spurious").ravel())) == 1
        tests.append(data.images[data.split == "test"])
    np.testing.assert_array_equal(tests[0], tests[1])
    np.testing.assert_array_equal(tests[0], tests[2])


@needs_jlu
@pytest.mark.skipif(not os.environ.get("FAIRVISION_UTKFACE"), reason="no folder of photographs")
@pytest.mark.parametrize(("target", "sensitive"), [("gender", "age"), ("old", "gender")])
def test_extremes_of_age_and_gender(target: str, sensitive: str) -> None:
    where = {"root": os.environ["FAIRVISION_UTKFACE"], "image_size": 16}
    data = extreme("extreme_1", "utkface", target=target, sensitive=sensitive, **where)
    frame = data.attributes.assign(split=data.split)
    train, test = (frame[frame["split"] == part] for part in ("train", "test"))
    assert set(train.loc[train["age"] <= 30, "gender"]) == {"female"}
    assert set(train.loc[train["age"] >= 40, "gender"]) == {"male"}
    assert not frame["age"].between(31, 39).any()
    young = test[test["age"] <= 30]
    for ages in (young["age"] <= 10, young["age"].between(11, 20), young["age"] >= 21):
        assert (young[ages]["gender"] == "female").mean() == 0.5
    if sensitive == "age":
        words = data.sensitive_features["age"].to_numpy()
        assert set(zip(words, data.attributes["age"] >= 40, strict=True)) == {
            ("0-30", False), ("40+", True),
        }  # fmt: skip

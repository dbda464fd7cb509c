"""Figures of recipes: drawn of the very runs, once, and one that fails costs itself only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from fairvision.exceptions import InputError
from fairvision.recipes import BlockResult, Recipe, plan, read_recipe, reproduce

RECIPE = """
title = "Figures"
method = "reweighing"
table = "Figure 1"
claim = "one sees it."

[[measure]]
name = "accuracy"
title = "accuracy"

[[row]]
label = "plain"
method = "erm"

[[row]]
label = "weighted"
method = "reweighing"

[[figure]]
name = "rates"
title = "Rates"
draw = "drawing_of_test.figures:rates"

[[figure]]
name = "of-hats"
title = "Hats"
draw = "drawing_of_test.figures:{}"
blocks = ["hat"]
rows = ["weighted"]

[data.faces]
load = {{ n_samples = 400, image_size = 24, random_state = 0 }}
compare = {{ confounding = 0.9, n_train = 120, n_test = 80, n_boot = 20, balanced_baseline = true }}

[data.faces.small]
compare = {{ max_epochs = 1 }}
seeds = 1

[data.faces.one]
rows = ["plain"]

[[data.faces.block]]
name = "hat"
load = {{ target = "eyeglasses", sensitive = "hat" }}

[[data.faces.block]]
name = "smile"
load = {{ target = "smiling", sensitive = "hat" }}
"""

MODULE = """
from matplotlib.figure import Figure

calls = []

def rates(shown):
    calls.append(shown)
    figure = Figure(figsize=(2, 2))
    axes = figure.add_subplot(xlabel="row", ylabel="accuracy", title=shown.block.name)
    axes.plot(shown.comparison.measure(["accuracy"])["value"].to_numpy())
    return figure

def broken(shown):
    raise ValueError("no ink")

def nothing(shown):
    return "a picture"
"""


@pytest.fixture
def drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module whose functions draw."""
    import importlib
    import sys

    package = tmp_path / "site" / "drawing_of_test"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "figures.py").write_text(MODULE)
    monkeypatch.syspath_prepend(package.parent)
    yield importlib.import_module("drawing_of_test.figures")
    for name in [name for name in sys.modules if name.startswith("drawing_of_test")]:
        del sys.modules[name]


def read(function: str = "rates", old: str = "", new: str = "") -> Recipe:
    text = RECIPE.format(function)
    assert old in text
    text = text.replace(old, new, 1)
    return read_recipe(text, name="figures", distribution="here", package="drawing_of_test")


def run(recipe: Recipe, out: Path | None, **how: Any) -> Any:
    return reproduce(recipe, out=out, progress=False, report=False, **how)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('name = "rates"', 'name = "../rates"', "a name consists of a-z"),
        ('name = "of-hats"', 'name = "rates"', "to one figure only"),
        ('title = "Rates"', "title = 1", "figure has title = 1; expected a text"),
        ('draw = "drawing_of_test.figures:rates"', "", "figure has draw = None"),
        ("drawing_of_test.figures:rates", "os:getcwd", "only functions of drawing_of_test may"),
        ("drawing_of_test.figures:rates", "drawing_of_test", "expected a text, 'module:function'"),
        ('blocks = ["hat"]', 'blocks = ["hut"]', r"names the blocks \['hut'\]; there are"),
        ('blocks = ["hat"]', 'blocks = "hat"', "has blocks = 'hat'; expected a list"),
        ('rows = ["weighted"]', 'rows = ["heavy"]', r"names the rows \['heavy'\]; there are"),
        ('title = "Rates"', 'title = "Rates"\nink = 1', "figure has ink"),
    ],
)
def test_a_figure_that_is_wrong_says_where(old: str, new: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read("rates", old, new)


def test_it_is_drawn_of_the_blocks_that_have_what_it_shows() -> None:
    def names(scale: str) -> list[list[str]]:
        return [[f.name for f in block.figures] for block in plan(read(), "faces", scale)]

    assert names("small") == [["rates", "of-hats"], ["rates"]]
    assert names("one") == [["rates"], ["rates"]]  # without the row "weighted"


def test_what_fit_gives_is_what_was_compared(drawing: Any, tmp_path: Path) -> None:
    """The control too: predictions and scores of the stored run, bit for bit."""
    names = ("axes.prop_cycle", "font.size", "text.parse_math")
    before = [mpl.rcParams[name] for name in names]
    found = run(read(), tmp_path / "out")
    assert not found.failures
    assert [mpl.rcParams[name] for name in names] == before
    shown: BlockResult = drawing.calls[0]
    train = {}
    for label in ("weighted", "erm-balanced"):
        fitted = shown.fit(label)
        assert shown.fit(label) is fitted
        (stored,) = [run for run in shown.comparison.runs if run.method == label]
        np.testing.assert_array_equal(fitted.predict(shown.test.images), stored.y_pred)
        np.testing.assert_array_equal(fitted.predict_proba(shown.test.images)[:, 1], stored.y_score)
        train[label] = stored.n_train
    np.testing.assert_array_equal(shown.test.target, stored.y_true)
    assert len(shown.train.target) == train["weighted"] == 120
    with pytest.raises(InputError, match="no row 'heavy'"):
        shown.fit("heavy")


def test_a_figure_lies_with_its_block_and_is_drawn_once(drawing: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = run(read(), out)
    paths = ["hat/figures/rates.png", "hat/figures/of-hats.png", "smile/figures/rates.png"]
    assert [figure.path for figure in found.figures] == paths
    for path in paths:
        with Image.open(out / path) as picture:
            assert picture.size == (240, 240)
        assert f"`{path}`" in (out / "table.md").read_text()
    assert len(drawing.calls) == 3
    times = {path: (out / path).stat().st_mtime_ns for path in paths}
    run(read(), out)
    assert {path: (out / path).stat().st_mtime_ns for path in paths} == times
    (out / paths[0]).write_bytes((out / paths[0]).read_bytes()[:200])  # half of it is no figure
    run(read(), out)
    assert [call.block.name for call in drawing.calls[3:]] == ["hat"]
    run(read(), out, seeds=2)  # other runs
    assert len(drawing.calls) == 7
    assert not list(out.rglob("*.partial"))
    assert run(read(), None).figures == ()


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("broken", "ValueError: no ink"),
        ("nothing", "it returned str"),
        ("absent", "has no attribute 'absent'"),
    ],
)
@pytest.mark.usefixtures("drawing")
def test_a_figure_that_fails_is_named_and_costs_nothing_else(
    function: str, error: str, tmp_path: Path
) -> None:
    old = tmp_path / "hat" / "figures" / "of-hats.png"
    recipe = read(function)
    run(read(), tmp_path)
    assert old.exists()
    found = run(recipe, tmp_path)
    (failure,) = found.failures
    assert failure.startswith("hat: the figure of-hats failed: ")
    assert error in failure
    assert failure in (tmp_path / "table.md").read_text()
    assert not old.exists()  # it showed something else
    assert (tmp_path / "hat" / "figures" / "rates.png").exists()
    assert not found.results.empty

"""The recipes' figures show what was measured, and the map that was used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fairvision.datasets import load
from fairvision.recipes import BlockResult, find_recipe, reproduce
from fairvision_attribution._report import _some_rows
from fairvision_attribution.recipes import prepare
from fairvision_attribution.recipes.figures import mean_maps, noises, over_quantiles

LOAD = {
    "n_samples": 400, "image_size": 24, "random_state": 0, "return_masks": True,
    "target": "smiling", "sensitive": "hat",
}  # fmt: skip
ROWS = ["biased data", "specific mask 0.6", "specific mask 0.7"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Figures 5, 7 and 8 of few small faces, and the rows that they show."""
    regions = {"max_epochs": 1, "patches_per_image": 2, "scan_grid": 3, "map_rows": 20}
    tiny = {
        "rows": ROWS,
        "params": {"data-attribution": {"attribution": {**regions, "cache": "{out}/regions"}}},
        "compare": {
            "confounding": 0.7, "counterexamples": 0.1, "n_train": 80, "n_test": 60,
            "max_epochs": 1, "n_boot": 20,
        },
        "seeds": 1,
    }  # fmt: skip
    recipe = find_recipe("attribution-quantiles")
    maps = find_recipe("attribution-table-1").figures[0]
    recipe = replace(
        recipe,
        data={"faces": {"load": LOAD, "tiny": tiny}},
        figures=(maps, *recipe.figures),
    )
    out = tmp_path_factory.mktemp("out")
    return reproduce(recipe, "faces", "tiny", out=out, progress=False, report=False)


@pytest.fixture(scope="module")
def shown(found: Any) -> BlockResult:
    return BlockResult(found.blocks[0], found.comparisons["all"], lambda: load("faces", **LOAD))


@pytest.mark.slow
def test_all_figures_are_drawn(found: Any) -> None:
    assert not found.failures
    assert [figure.name for figure in found.figures] == ["mean-map", "over-quantiles", "noises"]


def test_the_map_is_that_of_the_sampler(shown: BlockResult) -> None:
    (ax, _bar) = mean_maps(shown).axes
    sampler = shown.fit("specific mask 0.6").sampler_
    np.testing.assert_array_equal(ax.images[0].get_array(), sampler.mean_map_)
    assert [line.get_label() for line in ax.lines] == [
        "above quantile 0.6", "true pixels, in most pictures",
    ]  # fmt: skip


def test_patches_are_judged_on_pictures_of_all_kinds() -> None:
    """File names sort photographs by age: the first rows would be children."""
    rows = _some_rows(1000, 200)
    assert len(np.unique(rows)) == 200
    assert np.bincount(rows // 250).min() > 30
    np.testing.assert_array_equal(_some_rows(50, 200), np.arange(50))


def recall(shown: BlockResult, label: str, target: int) -> float:
    (run,) = [run for run in shown.comparison.runs if run.method == label]
    return 100 * float(np.mean(run.y_pred[run.y_true == target] == target))


def test_the_lines_are_the_accuracies_of_the_classes(shown: BlockResult) -> None:
    (ax,) = over_quantiles(shown).axes  # of one noise there are two quantiles
    lines = {line.get_label(): line for line in ax.lines}
    for target, name in enumerate(("not smiling", "smiling")):
        np.testing.assert_array_equal(lines[name].get_xdata(), [0.6, 0.7])
        mine = [recall(shown, f"specific mask {q}", target) for q in (0.6, 0.7)]
        np.testing.assert_allclose(lines[name].get_ydata(), mine)
    dotted = [line.get_ydata() for line in ax.lines if line.get_linestyle() == ":"]
    assert [y[0] for y in dotted if len(y)] == pytest.approx(
        [recall(shown, "biased data", target) for target in (0, 1)]
    )


def test_the_points_are_those_of_one_quantile(shown: BlockResult) -> None:
    (ax,) = noises(shown).axes
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["biased data", "specific mask 0.7"]
    for target, bars in enumerate(ax.containers):
        np.testing.assert_allclose(
            bars.lines[0].get_xdata(orig=False), [recall(shown, label, target) for label in labels]
        )


def test_photographs_keep_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_FEW", 30)
    data = load("faces", n_samples=60, image_size=24)
    few, again = prepare.few_in_memory(data), prepare.few_in_memory(data)
    np.testing.assert_array_equal(few.images, again.images)
    rows = [int(np.flatnonzero((data.images == one).all((1, 2, 3)))[0]) for one in few.images]
    assert len(set(rows)) == 30
    np.testing.assert_array_equal(few.target, data.target[rows])
    assert few.attributes.equals(data.attributes.iloc[rows].reset_index(drop=True))
    np.testing.assert_array_equal(prepare.in_memory(data).images, data.images)

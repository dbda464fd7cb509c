"""Recipes: read strictly, planned without data, run as comparisons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest

from fairvision.comparison import over_seeds
from fairvision.exceptions import DatasetError, FairvisionWarning, InputError, RunError
from fairvision.recipes import (
    Recipe,
    count_rows,
    find_recipe,
    find_recipes,
    plan,
    read_recipe,
    reproduce,
)
from fairvision.recipes._results import _medians

GOOD = """
title = "Two rows"
method = "reweighing"
table = "Table 1"
claim = "the second is better."
deviations = ["Drawn faces."]

[[measure]]
name = "accuracy"
title = "accuracy, %"
scale = 100.0
digits = 1

[[measure]]
name = "true_positive_rate_group_variance"
title = "variance"

[[row]]
label = "plain"
method = "erm"

[[row]]
label = "weighted"
method = "reweighing"

[paper.hat.weighted]
accuracy = 97.5

[data.faces]
load = { n_samples = 400, image_size = 24, random_state = 0 }
compare = { confounding = 0.9, n_train = 120, n_test = 80, n_boot = 30 }

[data.faces.small]
compare = { max_epochs = 1, balanced_baseline = true }
params = { plain = { lr = 1e-4 } }
seeds = 2
deviations = ["Few rows."]

[data.faces.large]
rows = ["plain"]
compare = { max_epochs = 30 }

[[data.faces.block]]
name = "hat"
load = { target = "eyeglasses", sensitive = "hat" }

[[data.faces.block]]
name = "smile"
load = { target = "smiling", sensitive = "hat" }
compare = { confounding = 0.7 }
params = { plain = { lr = 1e-2 } }
"""


def read(text: str = GOOD) -> Recipe:
    return read_recipe(text, name="two", distribution="here", package="fairvision")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('title = "Two rows"', "title = 3", "title = 3; expected a text"),
        ('table = "Table 1"', "", "table = None; expected a text"),
        ('claim = "the', 'clam = "the', "has clam"),
        ("scale = 100.0", "factor = 100.0", "measure has factor"),
        ('method = "erm"', "", "row has method = None"),
        ('label = "weighted"', 'label = "plain"', "two rows with the same label"),
        ("max_epochs = 1,", "epochs = 1,", r"data.faces.small.compare has epochs"),
        ('rows = ["plain"]', 'rows = ["plane"]', r"names the rows \['plane'\]"),
        ("params = { plain = { lr = 1e-4 } }", "params = { plane = {} }", "small.params has plane"),
        ('name = "hat"', "", "block has name = None"),
        ('name = "smile"', 'name = "hat"', "has a name twice"),
        ('name = "smile"', 'name = "smile"\ngroup = "hat"', "has a name twice"),
        ('name = "smile"', 'name = "smile"\ngroup = 3', "group = 3; expected a text"),
        ('name = "hat"', 'name = "hat"\nrows = ["plane"]', "block 'hat' names the rows"),
        ("accuracy = 97.5", 'accuracy = "97.5"', "expected a number"),
        ("accuracy = 97.5", "accurate = 97.5", "has accurate"),
        ('title = "Two rows"', "title = ", "is not valid TOML"),
    ],
)
def test_a_recipe_that_is_wrong_says_where(old: str, new: str, match: str) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(InputError, match=match):
        read(GOOD.replace(old, new, 1))


def test_the_special_goes_before_the_general() -> None:
    hat, smile = plan(read(), "faces", "small")
    assert (hat.name, smile.name) == ("hat", "smile")
    assert hat.load == {"n_samples": 400, "image_size": 24, "random_state": 0} | {
        "target": "eyeglasses", "sensitive": "hat",
    }  # fmt: skip
    assert (hat.compare["confounding"], smile.compare["confounding"]) == (0.9, 0.7)
    assert [row.params for row in hat.rows] == [{"lr": 1e-4}, {}]
    assert [row.params for row in smile.rows] == [{"lr": 1e-2}, {}]
    # Two rows and the control, two seeds; one epoch of two batches of 64 each.
    assert (hat.n_runs, hat.n_steps) == (6, 12)
    (large, _) = plan(read(), "faces", "large", seeds=4, root="there")
    assert [row.label for row in large.rows] == ["plain"]
    assert (large.seeds, large.n_runs, large.load["root"]) == (4, 4, "there")


def test_params_may_be_for_all_rows_of_a_method() -> None:
    text = GOOD.replace(
        'label = "weighted"', 'label = "again"\nmethod = "erm"\n[[row]]\nlabel = "weighted"'
    )
    text = text.replace(
        "plain = { lr = 1e-4 }", "plain = { lr = 1e-4 }, erm = { lr = 3e-4, batch_size = 8 }"
    )
    hat, smile = plan(read(text), "faces", "small")
    # The label goes before the method, and the block before both.
    own = {"lr": 3e-4, "batch_size": 8}
    assert [row.params for row in hat.rows] == [own | {"lr": 1e-4}, own, {}]
    assert [row.params for row in smile.rows] == [own | {"lr": 1e-2}, own, {}]


def test_a_block_may_have_its_own_rows_and_data() -> None:
    own = 'name = "hat"\nrows = ["weighted"]\nprepare = "fairvision.datasets:load_faces"'
    text = GOOD.replace('name = "hat"', own).replace(
        "seeds = 2", 'seeds = 2\nprepare = "fairvision:make"'
    )
    hat, smile = plan(read(text), "faces", "small")
    assert [row.label for row in hat.rows] == ["weighted"]
    assert [row.label for row in smile.rows] == ["plain", "weighted"]
    assert (hat.prepare, smile.prepare) == ("fairvision.datasets:load_faces", "fairvision:make")


@pytest.mark.parametrize(("data", "scale"), [("celeba", "small"), ("faces", "full")])
def test_what_it_has_not(data: str, scale: str) -> None:
    with pytest.raises(InputError, match="it has"):
        plan(read(), data, scale)


def test_the_table_is_that_of_the_comparisons(tmp_path: Path) -> None:
    found = reproduce(read(), seeds=3, out=tmp_path, progress=False, report=False)
    assert list(found.comparisons) == ["hat", "smile"]
    results = found.results.set_index(["block", "row", "measure"])
    for block, comparison in found.comparisons.items():
        for method in ("plain", "erm-balanced", "weighted"):
            runs = [run for run in comparison.runs if run.method == method]
            mine = results.loc[block, method, "accuracy"]
            right = [np.mean(run.y_true == run.y_pred) for run in runs]
            assert mine["value"] == pytest.approx(100 * np.mean(right))
            assert mine["lower"] <= mine["value"] <= mine["upper"]
            groups = comparison.sensitive_features
            variances = []
            for run in runs:
                hat = groups["hat"].to_numpy()[run.rows]
                positive = run.y_true == 1
                recalls = [(run.y_pred == 1)[positive & (hat == h)].mean() for h in np.unique(hat)]
                variances.append(np.var(recalls))
            own = results.loc[block, method, "true_positive_rate_group_variance"]
            assert own["value"] == pytest.approx(np.mean(variances))
    assert results.loc["hat", "weighted", "accuracy"]["paper"] == 97.5
    assert results["paper"].count() == 1

    text = (tmp_path / "table.md").read_text()
    assert text == found.to_markdown()
    for shown in ("97.5", "the second is better.", "- Drawn faces.", "- Few rows.", "3 seeds"):
        assert shown in text
    stored = json.loads((tmp_path / "reproduction.json").read_text())
    assert len(stored["results"]) == len(found.results) == 12
    assert stored["deviations"] == ["Drawn faces.", "Few rows."]

    again = reproduce(read(), seeds=3, out=tmp_path, progress=False, report=False)
    assert all(comparison.reused == 9 for comparison in again.comparisons.values())
    assert again.to_markdown() == text


GROUPED = (
    GOOD.replace('name = "smile"', 'name = "smile"\ngroup = "both"')
    .replace('name = "hat"', 'name = "hat"\ngroup = "both"')
    .replace("[paper.hat.weighted]", "[paper.both.weighted]")
)


def test_a_group_is_the_median_over_its_blocks() -> None:
    found = reproduce(read(GROUPED), seeds=1, progress=False, report=False)
    assert list(found.results["block"].unique()) == ["both", "hat", "smile"]
    assert set(found.results["median_of"]) == {2, 0}
    lines = found.results.set_index(["row", "measure", "block"])
    for end in ("value", "lower", "upper"):
        own = lines[end].unstack()
        np.testing.assert_allclose(own["both"], own[["hat", "smile"]].mean(axis=1, skipna=False))
    assert lines["paper"].dropna().to_dict() == {("weighted", "accuracy", "both"): 97.5}
    text = found.to_markdown()
    assert "| both (median of 2) | weighted |" in text
    assert "ends of its interval, which is as wide as for one block" in text


def test_medians_are_formed_in_each_seed() -> None:
    def block(*values: float, seeds: Any = (0, 1, 2)) -> pd.DataFrame:
        index = pd.MultiIndex.from_product(
            [["a"], seeds, ["m"]], names=["method", "seed", "metric"]
        )
        return pd.DataFrame(dict.fromkeys(("value", "lower", "upper"), values), index=index)

    found = _medians([block(1, 5, 9), block(2, 6, 7), block(30, 4, 8)])
    assert found["value"].tolist() == [2, 5, 8]
    (line,) = over_seeds(found).itertuples()
    assert (line.value, line.n_seeds) == (5, 3)
    assert line.upper - line.value == pytest.approx(
        4.3027 * 3 / np.sqrt(3), rel=1e-4
    )  # Student's t
    assert np.isnan(_medians([block(1, 5, 9), block(2, np.nan, 7)])["value"].tolist()[1])
    failed = _medians([block(1, 5, 9), block(2, 7, seeds=(0, 2))])
    assert failed["value"].tolist() == [1.5, 8]


def test_rows_may_share_what_lies_in_the_folder(tmp_path: Path) -> None:
    text = GOOD.replace("{ lr = 1e-4 }", '{ backbone = "{out}/net" }')
    found = reproduce(read(text), seeds=1, out=tmp_path, progress=False, report=False)
    assert f"{tmp_path}/net" in found.comparisons["hat"].failures["plain", 0]
    assert found.results.empty
    assert "- hat: plain, seed 0 failed: " in found.to_markdown()
    # Without a folder there is nothing to share: the parameter's default stays.
    found = reproduce(read(text), seeds=1, progress=False, report=False)
    assert not found.comparisons["hat"].failures


@pytest.mark.long
def test_workers_and_checkpoints_change_no_number(tmp_path: Path) -> None:
    how: dict[str, Any] = {"seeds": 1, "progress": False, "report": False}
    serial = reproduce(read(), **how)
    spread = reproduce(read(), **how, n_jobs=2, checkpoint_every=1, out=tmp_path)
    assert spread.to_dict() == serial.to_dict()
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_the_command_hands_on_who_does_the_runs() -> None:
    pytest.importorskip("fairvision_jlu")
    from fairvision.cli import main

    def said(*words: str) -> str:
        with pytest.raises(click.ClickException) as caught:
            main(["reproduce", "jlu-age", "--seeds", "1", *words], standalone_mode=False)
        return caught.value.message

    assert "checkpoints need a folder" in said("--checkpoint-every", "2")
    assert "'loky' works on this machine only" in said("--address", "tcp://127.0.0.1:1")
    assert "n_jobs is 0" in said("--jobs", "0")


def test_a_scale_may_train_on_features(tmp_path: Path) -> None:
    import torch
    from torchvision.models import shufflenet_v2_x0_5

    features = 'seeds = 2\nfeatures = { backbone = "shufflenet_v2_x0_5", image_size = 32 }'
    recipe = read(GOOD.replace("seeds = 2", features))
    with pytest.raises(InputError, match=r"features of shufflenet.*Pass weights"):
        reproduce(recipe, progress=False)
    weights = tmp_path / "weights.pth"
    torch.save(shufflenet_v2_x0_5().state_dict(), weights)
    out = tmp_path / "out"
    settings: dict[str, Any] = {"seeds": 1, "progress": False, "report": False, "out": out}
    made = reproduce(recipe, weights=str(weights), **settings)
    assert not made.failures
    assert len(list((out / "features").glob("*/features.f32"))) == 1
    again = reproduce(recipe, weights=str(weights), **settings)
    pd.testing.assert_frame_equal(made.results, again.results)


def test_a_link_in_the_folder_is_not_written_through(tmp_path: Path) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    out.mkdir()
    (out / "smile").symlink_to(elsewhere)
    with pytest.raises(RunError, match="smile is a link"):
        reproduce(read(), out=out, progress=False)
    assert not list(elsewhere.iterdir())


def test_only_the_own_package_prepares_data() -> None:
    text = GOOD.replace("[data.faces]", '[data.faces]\nprepare = "os:getcwd"')
    with pytest.raises(InputError, match="only functions of fairvision may be called"):
        reproduce(read(text), progress=False)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fairvision_jlu")
    from fairvision.cli import main

    def run(*words: str) -> Any:
        main(["reproduce", *words, "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    listed = {recipe["name"]: recipe for recipe in run("--list")}
    assert listed["jlu-age"]["from"] == "fairvision-jlu"
    (block,) = run("jlu-age", "--dry-run", "--seeds", "2")
    assert (block["runs"], block["seeds"]) == (8, 2)
    with pytest.raises(click.ClickException, match="Closest: 'jlu-age'"):
        run("jlu-aeg")


def test_rows_are_counted_where_the_recipe_names_no_number() -> None:
    text = GOOD.replace(", n_train = 120, n_test = 80", ", test_size = 0.25").replace(
        "confounding = 0.9, ", ""
    )
    recipe = read(text.replace(", balanced_baseline = true", ""))
    blocks = plan(recipe, "faces", "small")
    assert {block.n_steps for block in blocks} == {None}
    random, biased = count_rows(recipe, blocks)
    assert (random.compare["n_train"], random.compare["n_test"]) == (300, 100)
    assert random.n_steps == random.n_runs * 5  # 300 rows in batches of 64, one epoch
    found = reproduce(recipe, seeds=1, progress=False, report=False)
    for block in (random, biased):
        (run, *_) = found.comparisons[block.name].runs
        assert (block.compare["n_train"], block.compare["n_test"]) == (run.n_train, run.n_test)


def test_data_that_are_not_there_are_met_by_counting(tmp_path: Path) -> None:
    text = GOOD.replace("data.faces", "data.celeba").replace(
        "n_samples = 400, image_size = 24, random_state = 0", ""
    )
    recipe = read(text.replace(", n_train = 120, n_test = 80", ""))
    unknown = plan(recipe, "celeba", "small")
    assert count_rows(recipe, unknown) == unknown
    with pytest.raises(DatasetError, match="list_attr_celeba"):
        count_rows(recipe, plan(recipe, "celeba", "small", root=str(tmp_path)))


@pytest.fixture
def two_plugins(site: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of recipes of two plugins that are loaded."""
    folders = []
    for name in ("first", "second"):
        package = site.path / f"recipes_of_{name}"
        (package / "recipes").mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "plugin.py").write_text("FAIRVISION_API = (1, 0)\n")
        entry = f"[fairvision]\nmain = {package.name}.plugin\n"
        site.add(f"fairvision-{name}", entry_points=entry)
        folders.append(package / "recipes")
    registry = site.registry()
    monkeypatch.setattr("fairvision.recipes._find.default_registry", lambda: registry)
    return folders[0], folders[1]


def test_a_broken_recipe_costs_the_others_nothing(two_plugins: tuple[Path, Path]) -> None:
    first, second = two_plugins
    (first / "good.toml").write_text(GOOD)
    (second / "broken.toml").write_text("title = ")
    with pytest.warns(FairvisionWarning, match="'broken' of fairvision-second is not valid TOML"):
        assert [recipe.name for recipe in find_recipes()] == ["good"]
    assert find_recipe("good").title == "Two rows"
    with pytest.raises(InputError, match="not valid TOML"):
        find_recipe("broken")


def test_one_name_twice_is_neither(two_plugins: tuple[Path, Path]) -> None:
    for folder in two_plugins:
        (folder / "same.toml").write_text(GOOD)
    (two_plugins[0] / "own.toml").write_text(GOOD)
    with pytest.warns(FairvisionWarning, match="both have a recipe 'same'"):
        assert [recipe.name for recipe in find_recipes()] == ["own"]
    with pytest.raises(InputError, match="fairvision-first and fairvision-second both"):
        find_recipe("same")

"""What a comparison holds: the same rows and steps for all, and the same numbers everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.comparison import Comparison
from fairvision.exceptions import DatasetError, InputError, UnknownNameError

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]


@pytest.fixture(scope="module")
def stored(
    faces: Bunch, methods: Any, small: Any, tmp_path_factory: pytest.TempPathFactory
) -> Comparison:
    out = tmp_path_factory.mktemp("stored") / "out"
    return fv.compare(faces, methods, **small, out=out)


def test_the_same_rows_and_steps_for_every_method(stored: Comparison, faces: Bunch) -> None:
    by_seed = {seed: [r for r in stored.runs if r.seed == seed] for seed in (0, 1)}
    for runs in by_seed.values():
        assert [run.method for run in runs] == ["erm", "slow"]
        np.testing.assert_array_equal(runs[0].rows, runs[1].rows)
        np.testing.assert_array_equal(runs[0].y_true, faces.target[runs[0].rows])
        assert {run.n_steps for run in runs} == {3}  # 160 rows in batches of 64
        assert {(run.n_train, run.n_test) for run in runs} == {(160, 80)}
    assert not np.array_equal(by_seed[0][0].rows, by_seed[1][0].rows)


def test_test_rows_are_balanced_over_target_and_group(stored: Comparison, faces: Bunch) -> None:
    for run in stored.runs:
        cells = pd.crosstab(run.y_true, faces.sensitive_features["hat"].to_numpy()[run.rows])
        assert (cells == 20).all(axis=None)


def test_another_learning_rate_is_another_model(stored: Comparison) -> None:
    erm, slow = (next(r for r in stored.runs if r.method == name) for name in ("erm", "slow"))
    assert not np.array_equal(erm.y_score, slow.y_score)


def test_the_numbers_are_those_of_the_predictions(stored: Comparison, faces: Bunch) -> None:
    for run, row in zip(stored.runs, stored.results.itertuples(), strict=True):
        right = run.y_true == run.y_pred
        assert row.accuracy == pytest.approx(right.mean())
        groups = faces.sensitive_features["hat"].iloc[run.rows].to_numpy()
        cells = pd.Series(right).groupby([run.y_true, groups]).mean()
        assert row.worst_group_accuracy == pytest.approx(cells.min())
        code, group = cells.index[cells.argmin()]
        assert row.worst_group == f"{faces.target_names[code]} x {group}"
        assert run.worst_group["n"] == 20


def test_the_folder_holds_what_the_comparison_says(stored: Comparison) -> None:
    table = pd.read_csv(stored.out / "results.csv")
    pd.testing.assert_frame_equal(table, stored.results, check_dtype=False)
    text = (stored.out / "comparison.json").read_text()
    assert json.loads(text) == json.loads(json.dumps(stored.to_dict(), allow_nan=False))
    for run in stored.runs:
        folder = stored.out / run.method / f"seed-{run.seed}"
        held = json.loads((folder / "run.json").read_text())
        assert held["evaluation"]["overall"] == run.evaluation["overall"]
        assert [epoch["epoch"] for epoch in held["history"]] == [1]
        with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
            assert set(arrays) == {"rows", "y_true", "y_pred", "y_score"}
            np.testing.assert_array_equal(arrays["y_score"], run.y_score)
    made = {path.name for path in stored.out.iterdir()}
    assert made == {".lock", "plan.json", "results.csv", "comparison.json", "erm", "slow"}


def test_the_same_call_gives_the_same_bits(
    stored: Comparison, compare: Compare, methods: Any
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = compare(methods)
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(stored.runs, again.runs, strict=True):
        np.testing.assert_array_equal(one.y_score, other.y_score)
    pd.testing.assert_frame_equal(stored.summary, again.summary)
    pd.testing.assert_frame_equal(stored.differences, again.differences)


def test_data_by_name_and_data_given_agree(
    stored: Comparison, compare: Compare, methods: Any, faces_params: Any
) -> None:
    named = compare(methods, dataset="faces", dataset_params=faces_params)
    pd.testing.assert_frame_equal(stored.summary, named.summary)


def test_the_order_of_seeds_and_methods_is_that_of_the_call(compare: Compare, methods: Any) -> None:
    found = compare(dict(reversed(methods.items())), seeds=(4, 2), n_test=40)
    order = [(run.method, run.seed) for run in found.runs]
    assert order == [("slow", 4), ("slow", 2), ("erm", 4), ("erm", 2)]
    assert list(found.table().index) == ["slow", "erm"]


def test_text_says_what_there_is(stored: Comparison) -> None:
    table = stored.table()
    assert list(table.loc["erm"])[:1] == ["never"]
    value = stored.summary.loc[("erm", "accuracy"), "value"]
    assert table.loc["erm", "accuracy"].startswith(f"{value:.3f} [")
    assert table.loc["erm", "steps"] == "3"
    minus = stored.difference_table()
    assert list(minus.index) == ["slow"]
    assert minus.loc["slow", "accuracy"][0] in "+-"
    text = str(stored)
    assert "Minus erm" in text
    assert "eyeglasses (no eyeglasses, eyeglasses)" in text
    assert "160 rows to train on, 80 to test on." in text
    assert "Worst group of slow: " in text
    assert "it does not cover training noise" in text  # of two seeds


def test_hostile_labels_are_escaped_in_html(compare: Compare) -> None:
    page = compare({"<script>alert(1)</script>": "erm"}, seeds=1)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_different_steps_are_said(compare: Compare) -> None:
    found = compare({"erm": "erm", "small": ("erm", {"batch_size": 16})}, seeds=1)
    assert any("different numbers of optimisation steps (3 to 10)" in n for n in found.notes())


def test_a_random_split_is_stratified(compare: Compare, faces: Bunch) -> None:
    found = compare(seeds=1, confounding=None, n_train=None, n_test=None, test_size=0.4)
    (run,) = found.runs
    assert (run.n_train, run.n_test) == (300, 200)
    hats = faces.sensitive_features["hat"].to_numpy()
    here = pd.crosstab(run.y_true, hats[run.rows]) / 200
    there = pd.crosstab(faces.target, hats) / 500
    np.testing.assert_allclose(here, there, atol=0.01)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"methods": ["ern"]}, UnknownNameError, "'ern'.*Closest: 'erm'"),
        ({"methods": ["erm", "erm"]}, InputError, "a label twice"),
        ({"methods": []}, InputError, "methods is empty"),
        ({"params": {"erm": {"momentum": 1}}}, InputError, "no parameter 'momentum'"),
        ({"params": {"slow": {"lr": 1}}}, InputError, r"\['slow'\].*\['erm'\]"),
        ({"params": {"erm": {"backbone": "no-such-net"}}, "seeds": 1}, None, "no-such-net"),
        ({"preset": "papr"}, InputError, "'papr'.*Closest: 'paper'"),
        ({"seeds": 0}, InputError, "seeds is 0"),
        ({"seeds": (1, 1)}, InputError, "distinct"),
        ({"seeds": (-1,)}, InputError, "from 0"),
        ({"seeds": "ab"}, InputError, "seeds is 'ab'"),
        ({"n_jobs": 0}, InputError, "n_jobs is 0"),
        ({"n_threads": 0}, InputError, "n_threads is 0"),
        ({"max_epochs": -1}, InputError, "max_epochs is -1"),
        ({"n_boot": -1}, InputError, "n_boot is -1"),
        ({"device": "gpu"}, InputError, "device is 'gpu'; pass 'auto'"),
        ({"device": "cuda:99"}, InputError, "device is 'cuda:99', but torch sees"),
        ({"device": None}, InputError, "device is None; pass 'auto'"),
        ({"confounding": None}, InputError, "n_train and n_test need confounding"),
        ({"test_size": 1.0}, InputError, "test_size is 1.0"),
        ({"n_train": 4000}, DatasetError, "n_train can be 214 at most"),
        ({"dataset_params": {"n_samples": 9}}, InputError, "given by name"),
        ({"dataset": "face"}, UnknownNameError, "'face'.*Closest: 'faces'"),
        ({"dataset": "faces", "dataset_params": {"target": "moustache"}}, DatasetError, "eyeglas"),
        ({"dataset": "faces", "dataset_params": {"sensitive": "sex"}}, DatasetError, "skin_tone"),
        ({"dataset": "faces", "dataset_params": {"size": 3}}, DatasetError, "image_size"),
        ({"dataset": Bunch(images=np.zeros((2, 1, 8, 8)))}, InputError, "no target, sensitive"),
    ],
)
def test_bad_input_is_met_before_anything_is_written(
    compare: Compare, tmp_path: Path, changed: dict[str, Any], error: Any, words: str
) -> None:
    if error is None:  # known only when the net is built: a failed run
        assert words in str(compare(**changed))
        return
    with pytest.raises(error, match=words):
        compare(**changed, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_methods_are_looked_up_before_data_are_read(compare: Compare, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Closest: 'erm'"):
        compare("ern", dataset="utkface", dataset_params={"root": tmp_path / "nowhere"})


def test_confounding_needs_two_groups_and_says_how(compare: Compare, faces_params: Any) -> None:
    with pytest.raises(DatasetError, match=r"'skin_tone' has 6.*'skin_tone=VI'"):
        compare(dataset="faces", dataset_params=faces_params | {"sensitive": "skin_tone"})
    with pytest.raises(DatasetError, match=r"got 2: \['hat', 'beard'\]"):
        compare(dataset="faces", dataset_params=faces_params | {"sensitive": ["hat", "beard"]})


def test_a_class_of_one_row_cannot_be_split(compare: Compare, faces: Bunch) -> None:
    target = np.zeros(len(faces.target), dtype=int)
    target[0] = 1
    data = Bunch(**{**faces, "target": target, "target_name": "rare"})
    with pytest.raises(DatasetError, match="'rare' cannot be split"):
        compare(dataset=data, confounding=None, n_train=None, n_test=None)


def test_groups_may_be_a_series_and_targets_text(faces: Bunch, tmp_path: Path, small: Any) -> None:
    names = np.array(faces.target_names, dtype=object)[faces.target]
    data = Bunch(
        images=faces.images, target=names, sensitive_features=faces.sensitive_features["hat"]
    )
    params = small | {"seeds": 1, "out": tmp_path / "out"}
    found = fv.compare(data, "erm", **params)
    assert set(found.runs[0].y_true) == set(names)
    assert fv.compare(data, "erm", **params).reused == 1  # nothing needs pickle on disk
    coded = fv.compare(faces, "erm", **small | {"seeds": 1})
    value = ("erm", "worst_group_accuracy"), "value"
    assert found.summary.loc[value] == coded.summary.loc[value]


def test_data_may_bring_what_fit_takes(compare: Any, faces: Any) -> None:
    split = np.where(np.arange(500) < 300, "train", "test")
    fixed = type(faces)(**{**faces, "split": split})
    kept = (faces.target[:300] == 1).astype(float)
    weighted = type(faces)(**{**fixed, "fit_params": {"sample_weight": kept, "unheard_of": 1}})
    how = {"confounding": None, "n_train": None, "n_test": None, "seeds": 1, "max_epochs": 4}
    plain, one_class = compare(dataset=fixed, **how), compare(dataset=weighted, **how)
    assert set(plain.runs[0].y_pred) == {0, 1}
    assert set(one_class.runs[0].y_pred) == {1}  # rows of the other class weighed nothing
    assert "fit is also given sample_weight, unheard_of" in str(one_class)
    with pytest.raises(InputError, match="other than X, y and sensitive_features"):
        compare(dataset=type(faces)(**{**fixed, "fit_params": {"y": kept}}), **how)
    # A folder's runs are those of the same parameters.
    assert plain.runs[0].request != one_class.runs[0].request


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 1}, "'eyeglasses' is 1 in every row; a comparison needs two classes"),
        ({"target_name": "hat", "target": "hat"}, "'hat' is both target and sensitive. Name ano"),
    ],
)
def test_labels_that_compare_nothing_are_refused(
    faces: Bunch, change: dict[str, Any], message: str
) -> None:
    labels = faces.sensitive_features["hat"].to_numpy()
    target = labels if change["target"] == "hat" else np.ones(len(labels), dtype=int)
    with pytest.raises(InputError, match=message):
        fv.compare(Bunch(**{**faces, **change, "target": target}), seeds=1)


def test_a_single_group_is_said_first(compare: Compare, faces: Bunch) -> None:
    groups = faces.sensitive_features.assign(hat="no")
    alone = Bunch(**{**faces, "sensitive_features": groups})
    found = compare("erm", alone, seeds=1, confounding=None, n_train=None, n_test=None)
    assert found.notes()[0] == "hat has one group, no: no gap can be measured."

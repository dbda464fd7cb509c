"""Plain training on rows without the bias: the same size, the same test rows, marked."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils import Bunch

from fairvision.cli import main
from fairvision.comparison import Comparison
from fairvision.comparison.balanced_baseline import with_balanced_baseline
from fairvision.comparison.split import split_rows
from fairvision.datasets import subset
from fairvision.exceptions import DatasetError, InputError
from fairvision.metrics import evaluate_predictions

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]


def cells(data: Bunch) -> Any:
    """The target x group cell of each row."""
    groups = data.sensitive_features.iloc[:, 0].to_numpy().astype(str)
    names = np.char.add(data.target.astype(str), groups)
    return np.unique(names, return_inverse=True)[1]


def test_as_many_rows_without_the_bias(compare: Compare, faces: Bunch) -> None:
    found = compare(
        {"slow": ("erm", {"lr": 1e-4}), "jlu": "erm"}, balanced_baseline=True, baseline="slow"
    )
    assert [method.label for method in found.plan.methods] == ["slow", "erm-balanced", "jlu"]
    by = {(run.method, run.seed): run for run in found.runs}
    for seed in (0, 1):
        np.testing.assert_array_equal(by["slow", seed].rows, by["erm-balanced", seed].rows)
        assert by["slow", seed].n_train == by["erm-balanced", seed].n_train == 160
        train, test = split_rows(faces, found.plan.split, seed, balanced=True)
        assert np.bincount(cells(faces)[train]).tolist() == [40] * 4
        assert not set(train) & set(test)
        # It trains on these rows: the scores are others than those of the biased ones.
        assert (by["slow", seed].y_score != by["erm-balanced", seed].y_score).any()
    # With the parameters of the plain training that stands beside it.
    assert found.plan.methods[1].params == {"lr": 1e-4}


def test_amplified_is_the_bias_of_the_biased_rows(compare: Compare, faces: Bunch) -> None:
    """The balanced baseline's own rows have none, and every value would be 0."""
    found = compare("erm", balanced_baseline=True, seeds=1, max_epochs=6)
    run, (biased, _) = found.runs[1], split_rows(faces, found.plan.split, 0)
    expected = evaluate_predictions(
        run.y_true,
        run.y_pred,
        sensitive_features=faces.sensitive_features.iloc[run.rows],
        metrics=["bias_amplification"],
        n_boot=0,
        train=(faces.target[biased], faces.sensitive_features.iloc[biased]),
    ).disparities.loc["bias_amplification", "value"]
    assert run.method == "erm-balanced"
    assert run.evaluation["disparities"]["bias_amplification"]["value"] == expected != 0


def test_it_comes_with_everything_and_else_if_asked_for(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairvision.comparison.methods._pairs", lambda _: [("erm", "erm")])
    labels = [method.label for method in compare("all", seeds=1).plan.methods]
    assert labels == ["erm", "erm-balanced"]
    for more in (
        {"balanced_baseline": False},
        {"confounding": None, "n_train": None, "n_test": None},
    ):
        assert len(compare("all", seeds=1, **more).plan.methods) == 1
    assert len(compare("erm", seeds=1).plan.methods) == 1


def test_too_few_balanced_rows(compare: Compare, faces: Bunch, tmp_path: Path) -> None:
    """Asked for, it is an error before anything is written; not asked for, a note."""
    cell = cells(faces)
    train, _ = split_rows(faces, compare("erm", seeds=1).plan.split, 0)
    rare = np.bincount(cell[train]).argmin()
    kept = np.setdiff1d(np.arange(len(cell)), np.flatnonzero(cell == rare)[35:])
    few = subset(faces, kept)
    with pytest.raises(DatasetError, match="Too few rows"):
        compare("erm", few, balanced_baseline=True, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    plan = compare("erm", few, seeds=1).plan
    methods, notes = with_balanced_baseline(plan.methods, few, plan.split, (0,), wanted=None)
    assert methods == plan.methods
    assert notes[0].startswith("No balanced baseline. Too few rows")


def test_it_needs_a_bias_and_plain_training(compare: Compare) -> None:
    with pytest.raises(InputError, match="it needs confounding and erm"):
        compare("erm", balanced_baseline=True, confounding=None, n_train=None, n_test=None)
    with pytest.raises(InputError, match="label of the balanced baseline"):
        compare({"erm": "erm", "erm-balanced": "erm"}, balanced_baseline=True)


def test_the_command_that_is_printed_does_it_again(
    tmp_path: Path, faces_params: dict[str, Any], compare: Compare
) -> None:
    found = compare(
        "erm", "faces", dataset_params=faces_params, balanced_baseline=True, out=tmp_path / "a"
    )
    words = shlex.split(found.report_data()["command"])
    assert "--balanced-baseline" in words
    assert words[words.index("--methods") + 1] == "erm"
    assert (
        main([*words[1:], "--out", str(tmp_path / "b"), "--quiet"], standalone_mode=False) is None
    )
    same = [
        (tmp_path / folder / "erm-balanced" / "seed-1" / "predictions.npz").read_bytes()
        for folder in "ab"
    ]
    assert same[0] == same[1]

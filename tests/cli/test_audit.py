"""``fairvision audit`` on files of every kind, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from fairvision.cli import main


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    skin, sex = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    true = rng.integers(0, 2, 400)
    right = rng.random(400) < np.where(skin == 1, 0.9, 0.6)
    pred = np.where(right, true, 1 - true)
    return pd.DataFrame(
        {
            "y": np.array(["no", "yes"])[true],
            "p": np.array(["no", "yes"])[pred],
            "s": np.clip(0.2 + 0.5 * pred + 0.3 * rng.random(400), 0, 1),
            "skin": np.array(["dark", "light"])[skin],
            "sex": sex,
            "w": 1.0,
        }
    )


@pytest.fixture
def csv(table: pd.DataFrame, tmp_path: Path) -> Path:
    table.to_csv(tmp_path / "predictions.csv", index=False)
    return tmp_path / "predictions.csv"


def audit(path: Path, *options: str, sensitive: str = "skin") -> Result:
    arguments = ["--y-true", "y", "--y-pred", "p", "--sensitive", sensitive, "--n-boot", "100"]
    return CliRunner().invoke(main, ["audit", str(path), *arguments, "--seed", "0", *options])


def as_json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_table_names_groups_metrics_and_intervals(csv: Path) -> None:
    result = audit(csv, "--y-score", "s", "--privileged", "skin=light")
    assert result.exit_code == 0, result.output
    for word in ("dark", "light", "accuracy_gap", "95% INTERVAL", "roc_auc", "disparate_impact"):
        assert word in result.stdout


def test_json_agrees_with_the_library(csv: Path, table: pd.DataFrame) -> None:
    from fairvision.metrics import evaluate_predictions

    found = as_json(audit(csv, "--json"))
    direct = evaluate_predictions(
        table["y"], table["p"], sensitive_features=table[["skin"]], n_boot=100, random_state=0
    )
    assert found == {**json.loads(json.dumps(direct.to_dict())), "failed": []}
    assert found["disparities"]["accuracy_gap"]["value"] > 0.2


def test_csv_npz_and_parquet_give_the_same_numbers(
    csv: Path, table: pd.DataFrame, tmp_path: Path
) -> None:
    expected = as_json(audit(csv, "--json"))
    columns = {name: table[name].to_numpy() for name in table}
    columns = {n: c.astype(str) if c.dtype == object else c for n, c in columns.items()}
    np.savez(tmp_path / "predictions.npz", **columns)
    assert as_json(audit(tmp_path / "predictions.npz", "--json")) == expected
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "predictions.parquet")
    assert as_json(audit(tmp_path / "predictions.parquet", "--json")) == expected


def test_parquet_without_its_reader_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyarrow", "pyarrow.parquet", "fastparquet"):
        monkeypatch.setitem(sys.modules, name, None)  # as where it is not installed
    (tmp_path / "predictions.parquet").write_bytes(b"")
    result = audit(tmp_path / "predictions.parquet")
    assert result.exit_code == 2
    assert "fairvision[parquet]" in result.stderr


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("accuracy_gap>0.1", 1),
        ("accuracy-gap > 0.1", 1),
        ("accuracy_gap>0.9", 0),
        ("accuracy_gap.upper>=0.2", 1),
        ("worst_group_accuracy<0.9", 1),
        ("worst_group_accuracy.lower<=0", 0),
        ("theil_index_gap>0", 2),
        ("accuracy_gap", 2),
        ("accuracy_gap>much", 2),
    ],
)
def test_exit_code_of_a_condition(csv: Path, condition: str, code: int) -> None:
    result = audit(csv, "--fail-if", condition)
    assert result.exit_code == code, result.output
    assert ("FAILED" in result.stderr) is (code == 1)


def test_an_undefined_gate_does_not_pass(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    table[(table["skin"] == "light") | (table["y"] == "no")].to_csv(path, index=False)
    result = audit(path, "--fail-if", "equal_opportunity_difference>0.5")
    assert result.exit_code == 1
    assert "undefined" in result.stderr
    assert "no positives in group dark" in result.stderr


def test_a_condition_is_tested_in_every_grouping(csv: Path) -> None:
    result = audit(csv, "--fail-if", "accuracy_gap>0.15", "--json", sensitive="skin,sex")
    failed = json.loads(result.stdout)["failed"]
    assert result.exit_code == 1
    assert any("over skin x sex" in reason for reason in failed)
    assert any("over skin is" in reason for reason in failed)
    assert not any("over sex is" in reason for reason in failed)


def test_chosen_metrics_and_numeric_labels(csv: Path) -> None:
    options = ("--metrics", "accuracy,accuracy_gap", "--privileged", "sex=1", "--json")
    found = as_json(audit(csv, *options, sensitive="sex"))
    assert list(found["disparities"]) == ["accuracy_gap"]
    assert [group["group"] for group in found["by_group"]] == [{"sex": 0}, {"sex": 1}]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--y-score", "nope"), "not a column"),
        (("--privileged", "skin=blue"), "not a label"),
        (("--privileged", "blue"), "column=label"),
        (("--pos-label", "maybe"), "not a label"),
        (("--metrics", "nonsense"), "unknown metric"),
        (("--weight", "y"), "y"),
    ],
)
def test_unusable_options_are_one_line_and_exit_2(
    csv: Path, options: tuple[str, ...], word: str
) -> None:
    result = audit(csv, *options)
    assert result.exit_code == 2, result.output
    assert word in result.stderr
    assert "Traceback" not in result.output


def test_groups_called_none_are_groups_and_empty_ones_are_missing(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.csv"
    table["skin"] = table["skin"].replace({"dark": "None"})
    table.to_csv(path, index=False)
    assert as_json(audit(path, "--json"))["by_group"][0]["group"] == {"skin": "None"}
    table.loc[:4, "skin"] = ""
    table.to_csv(path, index=False)
    assert "5 missing" in audit(path).stderr
    assert len(as_json(audit(path, "--json", "--missing", "group"))["by_group"]) == 3


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    for name in ("x.xlsx", "x.npz", "x.csv"):
        (tmp_path / name).write_bytes(b"")
        result = audit(tmp_path / name)
        assert result.exit_code == 2
        assert name in result.stderr


def test_the_positive_class_is_named_and_a_score_of_the_other_one_too(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "loans.csv"
    swap = {"no": "denied", "yes": "approved"}  # sorted, approved comes first
    table.assign(y=table["y"].map(swap), p=table["p"].map(swap)).to_csv(path, index=False)
    output = audit(path, "--y-score", "s").stdout
    assert "Positive class: denied" in output
    assert "far below 0.5" in output
    assert "'denied'" in output
    right = audit(path, "--y-score", "s", "--pos-label", "approved").stdout
    assert "Positive class: approved" in right
    assert "far below" not in right


def test_scores_alone_are_enough_with_a_threshold(csv: Path, table: pd.DataFrame) -> None:
    def scores(*options: str) -> Result:
        words = ["--y-true", "y", "--y-score", "s", "--sensitive", "skin", "--n-boot", "0"]
        return CliRunner().invoke(main, ["audit", str(csv), *words, *options])

    found = as_json(scores("--threshold", "0.6", "--json"))
    right = (table["s"] >= 0.6) == (table["y"] == "yes")
    assert found["overall"]["accuracy"]["value"] == pytest.approx(right.mean())
    # The scores are then those of "no", and the rest is "yes".
    other = as_json(scores("--threshold", "0.6", "--pos-label", "no", "--json"))
    assert other["overall"]["accuracy"]["value"] == pytest.approx(1 - right.mean())
    for options, word in (
        ((), "pass --y-pred, or --y-score with --threshold"),
        (("--threshold", "0.5", "--y-pred", "p"), "one of the two"),
        (("--threshold", "nan"), "--threshold is nan; pass a number"),
        (("--threshold", "60"), "--threshold is 60, but the scores are"),
        (("--threshold", "0.5", "--y-score", "skin"), "not numeric"),
        (("--threshold", "0.5", "--y-true", "s"), "two labels"),
    ):
        result = scores(*options)
        assert result.exit_code == 2
        assert word in " ".join(result.stderr.split()), result.stderr

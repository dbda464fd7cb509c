"""``fairvision audit`` of two files: the same rows, different rows, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from fairvision.cli import main
from fairvision.metrics import paired_difference

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/audit-schema.json").read_text())


def predictions(n: int, accuracy: tuple[float, float], seed: int) -> pd.DataFrame:
    """Rows of two groups that are classified with different accuracy."""
    rng = np.random.default_rng(seed)
    sex, skin, y = rng.integers(0, 2, (3, n))
    predicted = np.where(rng.random(n) < np.take(accuracy, sex), y, 1 - y)
    return pd.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(n)],
            "y": np.array(["no", "yes"])[y],
            "p": np.array(["no", "yes"])[predicted],
            "sex": np.array(["f", "m"])[sex],
            "skin": np.array(["dark", "light"])[skin],
        }
    )


@pytest.fixture
def before() -> pd.DataFrame:
    return predictions(500, (0.9, 0.9), 0)


@pytest.fixture
def after(before: pd.DataFrame) -> pd.DataFrame:
    """The same rows in another order; every seventh of group f is predicted otherwise."""
    changed = before.copy()
    rows = changed.index[changed["sex"] == "f"][::7]
    changed.loc[rows, "p"] = changed.loc[rows, "p"].map({"no": "yes", "yes": "no"})
    return changed.sample(frac=1, random_state=0)


def audit(
    tmp_path: Path, before: pd.DataFrame, after: pd.DataFrame, *options: str, sensitive: str = "sex"
) -> Result:
    paths = [tmp_path / "before.csv", tmp_path / "after.csv"]
    for path, table in zip(paths, (before, after), strict=True):
        table.to_csv(path, index=False)
    words = ["--y-true", "y", "--y-pred", "p", "--sensitive", sensitive, "--n-boot", "100"]
    return CliRunner().invoke(main, ["audit", *map(str, paths), *words, "--seed", "0", *options])


def read(result: Result) -> dict[str, Any]:
    found = json.loads(result.stdout)
    jsonschema.validate(found, SCHEMA)
    return {**found, "rows": {(r["over"], r["group"], r["metric"]): r for r in found["changes"]}}


def test_same_rows_are_paired(tmp_path: Path, before: pd.DataFrame, after: pd.DataFrame) -> None:
    paired = read(audit(tmp_path, before, after, "--id-column", "path", "--json"))
    unpaired = read(audit(tmp_path, before, after, "--json"))
    assert paired["same_rows"]
    assert not unpaired["same_rows"]
    rows = paired["rows"]
    assert rows["sex", "m", "accuracy"]["value"] == rows["sex", "m", "accuracy"]["upper"] == 0
    assert rows["sex", "f", "accuracy"]["upper"] < 0
    for key, row in rows.items():
        assert row["a"] == pytest.approx(unpaired["rows"][key]["a"])
        assert row["b"] == pytest.approx(unpaired["rows"][key]["b"])
    key = ("sex", "", "accuracy")
    widths = [one["rows"][key]["upper"] - one["rows"][key]["lower"] for one in (paired, unpaired)]
    assert widths[0] < 0.6 * widths[1]


def test_the_change_is_the_librarys(
    tmp_path: Path, before: pd.DataFrame, after: pd.DataFrame
) -> None:
    row = read(audit(tmp_path, before, after, "--id-column", "path", "--json"))["rows"]
    direct = paired_difference(
        before["y"],
        before["p"],
        after.sort_index()["p"],
        sensitive_features=before[["sex"]],
        n_boot=100,
        random_state=0,
    ).loc["accuracy_gap"]
    found = row["sex", "", "accuracy_gap"]
    assert [found["value"], found["lower"], found["upper"]] == pytest.approx(
        [-direct["value"], -direct["upper"], -direct["lower"]]
    )


def test_several_columns_and_one_file(
    tmp_path: Path, before: pd.DataFrame, after: pd.DataFrame
) -> None:
    for options in ((), ("--id-column", "path")):
        found = read(audit(tmp_path, before, after, "--json", *options, sensitive="sex,skin"))
        assert {over for over, _, _ in found["rows"]} == {"sex x skin", "sex", "skin"}
        assert ("sex x skin", "f x dark", "accuracy") in found["rows"]
    words = ["--y-true", "y", "--y-pred", "p", "--sensitive", "sex,skin", "--n-boot", "0", "--json"]
    single = CliRunner().invoke(main, ["audit", str(tmp_path / "before.csv"), *words])
    jsonschema.validate(json.loads(single.stdout), SCHEMA)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("accuracy.change<-0.02", 1),
        ("accuracy.change.upper<-0.02", 1),
        ("accuracy.change.upper<-0.08", 0),
        ("worst-group-accuracy.change<0", 1),
        ("accuracy_gap.change.lower>0.03", 1),
        ("accuracy<0.9", 1),
        ("roc_auc.change<0", 2),
    ],
)
def test_exit_code_of_a_change(
    tmp_path: Path, before: pd.DataFrame, after: pd.DataFrame, condition: str, code: int
) -> None:
    result = audit(tmp_path, before, after, "--id-column", "path", "--fail-if", condition)
    assert result.exit_code == code, result.output
    assert ("FAILED" in result.stderr) is (code == 1)


def test_a_group_of_one_file_is_undefined(tmp_path: Path, before: pd.DataFrame) -> None:
    later = predictions(400, (0.9, 0.9), 1)
    later.loc[:50, "sex"] = "x"
    rows = read(audit(tmp_path, before, later, "--json"))["rows"]
    assert rows["sex", "x", "accuracy"]["value"] is None
    assert rows["sex", "x", "accuracy"]["note"] == "a: no such group"
    assert rows["sex", "f", "accuracy"]["value"] is not None


def test_tables_and_page(tmp_path: Path, before: pd.DataFrame, after: pd.DataFrame) -> None:
    page = tmp_path / "change.html"
    result = audit(tmp_path, before, after, "--id-column", "path", "--report", str(page))
    assert "A: 500 rows, B: 500 rows, compared as the same rows." in result.stdout
    assert "B MINUS A" in result.stdout
    assert "Change over sex" in page.read_text()
    assert "after.csv against before.csv" in page.read_text()


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda t: t.iloc[:400], ("--id-column", "path"), "share 400 of 500 and 400"),
        (lambda t: t.assign(path="x.jpg"), ("--id-column", "path"), "more than once"),
        (lambda t: t.drop(columns="path"), ("--id-column", "path"), "after.csv: --id-column"),
        (lambda t: t.drop(columns="p"), (), "after.csv: --y-pred 'p' is not a column"),
        (lambda t: t.assign(y=t["y"].str.title()), (), "the true labels: before.csv has 'no'"),
        (lambda t: t.assign(sex=t["sex"].str.upper()), (), "sex: before.csv has 'f'"),
        (
            lambda t: t.assign(y=t["y"].where(t["path"] != "7.jpg", "no")),
            ("--id-column", "path"),
            "1 rows differ in true labels between",
        ),
        (
            lambda t: t.assign(sex=t["sex"].where(t["path"] != "7.jpg", "f")),
            ("--id-column", "path"),
            "1 rows differ in groups between",
        ),
    ],
)
def test_files_that_do_not_go_together_are_one_line_and_exit_2(
    tmp_path: Path, before: pd.DataFrame, change: Any, options: tuple[str, ...], words: str
) -> None:
    before.loc[7, ["y", "sex"]] = ["yes", "m"]
    result = audit(tmp_path, before, change(before.copy()), *options)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_change_needs_two_files(tmp_path: Path, before: pd.DataFrame) -> None:
    before.to_csv(tmp_path / "one.csv", index=False)
    words = ["audit", str(tmp_path / "one.csv"), "--y-true", "y", "--y-pred", "p"]
    for options in (("--fail-if", "accuracy.change<0"), ("--id-column", "path")):
        result = CliRunner().invoke(main, [*words, "--sensitive", "sex", *options])
        assert result.exit_code == 2
        assert "file" in result.stderr

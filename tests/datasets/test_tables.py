"""One reader for every table that people write: the same fields, the same data, at each door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from fairvision.cli import main
from fairvision.datasets import load_folder, read_table
from fairvision.exceptions import DatasetError


def table(tmp_path: Path, text: str, **options: Any) -> pd.DataFrame:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path, **options)


@pytest.mark.parametrize(
    ("fields", "values", "kind"),
    [
        (["1", "-2", "30"], [1, -2, 30], "i"),
        (["1", "2.5", "1e-3"], [1.0, 2.5, 0.001], "f"),
        (["007", "8", "9"], ["007", "8", "9"], "O"),
        (["1", "01", "1.0"], ["1", "01", "1.0"], "O"),
        (["00.5", "1", "2"], ["00.5", "1", "2"], "O"),
        (["True", "FALSE", "true"], [True, False, True], "b"),
        (["yes ", " no", "yes"], ["yes", "no", "yes"], "O"),
        (["n\u00e3o", "na\u0303o", "sim"], ["n\u00e3o", "n\u00e3o", "sim"], "O"),
        (["NA", "None", "null"], ["NA", "None", "null"], "O"),
        (["123456789012345678901", "1", "2"], ["123456789012345678901", "1", "2"], "O"),
        (["٣", "1", "2"], ["٣", "1", "2"], "O"),
        (["inf", "1", "-inf"], [float("inf"), 1.0, float("-inf")], "f"),
    ],
)
def test_a_column_is_what_all_its_fields_are(
    tmp_path: Path, fields: list[str], values: list[Any], kind: str
) -> None:
    column = table(tmp_path, "a,b\n" + "".join(f"{field},x\n" for field in fields))["a"]
    assert column.tolist() == values
    assert column.dtype.kind == kind
    assert [type(value) for value in column.tolist()] == [type(value) for value in values]


@pytest.mark.parametrize("field", ["", " ", "nan", "NaN", "<NA>", "NaT", '""'])
def test_missing_is_the_same_in_a_column_of_any_kind(tmp_path: Path, field: str) -> None:
    found = table(
        tmp_path,
        f"a,b,c,d\n1,1.5,x,True\n{field},{field},{field},{field}\n2,2.5,y,False\n3,1,z,True\n5,{field},{field},{field}\n",
    )
    # A row without any field is no row.
    assert found["a"].tolist() == [1, 2, 3, 5]
    assert found.isna().sum().tolist() == [0, 1, 1, 1]
    gaps = table(tmp_path, f"a,b\n1,x\n{field},y\n2,z\n")["a"]
    assert gaps.isna().tolist() == [False, True, False]
    assert str(gaps[0]) == "1"  # not 1.0: a group would be called so


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, sep: str) -> None:
    rows = [[" path ", "y", "score"], ["a.png", "1", "0.5"], ["b, c; d.png", "0", "0.25"]]
    text = "\ufeff" + "\n".join(sep.join(f'"{f}"' if "," in f else f for f in row) for row in rows)
    found = table(tmp_path, text)
    assert list(found.columns) == ["path", "y", "score"]
    assert found["path"].tolist() == ["a.png", "b, c; d.png"]
    assert found["score"].tolist() == [0.5, 0.25]
    name = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}[sep]
    pd.testing.assert_frame_equal(found, table(tmp_path, text, sep=name))


def test_a_decimal_comma_needs_another_separator(tmp_path: Path) -> None:
    assert table(tmp_path, "a;b\n0,5;x\n1;y\n-2,25;z\n")["a"].tolist() == [0.5, 1, -2.25]
    assert table(tmp_path, 'a,b\n"0,5",x\n"1,5",y\n')["a"].tolist() == ["0,5", "1,5"]
    assert table(tmp_path, "a;b\n0,5;x\n1.5;y\n")["a"].tolist() == ["0,5", "1.5"]  # no one rule


def test_two_columns_of_one_name_and_a_strange_separator_are_refused(tmp_path: Path) -> None:
    for header in ("a,a ,b", "b,a,a"):
        with pytest.raises(DatasetError, match="two columns named 'a'"):
            table(tmp_path, f"{header}\n1,2,3\n")
    with pytest.raises(DatasetError, match="'semicolon'"):
        table(tmp_path, "a,b\n1,2\n", sep="colons")


FIELDS = """\
path ; y ; p;s;group
 01.png;yes ;yes;0,9; 1
02.png; no;yes;0,6;1
03.png;yes;yes;0,8;2
04.png;no;no;0,1;2
;;;;
"""


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    for number in range(1, 5):
        Image.new("RGB", (8, 8)).save(tmp_path / f"0{number}.png")
    (tmp_path / "labels.csv").write_text(FIELDS)
    return tmp_path / "labels.csv"


def test_a_folder_and_an_audit_read_the_same_table_alike(labels: Path) -> None:
    data = load_folder(labels.parent, "labels.csv", target="y", sensitive="group", image_size=8)
    assert data.target_names == ["no", "yes"]
    assert data.target.tolist() == [1, 0, 1, 0]
    assert data.sensitive_features["group"].tolist() == [1, 1, 2, 2]
    frame = pd.read_csv(labels, sep=";", dtype=str)
    again = load_folder(labels.parent, frame, target="y", sensitive="group", image_size=8)
    assert again.target_names == ["no", "yes"]
    arguments = ["audit", str(labels), "--y-true", "y", "--y-pred", "p", "--y-score", "s"]
    result = CliRunner().invoke(
        main, [*arguments, "--sensitive", "group", "--n-boot", "0", "--json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["classes"] == ["no", "yes"]
    assert found["overall"]["accuracy"]["value"] == 0.75
    assert found["overall"]["roc_auc"]["value"] == 1.0
    assert [group["group"]["group"] for group in found["by_group"]] == [1, 2]


@pytest.mark.parametrize(("codec", "words"), [("utf-16", "CSV in UTF-8"), ("latin-1", "as UTF-8")])
def test_another_encoding_is_named(tmp_path: Path, codec: str, words: str) -> None:
    (tmp_path / "t.csv").write_bytes("a,b\né,2\n".encode(codec))
    with pytest.raises(DatasetError, match=words):
        read_table(tmp_path / "t.csv")

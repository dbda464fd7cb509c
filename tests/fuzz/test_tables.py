"""Label tables and file names from strangers."""

from __future__ import annotations

import csv
import io
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hostile import NASTY, damaged, pictures, times, tree
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fairvision.cli import main
from fairvision.datasets import load_folder, load_utkface
from fairvision.exceptions import FairvisionError

FIELDS = st.one_of(
    st.sampled_from([f"{i:02d}.png" for i in range(6)]),
    st.sampled_from(["yes", "no", "a", "b", "0", "1", "1.5"]),
    st.sampled_from([text for text in NASTY if "\ud800" not in text and "\udcff" not in text]),
    st.text(max_size=6).filter(lambda t: not re.search("[\ud800-\udfff]", t)),
)
HEADER = ["path", "smiling", "skin_tone", "age"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, one of them bad, ways out, and beside them what no table may reach."""
    root = tmp_path_factory.mktemp("tables") / "photos"
    root.mkdir()
    for i in range(5):
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(root / f"{i:02d}.png")
    (root / "05.png").write_bytes(b"\x89PNG")
    Image.new("RGB", (8, 8)).save(root.parent / "secret.jpg")
    (root / "out.png").symlink_to(root.parent / "secret.jpg")
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    return root


def written(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def load(root: Path, content: Any, skip_bad: bool) -> Any:
    """What the loader makes of a table, or its one error."""
    labels = content
    if isinstance(content, bytes):
        labels = root.parent / "labels.csv"
        labels.write_bytes(content)
    before = tree(root.parent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas, of columns of mixed types
            return load_folder(
                root, labels, target="smiling", sensitive="skin_tone", image_size=8,
                skip_bad=skip_bad,
            )  # fmt: skip
    except FairvisionError as error:
        return error
    finally:
        assert tree(root.parent) == before


def check(found: Any, root: Path) -> None:
    """Right rows below the root, or one error."""
    if isinstance(found, FairvisionError):
        return
    assert len(found.images) == len(found.target) == len(found.attributes)
    assert len(found.images) == len(found.sensitive_features)
    for path, name in zip(found.images.paths, found.attributes["path"], strict=True):
        assert path == os.path.realpath(root / name)
        assert Path(path).parent == root


ROWS = st.lists(st.lists(FIELDS, min_size=0, max_size=6), max_size=7)


@times(150)
@given(ROWS, st.booleans())
def test_tables_of_nasty_fields(root: Path, rows: list[list[str]], skip_bad: bool) -> None:
    check(load(root, written([HEADER, *rows]), skip_bad), root)


NICE = [
    [f"{i:02d}.png", "yes" if i % 2 else "no", "dark" if i % 3 else "light", str(20 + i)]
    for i in range(6)
]


@times(150)
@given(st.integers(0, 5), st.integers(0, 3), FIELDS, st.booleans())
def test_one_nasty_field_among_good_ones(
    root: Path, row: int, column: int, field: str, skip_bad: bool
) -> None:
    rows = [list(line) for line in NICE]
    rows[row][column] = field
    found = load(root, written([HEADER, *rows]), skip_bad)
    check(found, root)
    if column == 3:  # nobody asked for this column
        assert skip_bad != isinstance(found, FairvisionError) or not skip_bad
        assert not isinstance(found, FairvisionError)


@times(200)
@given(damaged(written([HEADER, *NICE])), st.booleans())
def test_damaged_tables(root: Path, content: bytes, skip_bad: bool) -> None:
    check(load(root, content, skip_bad), root)


@times(60)
@given(st.lists(st.sampled_from([*NASTY, "00.png", "out.png", "loop.png", "pipe.png"]), min_size=1))
def test_frames_may_hold_what_no_file_can(root: Path, names: list[str]) -> None:
    frame = pd.DataFrame({"path": pd.Series(names, dtype=object)})
    frame["smiling"], frame["skin_tone"] = np.arange(len(names)) % 2, frame["path"]
    for skip_bad in (False, True):
        check(load(root, frame, skip_bad), root)


def test_a_table_is_never_fetched(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*args: Any, **kwargs: Any) -> None:
        pytest.fail("somebody asked the network")

    monkeypatch.setattr("urllib.request.urlopen", fetch)
    for address in ("https://example.org/x.csv", "s3://bucket/x.csv", "ftp://example.org/x.csv"):
        with pytest.raises(FairvisionError, match="cannot be read"):
            load_folder(root, address, target="a", sensitive="b")


def test_rows_with_more_fields_than_the_header_do_not_shift_the_columns(root: Path) -> None:
    rows = [[*line, "one more"] for line in NICE]
    found = load(root, written([HEADER, *rows]), skip_bad=True)
    assert isinstance(found, FairvisionError)
    assert "more fields than" in str(found)


def test_names_that_look_like_numbers_keep_their_zeros(tmp_path: Path) -> None:
    for name in ("007", "008"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, format="PNG")
    rows = [["path", "smiling", "skin_tone"], ["007", "1", "a"], ["008", "0", "b"]]
    found = load(tmp_path, written(rows), skip_bad=False)
    assert found.attributes["path"].tolist() == ["007", "008"]


AGES = st.sampled_from(["25", "0", "999", "1234", "-1", "١٢", "1e3"])
CODES = st.sampled_from(["0", "1", "2", "9", "", "01", "x"])
REST = st.sampled_from(
    [
        "20170116174525125.jpg",
        "20170116.jpg\n.jpg",
        ".jpg",
        "<b>.png",
        "1.PNG",
        "201701161\udcff.jpg",
    ]
)


@times(60)
@given(st.lists(st.tuples(AGES, CODES, CODES, REST).map("_".join), min_size=1, max_size=6))
def test_names_of_utkface(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    root = tmp_path_factory.mktemp("faces")
    for i, name in enumerate(names):
        (root / name).write_bytes(b"" if i % 3 == 2 else pictures_once["PNG"])
    try:
        found = load_utkface(root, image_size=8, skip_bad=True)
    except FairvisionError:
        return
    n = len(set(names))
    assert len(found.images) + found.n_skipped + found.n_missing_race + found.n_unreadable == n
    assert set(found.attributes["gender"]) <= {"male", "female"}
    assert found.attributes["age"].between(0, 999).all()


pictures_once = pictures()


# -- predictions of others, through the command -------------------------------------


def audit(path: Path, *more: str) -> str:
    """What the terminal shows; whatever it was, one error or a table."""
    words = ["audit", str(path), "--y-true", "y", "--y-pred", "p", "--sensitive", "g"]
    before = tree(path.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(main, [*words, "--n-boot", "0", *more])
    assert result.exit_code in (0, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert all(c.isprintable() or c == "\n" for c in result.output)
    assert tree(path.parent) == before
    return result.output


PREDICTIONS = pd.DataFrame({"y": [0, 1, 1, 0] * 3, "p": [0, 1, 0, 0] * 3, "g": list("aabb") * 3})


def packed(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "csv":
        return PREDICTIONS.to_csv(index=False).encode()
    if kind == "npz":
        columns = {
            "y": PREDICTIONS["y"],
            "p": PREDICTIONS["p"],
            "g": PREDICTIONS["g"].to_numpy("U1"),
        }
        np.savez(buffer, **columns)
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        PREDICTIONS.to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["csv", "npz", "parquet"])
def test_damaged_predictions(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"predictions.{kind}"

    @times(80)
    @given(damaged(packed(kind)))
    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        audit(path)

    attempt()


@times(60)
@given(st.lists(st.tuples(FIELDS, FIELDS, FIELDS), min_size=1, max_size=6))
def test_predictions_of_nasty_fields(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("predictions") / "p.csv"
    path.write_bytes(written([["y", "p", "g"], *map(list, rows)]))
    audit(path)


def test_nothing_in_an_npz_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return pytest.fail, ("unpickled",)

    path = tmp_path / "trap.npz"
    np.savez(path, y=np.array([Trap()], dtype=object), p=np.zeros(1), g=np.zeros(1))
    assert "cannot be read as npz" in audit(path)


@pytest.mark.parametrize("name", [n for n in NASTY if n and "\0" not in n and "\ud800" not in n])
def test_column_names_and_groups_steer_no_terminal(tmp_path: Path, name: str) -> None:
    path = tmp_path / "p.csv"
    if "," in name or name != name.strip() or "\udcff" in name:
        return  # a comma parts names on the command line
    table = PREDICTIONS.rename(columns={"g": name}).assign(**{"z": [name, "other"] * 6})
    table.to_csv(path, index=False)
    result = CliRunner().invoke(
        main,
        ["audit", str(path), "--y-true", "y", "--y-pred", "p", "--sensitive", f"{name},z",
         "--n-boot", "0", "--min-support", "7", "--fail-if", "accuracy>0"],
    )  # fmt: skip
    assert result.exit_code in (1, 2), result.output
    assert all(c.isprintable() or c == "\n" for c in result.output)

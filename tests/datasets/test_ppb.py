"""The Pilot Parliaments Benchmark and folders like it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairvision.datasets import load_ppb
from fairvision.exceptions import DatasetError

TABLE = "PPB-2017-metadata.csv"
TYPES = ("I", "II", "III", "IV", "V", "VI")


def test_gender_by_type_and_by_group(official, greys):
    data = load_ppb(official("ppb"), sensitive=["skin_tone", "skin_group"], image_size=8)
    assert data.images.n_decoded == 0
    number = np.array(greys(data.images))
    assert_array_equal(number, np.arange(24))
    assert data.target_names == ["female", "male"]
    assert_array_equal(data.target, number // 6 % 2)
    assert_array_equal(data.sensitive_features["skin_tone"], np.array(TYPES)[number % 6])
    groups = np.where(number % 6 < 3, "lighter", "darker")
    assert_array_equal(data.sensitive_features["skin_group"], groups)
    assert data.attributes["country"].unique().tolist() == ["Sweden"]
    assert "split" not in data


@pytest.mark.parametrize("comma", [",", "\t"])
def test_a_folder_like_it(official, comma):
    root = official("ppb")
    names = sorted(path.name for path in (root / "imgs").iterdir())
    (root / TABLE).unlink()
    (root / "imgs").rename(root / "images")
    lines = [comma.join(("File", "Fitzpatrick type", "Sex", "Note"))]
    types = ("type iv", " II", "6")
    lines += [
        comma.join((n, types[i % 3], "MALE" if i % 2 else "female", "x"))
        for i, n in enumerate(names)
    ]
    (root / ("labels.csv" if comma == "," else "metadata.txt")).write_text("\n".join(lines))
    data = load_ppb(root, sensitive="skin_tone")
    assert data.sensitive_features["skin_tone"].tolist() == ["IV", "II", "VI"] * 8
    assert data.attributes["skin_group"].tolist() == ["darker", "lighter", "darker"] * 8
    assert data.target.tolist() == [0, 1] * 12


def test_what_does_not_fit_is_left_out_and_counted(official):
    root = official("ppb")
    text = (root / TABLE).read_text()
    text = text.replace("Female,1,lighter", "Female,7,lighter", 1)
    text = text.replace("Female,2,lighter", "Female,2,darker", 1)
    text = text.replace("Female,3,lighter", ",3,lighter", 1)
    (root / TABLE).write_text(text.replace("0004_5_f_SW", "../imgs/0004_5_f_SW"))
    (root / "imgs" / "0005_6_f_SW.jpg").unlink()
    data = load_ppb(root)
    assert data.bad_values == ["0000_1_f_SW.jpg", "0001_2_f_SW.jpg", "0002_3_f_SW.jpg"]
    assert data.missing_image == ["../imgs/0004_5_f_SW.jpg", "0005_6_f_SW.jpg"]
    assert data.no_entry == ["0004_5_f_SW.jpg"]
    assert len(data.images) == 19


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: "<html></html>", "is a web page"),
        (lambda text: text.replace("fitzpatrick", "tone of"), r"lacks a column \(skin_tone: fitz"),
        (lambda text: text.replace("0001_2", "0000_1"), "'0000_1_f_SW.jpg' more than once"),
        (lambda text: text.replace("Female", "Male"), "'gender' has the same value in all 24"),
        (lambda text: text.replace("Sweden", "Sweden,x"), "is not a table"),
    ],
)
def test_tables_that_are_not_what_they_should_be(official, spoil, message):
    root = official("ppb")
    (root / TABLE).write_text(spoil((root / TABLE).read_text()))
    with pytest.raises(DatasetError, match=message):
        load_ppb(root)


def test_folders_that_lack_something_or_leave_a_doubt(official):
    root = official("ppb")
    (root / "a.csv").write_text("not asked, since the other is named metadata")
    assert len(load_ppb(root).images) == 24
    (root / TABLE).rename(root / "b.csv")
    with pytest.raises(DatasetError, match=r"holds 2 tables \(a\.csv, b\.csv\); keep one"):
        load_ppb(root)
    for name in ("a.csv", "b.csv"):
        (root / name).unlink()
    with pytest.raises(DatasetError, match=r"holds no metadata. Put the folder imgs/"):
        load_ppb(root)

"""FairFace: two parts, two lists, and ages that a spreadsheet spoilt."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairvision.datasets import load_fairface
from fairvision.exceptions import DatasetError

TRAIN, VAL = "fairface_label_train.csv", "fairface_label_val.csv"


def test_both_parts_and_the_validation_part_is_the_test_part(official, greys):
    data = load_fairface(official("fairface"), image_size=8)
    assert data.images.n_decoded == 0
    number = np.array(greys(data.images))
    assert_array_equal(number, [*range(18), *range(18)])
    assert data.split.tolist() == ["train"] * 18 + ["test"] * 18
    assert data.target_names == ["Female", "Male"]
    assert_array_equal(data.target, number // 2 % 2 == 0)
    assert_array_equal(
        data.sensitive_features["race"], np.array(["Black", "East Asian", "White"])[number % 3]
    )
    assert data.attributes["service_test"].tolist() == (number % 2 == 0).tolist()
    assert data.attributes["path"].iloc[18] == "val/0.jpg"
    assert "perceived" in data.DESCR


def test_age_bins_stay_as_they_are(official):
    data = load_fairface(official("fairface"), target="age", sensitive="race=White")
    assert data.target_names == ["20-29", "3-9"]
    assert set(data.sensitive_features["race=White"]) == {"White", "not White"}
    assert (data.n_dates, data.remarks) == (0, [])


def test_ages_that_became_dates_are_read_and_reported(official):
    root = official("fairface")
    usual = load_fairface(root, target="age")
    (root / VAL).write_text((root / VAL).read_text().replace(",3-9,", ",9-Mar,"))
    data = load_fairface(root, target="age")
    assert data.n_dates == 9
    assert_array_equal(data.target, usual.target)
    assert data.remarks == [
        "Read as the bins they were: 9 ages that a spreadsheet had turned into dates."
    ]
    assert data.remarks[0] in data.DESCR


def test_what_does_not_fit_is_left_out_and_counted(official):
    root = official("fairface")
    text = (root / TRAIN).read_text()
    text = text.replace("train/0.jpg,3-9", "train/0.jpg,about 5")
    text = text.replace("train/1.jpg,20-29,Male", "train/1.jpg,20-29,")
    text = text.replace("train/2.jpg,3-9,Female,White", "train/2.jpg,3-9,Female,Martian")
    (root / TRAIN).write_text(text.replace("train/3.jpg", "../val/3.jpg"))
    (root / "val" / "4.jpg").unlink()
    data = load_fairface(root)
    assert data.bad_values == ["train/0.jpg", "train/1.jpg", "train/2.jpg"]
    assert data.missing_image == ["../val/3.jpg", "val/4.jpg"]
    assert data.no_entry == ["train/3.jpg"]
    assert len(data.images) == 36 - 5


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        (TRAIN, lambda text: text.replace("race", "ethnicity"), "no column race; it has file, age"),
        (VAL, lambda text: "<html>", "is a web page"),
        (VAL, lambda text: text.replace("val/1.", "val/0."), "'val/0.jpg' more than once"),
        (VAL, lambda text: text.split("\n")[0], "has no rows"),
        (
            VAL,
            lambda text: text.replace(",White,", ",White,extra,"),
            "is not a table",
        ),
    ],
)
def test_lists_that_are_not_what_they_should_be(official, name, spoil, message):
    root = official("fairface")
    (root / name).write_text(spoil((root / name).read_text()))
    with pytest.raises(DatasetError, match=message):
        load_fairface(root)


@pytest.mark.parametrize("name", ["train", "val", TRAIN, VAL])
def test_an_incomplete_folder_is_told_what_belongs_where(official, name):
    root = official("fairface")
    (root / name).rename(root / "elsewhere")
    with pytest.raises(DatasetError, match=rf"holds no .*'{name}'.* Put train/ and val/"):
        load_fairface(root)

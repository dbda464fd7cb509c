"""UTKFace: labels from file names, and the names that have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from fairvision.datasets import biased_split, load_utkface
from fairvision.exceptions import BadImageError, DatasetError

NAMES = [
    "1_0_0_20161219140530307.jpg.chip.jpg",
    "16_1_1_20170109004621848.jpg",
    "39_0_2_20170116174525125.jpg.chip.jpg",
    "40_1_3_20170117154547496.jpg",
    "71_0_4_20170120134639935.JPG",
    "72_1_4_20170120134640000.png",
    "116_1_0_20170120134639935.jpg",
]
NO_RACE = ["39_1_20170116174525125.jpg.chip.jpg", "24_0__20170116220224657.jpg"]
OTHER = ["holiday.jpg", "61_3_20170109150557335.jpg", "25_1_7_20170116174525125.jpg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "faces"
    (root / "part2").mkdir(parents=True)
    for name in NAMES + NO_RACE + OTHER:
        place = root / "part2" if name.startswith("7") else root
        Image.new("RGB", (20, 20), "grey").save(place / name)
    (root / "notes.txt").write_text("no image")
    return root


def test_labels_come_from_the_names(folder):
    data = load_utkface(folder, sensitive=["gender", "race"])
    rows = data.attributes.set_index(data.attributes["path"].str.split("/").str[-1]).loc[NAMES]
    assert rows["age"].tolist() == [1, 16, 39, 40, 71, 72, 116]
    assert rows["gender"].tolist() == ["male", "female"] * 2 + ["male", "female", "female"]
    assert rows["race"].tolist() == [
        "White", "Black", "Asian", "Indian", "other", "other", "White",
    ]  # fmt: skip
    assert rows["old"].tolist() == [False] * 3 + [True] * 4
    assert rows["age_bin"].fillna("").tolist() == [
        "", "16-19", "36-39", "40-43", "68-71", "", "",
    ]  # fmt: skip
    assert data.target_names == ["under 40", "40 or older"]
    assert_array_equal(data.target, data.attributes["old"])
    assert list(data.sensitive_features.columns) == ["gender", "race"]
    assert data.images.n_decoded == 0


def test_names_without_a_race_are_counted_not_used(folder):
    data = load_utkface(folder)
    assert len(data.images) == len(data.target) == len(NAMES)
    assert (data.n_missing_race, sorted(data.missing_race)) == (2, sorted(NO_RACE))
    assert (data.n_unreadable, sorted(data.unreadable)) == (3, sorted(OTHER))
    assert "2 file(s) without a race" in data.DESCR
    assert "3 file(s) with another name" in data.DESCR
    assert "perceived" in data.DESCR


def test_the_threshold_of_old(folder):
    data = load_utkface(folder, old_from=72)
    assert data.target.sum() == 2
    assert data.target_names == ["under 72", "72 or older"]


def test_rows_outside_the_bins_are_left_out_only_where_bins_are_asked_for(folder):
    data = load_utkface(folder, target="age_bin")
    assert data.target_names == ["16-19", "36-39", "40-43", "68-71"]
    assert (len(data.images), data.n_outside) == (4, 3)
    assert load_utkface(folder, target="age").n_outside == 0
    assert_array_equal(np.sort(load_utkface(folder, target="age").target)[:2], [1, 16])


def test_broken_photographs(folder):
    (folder / NAMES[1]).write_bytes(b"\xff\xd8 cut")
    with pytest.raises(BadImageError, match=NAMES[1]):
        np.asarray(load_utkface(folder).images)
    data = load_utkface(folder, skip_bad=True)
    assert (data.n_skipped, data.skipped) == (1, [NAMES[1]])
    assert len(np.asarray(data.images)) == len(data.attributes) == len(NAMES) - 1


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.jpg")
    (folder / "30_0_0_20170116174525125.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DatasetError, match=r"30_0_0.*out of the root"):
        load_utkface(folder)


def test_folders_without_such_photographs(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        load_utkface(tmp_path / "gone")
    with pytest.raises(DatasetError, match="holds no images"):
        load_utkface(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "holiday.jpg")
    with pytest.raises(DatasetError, match=r"age_gender_race_date.*holiday\.jpg"):
        load_utkface(tmp_path)


def test_the_real_set(utkface):
    data = load_utkface(utkface, sensitive=["gender", "race"])
    assert len(data.images) == 6517
    assert data.sensitive_features["gender"].value_counts().to_dict() == {
        "female": 3592,
        "male": 2925,
    }
    assert data.sensitive_features["race"].value_counts().to_dict() == {
        "White": 3504, "Asian": 1023, "Indian": 997, "other": 733, "Black": 260,
    }  # fmt: skip
    assert (data.n_missing_race, data.n_unreadable) == (0, 0)
    assert np.asarray(data.images[:3]).shape == (3, 3, 64, 64)


def test_the_experiment_of_the_report_on_the_real_set(utkface):
    data = load_utkface(utkface)
    split = biased_split(data, confounder="gender", confounding=1, n_train=1000, n_test=200)
    table = split.table["train"].to_dict()
    assert table == {
        ("under 40", "female"): 500,
        ("under 40", "male"): 0,
        ("40 or older", "female"): 0,
        ("40 or older", "male"): 500,
    }
    bins = load_utkface(utkface, target="age_bin")
    assert len(bins.target_names) == 14
    assert bins.n_outside == 6517 - len(bins.images) > 0


def test_grey_and_squashed_as_of_any_folder(folder):
    Image.new("RGB", (20, 10), "red").save(folder / NAMES[0])
    usual, grey = load_utkface(folder), load_utkface(folder, mode="L", resize="squash")
    assert usual.images.shape[1:] == (3, 64, 64)
    assert grey.images.shape[1:] == (1, 64, 64)
    assert len(np.unique(np.asarray(grey.images[:1]))) == 1

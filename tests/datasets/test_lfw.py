"""Labeled Faces in the Wild: the signs of scores, and parts of different people."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairvision.datasets import load_lfw
from fairvision.exceptions import DatasetError

LIST = "lfw_attributes.txt"


@pytest.mark.parametrize("raw", [True, False], ids=["as given out", "cleaned"])
@pytest.mark.parametrize(
    "images", ["lfw", "lfw-deepfunneled/lfw-deepfunneled", "lfw-py/lfw_funneled"]
)
def test_attributes_are_the_signs_of_scores(official, greys, raw, images):
    data = load_lfw(official("lfw", raw=raw, images=images), image_size=8)
    assert data.images.n_decoded == 0
    number = np.array(greys(data.images))
    assert_array_equal(number, np.arange(16))
    assert_array_equal(data.target, number % 3 == 0)
    assert data.target_names == ["not smiling", "smiling"]
    assert_array_equal(data.sensitive_features["Male"] == "male", number // 2 % 2 == 1)
    assert_array_equal(data.attributes["No Eyewear"], number > 7.5)
    assert data.attributes["path"].iloc[1] == "Person_A/Person_A_0002.jpg"
    assert "split" not in data
    assert "machine's guess" in data.DESCR


def test_parts_of_different_people(official):
    root = official("lfw")
    (root / "peopleDevTrain.txt").write_text("5\n" + "".join(f"Person_{p}\t2\n" for p in "ABCDE"))
    (root / "peopleDevTest.txt").write_text("2\nPerson_F\t2\nPerson_G\t2\n")
    data = load_lfw(root)
    assert data.split.tolist() == ["train"] * 10 + ["test"] * 4
    assert data.no_split == ["Person_H/Person_H_0001.jpg", "Person_H/Person_H_0002.jpg"]


def test_what_does_not_fit_is_left_out_and_counted(official, greys):
    root = official("lfw")
    lines = (root / LIST).read_text().splitlines()
    lines[2] = lines[2].replace("1.5", "high")
    lines[3] = lines[3].replace("Person A\t2", "Person A\t1e400")
    lines[4] = lines[4].replace("Person B", "../Person B")
    lines[5] = lines[5].replace("1.5", "nan")
    lines[6] = lines[6].rsplit("\t", 1)[0]
    lines[7] = "No Body\t3\t1\t1\t1"
    (root / LIST).write_text("\n".join(lines))
    data = load_lfw(root, image_size=8)
    assert greys(data.images) == list(range(6, 16))
    assert data.n_bad_values == 4
    assert data.missing_image == ["../Person_B/../Person_B_0001.jpg", "No_Body/No_Body_0003.jpg"]
    assert data.n_no_entry == 3
    assert data.no_entry[-1] == "Person_C/Person_C_0002.jpg"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: "<html>" + text, "is a web page"),
        (lambda text: text.replace("person", "name", 1), "no line that names the columns"),
        (
            lambda text: text.replace("Smiling", "Glad"),
            "target 'Smiling' is not in the data; there are.*Glad",
        ),
        (lambda text: text.replace("Person A\t2", "Person A\t1"), r"A_0001\.jpg' more than once"),
        (
            lambda text: text.replace("Person A\t2", "Person A\t2\t7"),
            "is not a table",
        ),
        (lambda text: text.splitlines()[0] + "\n" + text.splitlines()[1], "is not a table|no rows"),
    ],
)
def test_lists_that_are_not_what_they_should_be(official, spoil, message):
    root = official("lfw")
    (root / LIST).write_text(spoil((root / LIST).read_text()))
    with pytest.raises(DatasetError, match=message):
        load_lfw(root)


def test_bytes_that_are_no_text(official):
    root = official("lfw")
    (root / LIST).write_bytes((root / LIST).read_bytes().replace(b"Person H", b"Pers\xf6n H"))
    with pytest.raises(DatasetError, match=r"not UTF-8 text: .*0xf6"):
        load_lfw(root)


@pytest.mark.parametrize("name", ["lfw", LIST])
def test_an_incomplete_folder_is_told_what_belongs_where(official, name):
    root = official("lfw")
    (root / name).rename(root / "elsewhere")
    with pytest.raises(DatasetError, match=rf"holds no .*'{name}'.* Put the folder lfw/"):
        load_lfw(root)

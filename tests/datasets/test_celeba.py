"""CelebA: its layouts, the rows that are left out, and files that are not what they should be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairvision.comparison import plan_split, split_rows
from fairvision.comparison.split import validation_rows
from fairvision.datasets import load, load_celeba, subset
from fairvision.exceptions import BadImageError, DatasetError

LIST = "list_attr_celeba.txt"
PARTS = "list_eval_partition.txt"


def edit(path: Path, change) -> None:
    """Rewrite a list; `change` gets its lines."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join(change(lines) or lines) + "\n")


def test_rows_and_photographs_belong_together(official, greys):
    data = load_celeba(official("celeba"), sensitive=["Male", "Smiling=False"], image_size=8)
    assert data.images.n_decoded == 0
    assert greys(data.images) == list(range(24))
    assert_array_equal(data.target, np.arange(24) % 3 == 0)
    assert data.target_names == ["not smiling", "smiling"]
    assert data.sensitive_features["Male"].tolist() == ["female", "male"] * 12
    assert data.attributes["path"].iloc[5] == "000005.jpg"
    assert data.attributes["No_Beard"].dtype == bool


def test_rows_are_matched_by_name_whatever_the_order(official, greys):
    root = official("celeba")
    edit(root / LIST, lambda lines: lines[:2] + lines[:1:-1])
    data = load_celeba(root, image_size=8)
    number = np.array(greys(data.images))
    assert_array_equal(number, np.arange(24)[::-1])
    assert_array_equal(data.target, number % 3 == 0)
    assert_array_equal(data.split == "train", number < 12)


def test_the_published_parts(official):
    data = load_celeba(official("celeba"))
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 12, "valid": 6, "test": 6,
    }  # fmt: skip
    assert_array_equal(subset(data, data.splits["test"]).attributes["path"].iloc[0], "000018.jpg")


@pytest.mark.parametrize(("form", "folder"), [("csv", ""), ("txt", "celeba"), ("csv", "celeba")])
def test_other_layouts_hold_the_same(official, form, folder):
    usual = load_celeba(official("celeba"), image_size=8)
    other = load_celeba(official("celeba", "other", form=form, folder=folder), image_size=8)
    assert_array_equal(np.asarray(usual.images), np.asarray(other.images))
    assert_array_equal(usual.split, other.split)
    assert usual.attributes.equals(other.attributes)


def test_one_table_holds_the_same_and_who_it_is(official):
    usual = load_celeba(official("celeba"), image_size=8)
    root = official("celeba", "table", form="table")
    for change in (None, lambda text: text.replace(",0", ",-1").replace("path", "image_id")):
        if change is not None:  # the release's own -1; partition -1 is in no part
            (root / "labels.csv").write_text(change((root / "labels.csv").read_text()))
        other = load_celeba(root, image_size=8)
        kept = slice(None) if change is None else slice(12, None)
        if change is None:
            assert_array_equal(usual.split, other.split)
        assert_array_equal(np.asarray(usual.images)[kept], np.asarray(other.images)[kept])
        assert_array_equal(other.identity, other.attributes["identity"])
        own = other.attributes.drop(columns="identity")[usual.attributes.columns]
        assert own.iloc[kept].equals(usual.attributes.iloc[kept])


def without_parts(root: Path) -> Path:
    """All rows in one part, as people's samples of the training part have it."""
    edit(root / "labels.csv", lambda lines: [lines[0], *(x[:-1] + "0" for x in lines[1:])])
    return root


def test_people_are_trained_or_tested_on_where_there_are_no_parts(official):
    data = load_celeba(without_parts(official("celeba", form="table")), image_size=8)
    assert "split" not in data
    assert_array_equal(data.identity, 100 + np.arange(24) // 2)
    for how in ({}, {"confounding": 0.75}):
        tests = []
        for seed in range(3):
            train, test = split_rows(data, plan_split(data, test_size=0.5, **how), seed)
            assert len(train)
            assert not set(data.identity[train]) & set(data.identity[test])
            tests.append(set(test.tolist()))
            if how:  # as many test rows in every cell
                cells = 2 * data.target + (data.sensitive_features["Male"] == "male").to_numpy()
                assert len(set(np.bincount(cells[test], minlength=4))) == 1
        assert tests[0] != tests[1]
        plan = plan_split(data, test_size=0.5, validation_fraction=0.5, **how)
        rows = [*split_rows(data, plan, 0), validation_rows(data, plan, 0)]
        people = [set(data.identity[part]) for part in rows]
        assert sum(map(len, people)) == len(set.union(*people))
    assert_array_equal(subset(data, [3, 5]).identity, [101, 102])


def test_a_row_without_a_name_is_left_out(official):
    root = without_parts(official("celeba", form="table"))
    edit(root / "labels.csv", lambda lines: [x.replace(",105,", ",,") for x in lines])
    data = load_celeba(root, image_size=8)
    assert data.bad_values == ["000010.jpg", "000011.jpg"]


def test_the_folders_of_the_release(official):
    root = official("celeba")
    for folder, name in (("Anno", LIST), ("Eval", PARTS), ("Img", "img_align_celeba")):
        (root / folder).mkdir()
        (root / name).rename(root / folder / name)
    (root / "Anno" / "identity_CelebA.txt").write_text("not read")
    assert len(load_celeba(root).images) == 24


def test_what_does_not_fit_is_left_out_and_counted(official, greys):
    root = official("celeba")
    (root / "img_align_celeba" / "000003.jpg").unlink()
    os.rename(root / "img_align_celeba" / "000004.jpg", root / "img_align_celeba" / "x.jpg")
    (root / "img_align_celeba" / "Thumbs.db").write_bytes(b"no image")

    def spoil(lines):
        lines[2 + 7] = lines[2 + 7].replace(" 1", " 7", 1)
        lines[2 + 8] = lines[2 + 8].rsplit(" ", 1)[0]  # one value too few
        lines[2 + 9] += " 1"  # and one too many
        lines[2 + 10] = "../../secret.jpg" + lines[2 + 10].removeprefix("000010.jpg")

    edit(root / LIST, spoil)
    edit(root / PARTS, lambda lines: [*lines[:11], "000011.jpg 5", *lines[12:20], *lines[21:]])
    data = load_celeba(root, image_size=8)
    assert data.bad_values == ["000007.jpg", "000008.jpg", "000009.jpg"]
    assert data.no_split == ["../../secret.jpg", "000011.jpg", "000020.jpg"]
    assert data.missing_image == ["000003.jpg", "000004.jpg"]
    assert data.no_entry == ["000010.jpg", "x.jpg"]
    assert (data.n_bad_values, data.n_no_split, data.n_missing_image, data.n_no_entry) == (
        3, 3, 2, 2,
    )  # fmt: skip
    assert "3 row(s) with missing, unknown or contradictory values" in data.DESCR
    number = np.array(greys(data.images))
    assert set(range(24)) - set(number) == {3, 4, 7, 8, 9, 10, 11, 20}
    assert_array_equal(data.target, number % 3 == 0)


def test_broken_photographs(official):
    root = official("celeba")
    (root / "img_align_celeba" / "000005.jpg").write_bytes(b"\xff\xd8 cut")
    with pytest.raises(BadImageError, match=r"000005\.jpg"):
        np.asarray(load_celeba(root).images)
    data = load_celeba(root, skip_bad=True)
    assert (data.n_skipped, data.skipped) == (1, ["000005.jpg"])
    assert len(np.asarray(data.images)) == len(data.split) == len(data.attributes) == 23
    assert data.attributes["path"].iloc[5] == "000006.jpg"
    assert data.split.tolist().count("train") == 11


HTML = "<!DOCTYPE html><html><head><title>Quota exceeded</title></head></html>"


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        (LIST, lambda text: HTML, "is a web page.*download was refused"),
        (PARTS, lambda text: "\n" + HTML, "is a web page"),
        (LIST, lambda text: text.replace("24", "202599", 1), "lists 202599 images, and lists 24"),
        (LIST, lambda text: "9" * 5000 + text, "lists 9{20} images, and lists 24"),
        (LIST, lambda text: text[: len(text) // 2], "lists 24 images, and lists 1[0-9]"),
        (LIST, lambda text: text.replace("24\n", "", 1), "begins with 'Attractive"),
        (LIST, lambda text: "", "begins with ''"),
        (LIST, lambda text: text.replace("000001", "000000", 1), "'000000.jpg' more than once"),
        (
            LIST,
            lambda text: text.replace("Smiling", "Grinning"),
            "target 'Smiling' is not in the data; there are.*Grinning",
        ),
        (LIST, lambda text: text + "y.jpg" + 9 * " 1", "is not a table.*saw 10"),
        (LIST, lambda text: "24\n\0\0\0", "not a text file"),
        (PARTS, lambda text: text.replace("000001", "000000", 1), "'000000.jpg' more than once"),
        (
            PARTS,
            lambda text: text.replace(".jpg", ".png"),
            "none of the 24 rows.*24 row.* without a split",
        ),
        (LIST, lambda text: text.replace(".jpg", ".png"), "none of the 24 rows"),
        (LIST, lambda text: text.replace("-1", " 0"), r"24 row\(s\) with missing, unknown"),
    ],
)
def test_files_that_are_not_what_they_should_be(official, name, spoil, message):
    root = official("celeba")
    (root / name).write_text(spoil((root / name).read_text()))
    with pytest.raises(DatasetError, match=message):
        load_celeba(root)


def test_bytes_that_are_no_text(official):
    root = official("celeba")
    whole = (root / LIST).read_bytes()
    (root / LIST).write_bytes(whole.replace(b"Male", b"M\xe4le"))
    with pytest.raises(DatasetError, match="not UTF-8 text"):
        load_celeba(root)
    (root / LIST).write_bytes(whole.replace(b"000020.jpg", b"\xff\xfe0020.jpg"))
    with pytest.raises(DatasetError, match=r"not UTF-8 text: .*0xff"):
        load_celeba(root)


def test_attributes_that_there_are_not_or_that_are_constant(official):
    root = official("celeba")
    with pytest.raises(
        DatasetError, match=r"target 'Happy' is not in the data; there are.*Smiling"
    ):
        load_celeba(root, target="Happy")
    with pytest.raises(DatasetError, match=r"'Young' has the same value in all 24 usable rows"):
        load_celeba(root, target="Young")
    with pytest.raises(DatasetError, match=r"'No_Beard' has the same value"):
        load_celeba(root, sensitive=["Male", "No_Beard"])


@pytest.mark.parametrize("name", [LIST, PARTS, "img_align_celeba"])
def test_an_incomplete_folder_is_told_what_belongs_where(official, name):
    root = official("celeba")
    (root / name).rename(root / "elsewhere")
    with pytest.raises(DatasetError, match=rf"holds no .*{name}.* Put img_align_celeba/ "):
        load_celeba(root)


def test_links_out_of_the_root_are_refused(official, tmp_path):
    root = official("celeba")
    photos = root / "img_align_celeba"
    (photos / "000000.jpg").rename(tmp_path / "secret.jpg")
    (photos / "000000.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DatasetError, match=r"000000\.jpg.*out of the root"):
        load_celeba(root)
    photos.rename(tmp_path / "photos")
    photos.symlink_to(tmp_path / "photos")
    with pytest.raises(DatasetError, match="out of the root"):
        load_celeba(root)


def test_a_root_of_any_name(tmp_path, official):
    root = official("celeba")
    root.rename(tmp_path / "{n} of {0}")
    assert "{n} of {0}" in load_celeba(tmp_path / "{n} of {0}").DESCR


def test_a_download_that_fails_says_what_to_do_by_hand(tmp_path):
    root = tmp_path / "new"
    with pytest.raises(DatasetError, match=r"could not be downloaded: .* By hand: Put img_align"):
        load("celeba", root=root, download=True)
    with pytest.raises(DatasetError, match="does not exist"):
        load("celeba", root=root / "other")


def test_nothing_is_downloaded_where_all_is_there(official):
    assert len(load_celeba(official("celeba", folder="celeba"), download=True).images) == 24


def test_photographs_are_found_by_one_listing(official, monkeypatch):
    def questions(n: int) -> int:
        root = official("celeba", n=n)
        asked = []
        with monkeypatch.context() as patch:
            for name in ("stat", "lstat"):
                patch.setattr(os, name, _counted(getattr(os, name), asked))
            load_celeba(root)
        return len(asked)

    assert questions(12) == questions(36) > 0


def _counted(ask, asked):
    def answer(*args, **settings):
        asked.append(args)
        return ask(*args, **settings)

    return answer


@pytest.mark.slow
def test_two_hundred_thousand_rows(official):
    root = official("celeba", n=12)
    n = 202_599
    names = [f"{i:06d}.jpg" for i in range(n)]
    attributes = "Male Smiling " + " ".join(f"A{i}" for i in range(38))
    values = (" 1" + " -1" * 39, " -1" * 39 + " 1", " -1 1" + " -1" * 38)
    rows = (name + values[i % 3] for i, name in enumerate(names))
    (root / LIST).write_text("\n".join([str(n), attributes, *rows]) + "\n")
    (root / PARTS).write_text("\n".join(f"{name} {i % 3}" for i, name in enumerate(names)))
    data = load_celeba(root)
    assert (len(data.images), data.n_missing_image) == (12, n - 12)
    assert data.target.tolist() == [0, 0, 1] * 4

"""Folders with a CSV: what is read, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from fairvision.datasets import biased_split, load_folder, subset
from fairvision.exceptions import BadImageError, DatasetError


@pytest.fixture
def labels(photo_folder: Path) -> Path:
    path = photo_folder.parent / "labels.csv"
    pd.DataFrame(
        {
            "path": [f"{i:02d}.jpg" for i in range(12)],
            "smiling": ["no", "yes"] * 6,
            "skin_tone": ["light", "light", "dark"] * 4,
            "age": np.arange(20, 32),
            "part": ["train"] * 8 + ["test"] * 4,
        }
    ).to_csv(path, index=False)
    return path


def rewrite(labels: Path, **columns) -> Path:
    table = pd.read_csv(labels)
    for name, values in columns.items():
        table[name] = values
    table.to_csv(labels, index=False)
    return labels


def load(photo_folder, labels, **settings):
    chosen = {"target": "smiling", "sensitive": "skin_tone", "image_size": 8, **settings}
    return load_folder(photo_folder, labels, **chosen)


def test_images_and_labels_stay_together(photo_folder, labels):
    table = pd.read_csv(labels).sample(frac=1, random_state=0)
    table.to_csv(labels, index=False)
    data = load(photo_folder, labels, sensitive=["skin_tone", "age"])
    assert data.images.shape == (12, 3, 8, 8)
    assert data.images.n_decoded == 0
    assert data.target_names == ["no", "yes"]
    number = table["path"].str[:2].astype(int).to_numpy()
    assert_array_equal(data.target, number % 2)
    np.testing.assert_allclose(np.asarray(data.images).mean(axis=(1, 2, 3)), number * 20, atol=2)
    assert_array_equal(data.sensitive_features["age"], number + 20)
    assert (data.n_skipped, data.skipped) == (0, [])


def test_splits_are_handed_on(photo_folder, labels):
    data = load(photo_folder, labels, split_column="part")
    assert_array_equal(data.splits["test"], np.arange(8, 12))
    test = subset(data, data.splits["test"])
    assert len(test.images) == 4
    assert set(test.split) == {"test"}
    assert_array_equal(test.splits["test"], np.arange(4))
    assert data.images.n_decoded == 0


def test_the_table_may_be_a_frame_or_lie_in_the_root(photo_folder, labels):
    frame = load(photo_folder, pd.read_csv(labels), target="age", sensitive="skin_tone=dark")
    assert_array_equal(frame.target, np.arange(20, 32))
    assert set(frame.sensitive_features["skin_tone=dark"]) == {"dark", "not dark"}
    labels.rename(photo_folder / "inner.csv")
    assert len(load(photo_folder, "inner.csv").images) == 12


def test_labels_that_look_like_missing_ones_are_labels(photo_folder, labels):
    data = load(photo_folder, rewrite(labels, skin_tone=["NA", "None", "null"] * 4))
    assert set(data.sensitive_features["skin_tone"]) == {"NA", "None", "null"}


def test_a_folder_can_be_split(photo_folder, labels):
    data = load(photo_folder, labels)
    split = biased_split(data, confounder="skin_tone", n_test=4, n_train=2, random_state=0)
    assert data.images[split.train].shape == (2, 3, 8, 8)
    assert data.images.n_decoded == 0


def test_odd_names(photo_folder, labels):
    names = ["a\nb.png", "c, d.png", 'e"f.png', "ä ö.png", "g/h.png"]
    (photo_folder / "g").mkdir()
    for name in names:
        Image.new("RGB", (8, 8)).save(photo_folder / name)
    table = pd.DataFrame({"path": names, "smiling": [0, 1, 0, 1, 0], "skin_tone": list("aabbb")})
    table.to_csv(labels, index=False)
    assert np.asarray(load(photo_folder, labels).images).shape == (5, 3, 8, 8)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "smile"}, "column 'smile' is not .* path, smiling, skin_tone"),
        ({"sensitive": ["age", "gender"]}, "'gender' is not .* path, smiling, skin_tone"),
        ({"path_column": "file"}, "'file' is not .* path, smiling, skin_tone"),
        ({"split_column": "fold"}, "'fold' is not"),
        ({"target": "smiling=maybe"}, "no row has 'maybe'"),
    ],
)
def test_a_missing_column_lists_those_there_are(photo_folder, labels, settings, said):
    with pytest.raises(DatasetError, match=said):
        load(photo_folder, labels, **settings)


@pytest.mark.parametrize("column", ["path", "smiling", "skin_tone"])
def test_an_empty_field_is_named(photo_folder, labels, column):
    values = pd.read_csv(labels)[column].astype(object)
    values[7] = None
    with pytest.raises(DatasetError, match=rf"'{column}' .* empty in 1 row.* row 7"):
        load(photo_folder, rewrite(labels, **{column: values}))


def outside_by_link(root: Path) -> str:
    (root / "link.jpg").symlink_to(root.parent / "secret.jpg")
    return "link.jpg"


def outside_by_linked_folder(root: Path) -> str:
    (root / "linked").symlink_to(root.parent, target_is_directory=True)
    return "linked/secret.jpg"


@pytest.mark.parametrize(
    "escape",
    [
        lambda root: "../secret.jpg",
        lambda root: "sub/../../secret.jpg",
        lambda root: str(root.parent / "secret.jpg"),
        lambda root: "..",
        lambda root: ".",
        outside_by_link,
        outside_by_linked_folder,
    ],
)
def test_no_path_leads_out_of_the_root(photo_folder, labels, escape):
    Image.new("RGB", (8, 8)).save(photo_folder.parent / "secret.jpg")
    (photo_folder / "sub").mkdir()
    name = escape(photo_folder)
    paths = [name, *(f"{i:02d}.jpg" for i in range(1, 12))]
    for skip_bad in (False, True):  # nothing that may be skipped
        with pytest.raises(DatasetError, match="root") as caught:
            load(photo_folder, rewrite(labels, path=paths), skip_bad=skip_bad)
        assert name in str(caught.value)


def test_links_inside_the_root_are_fine(photo_folder, labels):
    (photo_folder / "sub").mkdir()
    (photo_folder / "sub" / "link.jpg").symlink_to(photo_folder / "00.jpg")
    paths = ["sub/link.jpg", *(f"{i:02d}.jpg" for i in range(1, 12))]
    assert len(np.asarray(load(photo_folder, rewrite(labels, path=paths)).images)) == 12


@pytest.mark.parametrize("twin", ["01.jpg", "./01.jpg", "sub/../01.jpg"])
def test_the_same_file_twice(photo_folder, labels, twin):
    (photo_folder / "sub").mkdir()
    paths = [f"{i:02d}.jpg" for i in range(11)] + [twin]
    with pytest.raises(
        DatasetError, match=r"'01\.jpg' more than once: in row 1 and, as .* in row 11"
    ):
        load(photo_folder, rewrite(labels, path=paths))


def test_a_missing_file_is_named_or_left_out(photo_folder, labels):
    (photo_folder / "03.jpg").unlink()
    with pytest.raises(BadImageError, match=r"1 of 12 files .*'03\.jpg'"):
        load(photo_folder, labels)
    data = load(photo_folder, labels, skip_bad=True, split_column="part")
    assert (len(data.images), data.n_skipped, data.skipped) == (11, 1, ["03.jpg"])
    assert "03.jpg" not in set(data.attributes["path"])
    assert_array_equal(data.splits["test"], np.arange(7, 11))


def test_a_truncated_image_is_named_or_left_out_and_counted(photo_folder, labels, broken, tmp_path):
    data = load(photo_folder, labels)
    with pytest.raises(BadImageError, match=r"05\.jpg"):
        np.asarray(data.images)
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        data = load(photo_folder, labels, skip_bad=True, cache=cache)
        assert data.skipped == [broken.name]
        assert "Left out: 1 unreadable image(s)" in data.DESCR
        assert len(data.target) == len(np.asarray(data.images)) == len(data.attributes) == 11
    assert data.images.n_decoded == 0  # the second time from the cache


def test_a_large_image_is_left_out_like_a_broken_one(photo_folder, labels):
    Image.new("L", (200, 100)).save(photo_folder / "00.jpg")
    data = load(photo_folder, labels, max_pixels=10_000, skip_bad=True)
    assert data.skipped == ["00.jpg"]


def test_nothing_that_can_be_read(photo_folder, labels):
    for path in photo_folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(BadImageError, match="none of the 12"):
        load(photo_folder, labels, skip_bad=True)


def test_roots_and_tables_that_are_not_there(photo_folder, labels, tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        load(photo_folder / "gone", labels)
    with pytest.raises(DatasetError, match="is a file"):
        load(labels, labels)
    with pytest.raises(DatasetError, match=r"gone\.csv.*cannot be read"):
        load(photo_folder, tmp_path / "gone.csv")
    with pytest.raises(DatasetError, match="cannot be read"):
        load(photo_folder, photo_folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a table: No columns to parse from file. It needs"),
        (b"path,smiling,skin_tone\n", "no rows"),
        (b"\xff\xfe\x00\xd8", "not a text file"),
        (b"path,smiling,skin_tone\na.jpg,1,2\nb.jpg,1,2,3,4\n", "not a table"),
    ],
)
def test_tables_that_are_none(photo_folder, labels, content, said):
    labels.write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        load(photo_folder, labels)

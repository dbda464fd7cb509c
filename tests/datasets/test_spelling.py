"""However a path is spelt: found, or an error with a hint."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fairvision.datasets import ImageFiles, load_celeba, load_folder
from fairvision.exceptions import BadImageError, DatasetError

NAMES = ["train/Zoë.png", "train/b.PNG", "c.jpg", "d.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    (folder / "train").mkdir(parents=True)
    for row, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (40 * row,) * 3).save(
            folder / unicodedata.normalize("NFC", name), format="PNG"
        )
    return folder


def load(root: Path, names: list[str], **more: Any) -> Any:
    table = pd.DataFrame(
        {"path": names, "y": [0, 1, 0, 1][: len(names)], "a": list("xyxy")[: len(names)]}
    )
    return load_folder(root, table, target="y", sensitive="a", image_size=8, **more)


def windows(name: str) -> str:
    return name.replace("/", "\\")


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: unicodedata.normalize("NFD", name),
        windows,
        str.upper,
        str.lower,
        lambda name: f"./{name}",
        lambda name: windows(unicodedata.normalize("NFD", name)).upper(),
    ],
    ids=["NFD", "backslashes", "upper", "lower", "dot", "all"],
)
def test_another_spelling_of_a_name_is_found(root: Path, spell: Any) -> None:
    data = load(root, [spell(name) for name in NAMES])
    assert np.asarray(data.images)[:, 0, 0, 0].tolist() == [0, 40, 80, 120]
    assert [os.path.realpath(root / name) for name in data.attributes["path"]] == data.images.paths


def test_absolute_paths_below_the_root_are_found_also_through_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root, target_is_directory=True)
    for given in (root, link):
        data = load(given, [str(given / name) for name in NAMES])
        assert np.asarray(data.images)[:, 0, 0, 0].tolist() == [0, 40, 80, 120]
    with pytest.raises(DatasetError, match="leads out of the root"):
        load(root, [*NAMES[:3], str(root.parent / "other.png")])
    with pytest.raises(DatasetError, match=r"leads out of the root|do not exist"):
        load(root, [*NAMES[:3], "..\\other.png"])


def test_a_spelling_of_two_files_is_not_guessed(root: Path) -> None:
    Image.new("RGB", (8, 8)).save(root / "D.PNG")
    if len(os.listdir(root)) == 3:
        pytest.skip("this disk does not tell capitals")
    assert len(load(root, [*NAMES[:3], "D.PNG"]).images) == 4
    with pytest.raises(BadImageError, match=r"'d\.Png'.*there is 'D\.PNG'"):
        load(root, [*NAMES[:3], "d.Png"])


def test_two_spellings_of_one_file_are_one_file(root: Path) -> None:
    with pytest.raises(DatasetError, match="more than once"):
        load(root, [*NAMES[:3], "C.jpg"])


@pytest.mark.parametrize("name", ["d", "d.jpg", "D.jpeg"])
def test_another_ending_is_a_hint(root: Path, name: str) -> None:
    with pytest.raises(BadImageError, match=r"there is 'd\.png'"):
        load(root, [*NAMES[:3], name])


@pytest.mark.parametrize(("ending", "kind"), [(".ico", "ICO"), (".avif", "AVIF"), (".heic", None)])
def test_a_kind_that_is_not_read_says_what_is(tmp_path: Path, ending: str, kind: Any) -> None:
    path = tmp_path / f"x{ending}"
    try:
        Image.new("RGB", (16, 16)).save(path, format=kind)
    except (KeyError, ValueError, OSError):  # this Pillow does not write it
        path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    with pytest.raises(BadImageError, match=r"JPEG, PNG, WEBP.*Convert it"):
        np.asarray(ImageFiles([path], image_size=8))


def test_labels_beside_a_list_are_found_too(official: Any) -> None:
    root = official("celeba")
    table = pd.DataFrame(
        {"image_id": [f".\\{i:06d}.JPG" for i in range(24)], "tone": list("ab") * 12}
    )
    data = load_celeba(root, labels=table, sensitive="tone", image_size=8)
    assert data.n_no_label == 0
    assert data.sensitive_features["tone"].tolist() == list("ab") * 12


@pytest.mark.parametrize("start", ["/data/faces", "C:\\data", "http://host", "{root}"])
def test_a_path_of_another_machine_gets_a_hint(root: Path, start: str) -> None:
    start = start.format(root=root.name)
    sep = "\\" if "\\" in start else "/"
    with pytest.raises((BadImageError, DatasetError), match=f"the root has {NAMES[0]!r}"):
        load(root, [sep.join([start, NAMES[0]]), *NAMES[1:]])


def test_a_folder_is_no_image(root: Path) -> None:
    (root / "folder").mkdir()
    with pytest.raises(BadImageError, match=r"'folder' in .*; it is a folder"):
        load(root, ["folder", *NAMES[1:]])

"""Labels of others beside CelebA's: by name, what does not fit counted, errors that say where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fairvision as fv
from fairvision.datasets import load_celeba
from fairvision.exceptions import DatasetError

TYPES = ["I", "II", "III", "IV", "V", "VI"]


def write(root: Path, rows: list[str], header: str = "image_id,fitzpatrick,lit") -> None:
    (root / "types.csv").write_text("\n".join([header, *rows]) + "\n")


def rows(n: int = 24) -> list[str]:
    """In another order than the list, types as numbers and as words, an empty label."""
    words = [str(i % 6 + 1) if i % 2 else f"type {TYPES[i % 6].lower()}" for i in range(n)]
    return [f"{i:06d}.jpg,{words[i]},{'' if i == 7 else 'day'}" for i in reversed(range(n))]


def load(root: Path, **more: Any) -> Any:
    given = {"labels": "types.csv", "sensitive": "skin_group", "image_size": 8, **more}
    return load_celeba(root, **given)


def test_labels_go_with_their_images(official, greys):
    root = official("celeba")
    write(root, rows())
    data = load(root, sensitive=["skin_group", "Male"])
    number = np.array(greys(data.images))
    assert number.tolist() == list(range(24))
    assert data.attributes["skin_tone"].tolist() == [TYPES[i % 6] for i in range(24)]
    darker = np.where(np.arange(24) % 6 < 3, "lighter", "darker")
    assert data.sensitive_features["skin_group"].tolist() == darker.tolist()
    assert data.sensitive_features["Male"].tolist() == ["female", "male"] * 12
    assert (data.n_no_label, data.n_two_labels, data.remarks) == (0, 0, [])
    assert set(data.splits) == {"train", "valid", "test"}
    binary = load(root, target="skin_tone=VI", sensitive="Male")
    assert binary.target.tolist() == [int(i % 6 == 5) for i in range(24)]


def test_the_same_from_a_table_in_memory(official):
    root = official("celeba")
    table = pd.DataFrame(
        {"image": [f"{i:06d}.jpg" for i in range(20)], "skin type": [2.0, 5.0] * 10}
    )
    data = load(root, labels=table)
    assert data.attributes["skin_tone"].tolist() == ["II", "V"] * 10
    assert data.no_label == [f"{i:06d}.jpg" for i in range(20, 24)]


def test_what_does_not_fit_is_left_out_and_counted(official):
    root = official("celeba")
    lines = [line for line in rows() if not line.startswith("000003")]
    lines = [line.replace("000010.jpg,type v", "000010.jpg,7") for line in lines]
    lines += [lines[0], "000004.jpg,1,day", "x.jpg,1,day", ",2,day", "y.jpg,3,"]
    write(root, lines)
    data = load(root)
    assert data.no_label == ["000003.jpg", "000010.jpg"]
    assert data.two_labels == ["000004.jpg"]
    # A label that nobody asked for may be missing: row 7 has no "lit".
    assert len(data.images) == 21
    said = " ".join(data.remarks)
    assert "types.csv: 1 repeated row(s)." in said
    assert "2 row(s) of images that the data do not list, the first 'x.jpg'" in said
    assert "2 image(s) without a usable label in the label file" in data.DESCR
    ask = {"seeds": 1, "max_epochs": 1, "n_boot": 0, "progress": False, "report": False}
    given = {"root": str(root), "labels": "types.csv", "sensitive": "skin_group", "image_size": 16}
    notes = "\n".join(fv.compare("celeba", ["erm"], dataset_params=given, **ask).notes())
    assert "Left out: 2 image(s) without a usable label in the label file, the first" in notes
    assert "Left out: 1 image(s) that the label file labels twice" in notes
    assert "types.csv: 1 repeated row(s)." in notes


def test_the_recipe_reads_them(official):
    pytest.importorskip("fairvision_intra")
    from fairvision.recipes import find_recipe, plan

    root = official("celeba")
    smiling, young = plan(find_recipe("intra-bound"), "celeba", "paper", root=str(root))
    assert young.load == {**smiling.load, "target": "Young"}
    with pytest.raises(DatasetError, match=r"holds no 'fitzpatrick.csv'. Put the file of labels"):
        fv.datasets.load(smiling.dataset, **smiling.load)
    write(root, rows())
    (root / "types.csv").rename(root / "fitzpatrick.csv")
    data = fv.datasets.load(smiling.dataset, **smiling.load)
    assert set(data.sensitive_features["skin_group"]) == {"lighter", "darker"}
    assert data.target_name == "Smiling"


@pytest.mark.parametrize(
    ("header", "lines", "said"),
    [
        ("picture,fitzpatrick", ["000000.jpg,1"], r"'types.csv' needs a column of image names"),
        ("image_id", ["000000.jpg"], r"'types.csv' needs .* and one of labels; it has image_id"),
        ("image_id,Male", ["000000.jpg,1"], r"'types.csv' has the column 'Male', which the data"),
        ("image_id,split", ["000000.jpg,1"], r"'types.csv' has the column 'split', which"),
        ("image_id,fitzpatrick", ["000000.jpg,7"], r"no Fitzpatrick type in its column 'fitz"),
        ("image_id,fitzpatrick", ["0.jpg,1"], r"names no image of the data: the first is '0.jpg'"),
        ("image_id,tone", ["000000.jpg,1"], r"'skin_group' is not in the data; there are .*tone"),
        ("<html>", ["<p>"], r"is a web page"),
    ],
)
def test_files_that_will_not_do(official, header, lines, said):
    root = official("celeba")
    write(root, lines, header)
    with pytest.raises(DatasetError, match=said):
        load(root)


def test_a_file_that_is_not_there_is_told_where_it_belongs(official):
    with pytest.raises(DatasetError, match=r"holds no 'types.csv'.*image_id and a column"):
        load(official("celeba"))

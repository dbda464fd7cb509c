"""CelebA, pictures without faces and PPB as one data set, from folders made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fairvision as fv
from fairvision.exceptions import DatasetError
from fairvision_dbvae import load_face_or_not


def picture(path: Path, grey: int, size: tuple[int, int] = (24, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(grey).integers(-20, 20, (*size, 3))
    Image.fromarray(np.clip(grey + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """12 of CelebA (8 to train on), 30 without a face, 12 of PPB."""
    celeba, ppb = tmp_path / "celeba", tmp_path / "ppb"
    names = [f"{i:06d}.jpg" for i in range(12)]
    for i, name in enumerate(names):
        picture(celeba / "img_align_celeba" / name, 150 + i, (28, 24))
    lines = [f"{name} {i % 2 or -1} {-1 if i % 3 else 1}" for i, name in enumerate(names)]
    (celeba / "list_attr_celeba.txt").write_text("\n".join(["12", "Male Smiling", *lines]))
    parts = "\n".join(f"{name} {0 if i < 8 else 2}" for i, name in enumerate(names))
    (celeba / "list_eval_partition.txt").write_text(parts)
    for i in range(30):
        picture(tmp_path / "nonfaces" / f"class{i % 3}" / f"{i:02d}.png", 60 + i)
    rows = ["filename,gender,fitzpatrick"]
    for i in range(12):
        picture(ppb / "imgs" / f"{i}.jpg", 150 + i, (40, 32))
        rows.append(f"{i}.jpg,{('Female', 'Male')[i % 2]},{i % 6 + 1}")
    rows.append("gone.jpg,Male,1")
    (ppb / "metadata.csv").write_text("\n".join(rows))
    return tmp_path


def ppb_rows(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    rows = table[table["path"].str.startswith("ppb")]
    return rows["gender"].tolist(), rows["skin_tone"].tolist()


def test_who_trains_and_who_is_tested_on(root: Path) -> None:
    data = load_face_or_not(root, image_size=24)
    table = data.attributes.assign(split=data.split, face=data.target)
    counts = table.groupby(["split", "face"]).size().to_dict()
    assert counts == {("train", 1): 8, ("train", 0): 24, ("test", 1): 12, ("test", 0): 6}
    where = table["path"].str.split("/").str[0]
    assert set(where[(table["split"] == "train") & (table["face"] == 1)]) == {"celeba"}
    assert set(where[(table["split"] == "test") & (table["face"] == 1)]) == {"ppb"}
    assert data.target_names == ["no face", "face"]
    groups = data.sensitive_features
    assert set(groups.loc[data.split == "train", "skin_group"]) == {"unknown"}
    tested = groups[data.split == "test"]
    assert set(map(tuple, tested.to_numpy())) == {
        (g, s) for g in ("female", "male") for s in ("lighter", "darker")
    }
    # Each gender and type that PPB has has false alarms to count: one here.
    others = table[(table["split"] == "test") & (table["face"] == 0)]
    pairs = [*zip(others["gender"], others["skin_tone"], strict=True)]
    assert sorted(pairs) == sorted(set(zip(*(ppb_rows(table)), strict=True)))
    assert data.remarks == ["ppb: 1 left out (missing_image)."]
    again = load_face_or_not(root, image_size=24)
    assert (again.split == data.split).all()
    assert again.attributes.equals(data.attributes)


def test_a_comparison_trains_on_one_and_tests_on_the_other(root: Path) -> None:
    params = {"alpha": 0.05, "windows": [1.0, 0.5], "window_stride": 0.5, "n_latents": 2}
    found = fv.compare(
        "face-or-not",
        {"windows": ("db-vae", params)},
        dataset_params={"root": str(root), "image_size": 24},
        baseline="windows",
        **{"seeds": 1, "max_epochs": 1, "n_boot": 20, "progress": False, "report": False},
    )
    assert found.failures == {}
    (run,) = found.runs
    assert (run.n_train, run.n_test) == (32, 18)
    assert "ppb: 1 left out (missing_image)." in found.notes()
    value = found.measure(["true_positive_rate_group_mean", "false_positive_rate"])["value"]
    assert value.notna().all()


@pytest.mark.parametrize("part", ["celeba", "nonfaces", "ppb"])
def test_an_incomplete_root_is_told_what_belongs_where(root: Path, part: str) -> None:
    (root / part).rename(root / "elsewhere")
    with pytest.raises(DatasetError, match=rf"no folder '{part}'. Put three folders .* celeba/"):
        load_face_or_not(root)


def test_a_folder_without_pictures(root: Path) -> None:
    for path in (root / "nonfaces").rglob("*.png"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"nonfaces' holds 0 pictures. Put three"):
        load_face_or_not(root)

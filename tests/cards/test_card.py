"""What a data card says of small data sets whose faults are known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.exceptions import DatasetError, InputError


def make_card(data: Any, **options: Any) -> Any:
    return fv.data_card(data, n_boot=100, random_state=0, **options)


@pytest.fixture(scope="module")
def bunch() -> Bunch:
    """Two hundred pictures of noise: class and skin go together, site and class are the same."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    skin = np.where(rng.random(200) < 0.9, y, 1 - y)
    images = rng.integers(0, 200, (200, 3, 24, 24)).astype(np.uint8)
    images[skin == 1] += 50
    images[150] = images[3]
    return Bunch(
        images=images,
        target=y,
        target_name="ill",
        target_names=["well", "ill"],
        sensitive_features=pd.DataFrame({"skin": np.array(["dark", "light"])[skin]}),
        attributes=pd.DataFrame({"site": np.array(["a", "b"])[y], "person": np.arange(200) // 3}),
        split=np.array(["train"] * 140 + ["test"] * 60),
    )


def says(card: Any, *words: str) -> bool:
    return any(all(word in line for word in words) for line in card.findings)


def test_findings(bunch: Bunch) -> None:
    card = make_card(bunch, identity="person")
    assert says(card, "ill and skin go together", "have skin = light")
    assert says(card, "Other columns that go with ill: site (1.00)")
    assert says(card, "2 pictures are in 1 set of near copies", "1 of them with different classes")
    assert says(card, "In several splits: 1 set of near copies")
    assert says(card, "In several splits: 1 of 67 values of 'person'")
    assert says(card, "Pictures with skin = dark are darker")
    assert card.identities == {
        "column": "person",
        "n": 67,
        "n_repeated": 67,
        "n_in_several_parts": 1,
    }


def test_tables(bunch: Bunch) -> None:
    card = make_card(bunch)
    assert list(card.counts) == ["test", "train", "all"]
    assert card.counts["all"].sum() == 200
    cell = (bunch.target == 1) & (bunch.sensitive_features["skin"] == "light")
    assert card.counts.loc[("ill", "light"), "all"] == cell.sum()
    assert card.copies["row"].tolist() == [3, 150]
    assert card.pictures.loc[("skin", "dark"), "brightness"] < 110
    pair = card.associations[card.associations["b"] == "site"].iloc[0]
    assert pair["value"] == pytest.approx(1)
    assert json.loads(json.dumps(card.to_dict()))["counts"][0]["ill"] == "ill"
    assert "ill and skin go together" in repr(card)


def test_methods_that_cannot_work_are_named(bunch: Bunch) -> None:
    skin = bunch.sensitive_features["skin"].to_numpy().copy()
    skin[(bunch.target == 0) & (skin == "light")] = "dark"
    skin[:3] = "other"
    classes = np.where(np.arange(200) % 5, bunch.target, 2)
    data = Bunch(
        **{
            **bunch,
            "target": classes,
            "target_names": None,
            "sensitive_features": pd.DataFrame({"skin": skin}),
        }
    )
    methods = make_card(data).methods.set_index("method")
    assert methods.loc["erm", "runs"] == "yes"
    assert methods.loc["exponentiated-gradient", "runs"] == "no"
    assert "there are 3" in methods.loc["exponentiated-gradient", "reason"]
    assert methods.loc["balanced-sampling", "runs"] == "at risk"


def test_features_have_no_pictures(bunch: Bunch) -> None:
    features = Bunch(**{**bunch, "images": np.random.default_rng(0).normal(size=(200, 5))})
    card = make_card(features)
    assert len(card.pictures) == len(card.copies) == len(card.unreadable) == 0
    assert card.to_html().startswith("<!doctype html>")


def test_same_seed_same_numbers(bunch: Bunch) -> None:
    assert make_card(bunch).to_dict() == make_card(bunch).to_dict()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty pictures: one is a copy under another name, one is torn, one is missing."""
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:02d}.png")
    shutil.copy(tmp_path / "00.png", tmp_path / "39.png")
    (tmp_path / "07.png").write_bytes((tmp_path / "07.png").read_bytes()[:200])
    table = pd.DataFrame({"path": [f"{i:02d}.png" for i in range(40)]})
    table["ill"], table["sex"] = np.arange(40) % 2, np.where(np.arange(40) % 4 < 2, "f", "m")
    table.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def folder_card(folder: Path, **more: Any) -> Any:
    params = {"root": str(folder), "labels": "labels.csv", "target": "ill", "sensitive": "sex"}
    return make_card("folder", dataset_params={**params, **more})


def test_files(folder: Path) -> None:
    card = folder_card(folder)
    assert [Path(path).name for path in card.copies["path"]] == ["00.png", "39.png"]
    assert says(card, "A random split would put some of them on both sides")
    assert [Path(path).name for path in card.unreadable["path"]] == ["07.png"]
    assert says(card, "1 picture cannot be read")
    assert card.counts["all"].sum() == 40
    assert card.pictures.loc[("sex", "f"), "width"] == 40


def test_missing_files_are_listed(folder: Path) -> None:
    (folder / "11.png").unlink()
    card = folder_card(folder)
    assert {Path(path).name for path in card.unreadable["path"]} == {"07.png", "11.png"}


def test_a_card_of_pictures_that_all_cannot_be_read(folder: Path) -> None:
    for path in folder.glob("*.png"):
        path.write_bytes(b"no picture")
    card = folder_card(folder)
    assert len(card.unreadable) == 40
    assert len(card.copies) == 0
    assert card.to_html()


def test_columns_need_no_names(bunch: Bunch) -> None:
    groups = bunch.sensitive_features["skin"].tolist()
    data = Bunch(images=bunch.images / 255.0, target=bunch.target, sensitive_features=groups)
    assert make_card(data).sensitive == ["sensitive_feature"]
    numbered = pd.DataFrame({0: groups, 1: np.arange(200) % 3})
    assert make_card(Bunch(**{**data, "sensitive_features": numbered})).sensitive == ["0", "1"]


def test_bad_input(bunch: Bunch, folder: Path) -> None:
    with pytest.raises(InputError, match="identity 'nobody' is no attribute"):
        make_card(bunch, identity="nobody")
    with pytest.raises(DatasetError, match="'age' is not in the data"):
        folder_card(folder, target="age")
    with pytest.raises(InputError, match="'path' has 40 value"):
        folder_card(folder, sensitive="path")
    with pytest.raises(InputError, match="both target and sensitive"):
        folder_card(folder, sensitive="ill")
    with pytest.raises(InputError, match="n_boot=-1"):
        fv.data_card(bunch, n_boot=-1)

"""Files that earlier versions wrote are loaded, and predict what they did then."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import fairvision as fv
from fairvision.saving import read_manifest
from fairvision.saving._file import FORMAT

FOLDER = Path(__file__).parent / "fixtures"
FILES = sorted(FOLDER.glob("*.safetensors"))

_spec = importlib.util.spec_from_file_location("make_fixtures", FOLDER / "make.py")
assert _spec is not None
assert _spec.loader is not None
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)


def test_there_are_files_of_every_format():
    formats = {path.name.partition("-")[0] for path in FILES}
    assert formats == {f"format{number}" for number in range(1, FORMAT + 1)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_predicts_what_it_did(path):
    expected = json.loads((FOLDER / f"{path.name.partition('-')[0]}.json").read_text())[path.name]
    objects = {"backbone": make.brought_along()} if read_manifest(path)["objects"] else None
    model = fv.load(path, objects=objects)
    found = model.predict_proba(make.pictures())[:, 1]
    # Another machine or another torch may round another way.
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert model.classes_.tolist() == ["cat", "dog"]


def test_groups_history_and_metrics_of_the_first_format():
    path = FOLDER / "format1-plain.safetensors"
    model, manifest = fv.load(path), read_manifest(path)
    assert model.groups_.names == ("hat", "tone")
    assert model.groups_.column(0).tolist() == [True, False, False] * 4
    assert len(model.history_) == 3
    assert {"value", "lower", "upper"} <= manifest["evaluation"]["overall"]["accuracy"].keys()
    assert manifest["distribution"] == "fairvision"

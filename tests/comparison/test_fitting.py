"""`fit`: one run on all rows but the validation rows, as a model of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils import Bunch
from torchvision.models import squeezenet1_1

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.nn import FeatureExtractor, TorchClassifier

pytestmark = pytest.mark.cpu

QUICK: dict[str, Any] = {"max_epochs": 1, "n_boot": 20}


@pytest.fixture(scope="module")
def faces() -> Bunch:
    return fv.datasets.load(
        "faces", n_samples=120, image_size=24, target="eyeglasses", sensitive="hat", random_state=0
    )


def test_it_is_one_run_of_a_comparison(faces: Bunch) -> None:
    model = fv.fit(faces, "erm", validation_fraction=0.3, random_state=1, **QUICK)
    result = fv.compare(
        faces, ["erm"], seeds=[1], test_size=0.3, max_epochs=1, n_boot=20, progress=False
    )
    (run,) = result.runs
    np.testing.assert_array_equal(model.predict_proba(faces.images[run.rows])[:, 1], run.y_score)
    assert model.evaluation["overall"] == run.evaluation["overall"]
    assert model.facts["n_validation"] == run.n_test == 36


def test_rows_that_the_data_name_are_held_out(faces: Bunch) -> None:
    parts = np.array(["train"] * 80 + ["valid"] * 25 + ["test"] * 15)
    parted = Bunch(**{**faces, "split": parts})
    model = fv.fit(parted, **QUICK)
    assert (model.facts["n_train"], model.facts["n_validation"]) == (80, 25)
    model = fv.fit(parted, validation_fraction=0.4, **QUICK)
    assert model.facts["n_train"] + model.facts["n_validation"] == 105
    faces = Bunch(**{**faces, "attributes": faces.attributes.assign(mine=np.arange(120) < 30)})
    assert fv.fit(faces, validation_column="mine", **QUICK).facts["n_validation"] == 30
    with pytest.raises(InputError, match="is no attribute"):
        fv.fit(faces, validation_column="yours", **QUICK)
    with pytest.raises(InputError, match="holds out 0 of 120"):
        fv.fit(faces, validation_column="background", **QUICK)


def test_test_rows_are_never_seen(faces: Bunch) -> None:
    parts = np.array(["train"] * 80 + ["valid"] * 25 + ["test"] * 15)
    flipped = np.where(parts == "test", 1 - faces.target, faces.target)
    first, second = (
        fv.fit(Bunch(**{**faces, "split": parts, "target": y}), **QUICK)
        for y in (faces.target, flipped)
    )
    np.testing.assert_array_equal(
        first.predict_proba(faces.images), second.predict_proba(faces.images)
    )
    assert first.evaluation == second.evaluation


def test_three_stages_nest_as_in_compose(faces: Bunch) -> None:
    net = TorchClassifier("mlp")
    model = fv.fit(faces, pre="reweighing", model=net, post="threshold-optimizer", **QUICK)
    assert model.facts["method"] == "reweighing + model 0 + threshold-optimizer"
    assert model.reads_groups
    inside = model.estimator.estimator
    assert type(inside) is fv.Resampled
    assert inside.classifier.backbone == "mlp"
    assert inside.classifier.max_epochs == 1
    for wrong in (
        {"pre": "exponentiated-gradient"},
        {"model": "reweighing"},
        {"method": "erm", "pre": "reweighing"},
    ):
        with pytest.raises(InputError, match=r"stage|are both given"):
            fv.fit(faces, **wrong, **QUICK)


def test_features_go_into_the_model(faces: Bunch, tmp_path: Path) -> None:
    torch.save(squeezenet1_1(num_classes=2).state_dict(), tmp_path / "net.pth")
    extractor = FeatureExtractor("squeezenet1_1", tmp_path / "net.pth", image_size=32)
    model = fv.fit(faces, "last-layer-retraining", features=extractor, **QUICK)
    loaded = fv.load(model.save(tmp_path / "model.fv"))
    np.testing.assert_array_equal(loaded.predict(faces.images), model.predict(faces.images))
    with pytest.raises(InputError, match="needs pixels"):
        fv.fit(faces, "data-attribution", features=extractor, **QUICK)


def test_bad_input_is_said_before_training(faces: Bunch) -> None:
    table = Bunch(**{**faces, "images": np.zeros((120, 3))})
    for error, arguments in (
        ("no images", (table,)),
        ("fit trains one", (faces, ["erm", "reweighing"])),
        ("validation_fraction|test_size", (faces, "erm")),
    ):
        with pytest.raises(InputError, match=error):
            fv.fit(*arguments, validation_fraction=7, **QUICK)

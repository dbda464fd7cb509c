"""A model of pictures: read as in training, saved whole, honest about what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch
from torchvision.models import squeezenet1_1

import fairvision as fv
from fairvision.exceptions import BadImageError, GroupsRequiredError, InputError, SavingError
from fairvision.models import picture_files
from fairvision.nn import FeatureExtractor, TorchClassifier, as_module
from fairvision.saving._file import pack, unpack

pytestmark = pytest.mark.cpu


def test_files_folders_and_images_are_predicted_alike(
    model: fv.ImageModel, classifier: TorchClassifier, data: Bunch, folder: Path
) -> None:
    expected = classifier.predict_proba(data.images)
    paths = data.images.paths
    for X in (
        paths,
        pd.Series(paths, index=range(7, 47)),
        np.array(paths),
        np.asarray(data.images),
    ):
        np.testing.assert_array_equal(model.predict_proba(X), expected)
    in_order = list(picture_files([folder]))
    assert in_order == sorted(paths)
    np.testing.assert_array_equal(model.predict(folder), model.predict(in_order))
    np.testing.assert_array_equal(
        model.predict(Path(paths[3])), classifier.predict(data.images)[3:4]
    )


def test_what_it_knows_of_the_data(model: fv.ImageModel, data: Bunch) -> None:
    assert model.settings == data.images.settings
    assert model.input_shape_ == (3, 12, 10)
    assert (model.target_name, model.sensitive_names) == ("kind", ["coat"])
    assert model.names_of(model.predict(data.images)[:2]) == ["cat", "dog"]
    assert not model.reads_groups
    assert clone(model) is model


def test_the_file_holds_it_all(model: fv.ImageModel, data: Bunch, tmp_path: Path) -> None:
    report = fv.evaluate(
        model, data.images, data.target, sensitive_features=data.sensitive_features, n_boot=20
    )
    before = fv.ImageModel.from_dataset(
        model.estimator, data, evaluation=report.to_dict(), facts={"method": "fairvision:erm"}
    )
    loaded = fv.load(before.save(tmp_path / "model.fv"))
    np.testing.assert_array_equal(
        loaded.predict_proba(data.images), model.predict_proba(data.images)
    )
    for name in ("settings", "class_names", "target_name", "sensitive_names", "facts"):
        assert getattr(loaded, name) == getattr(before, name)
    assert loaded.evaluation["overall"] == report.to_dict()["overall"]
    with pytest.raises(SavingError, match="exists"):
        before.save(tmp_path / "model.fv")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 10**9),
        ("image_size", 0),
        ("mode", "CMYK"),
        ("estimator", 3),
        ("class_names", ["cat"]),
    ],
)
def test_a_forged_file_is_refused_at_load(
    model: fv.ImageModel, tmp_path: Path, name: str, value: Any
) -> None:
    manifest, tensors = unpack(model.save(tmp_path / "model.fv").read_bytes())
    node = manifest["estimator"]
    node["state" if name in node["state"] else "params"][name] = value
    del manifest["sha256"], manifest["format"]
    (tmp_path / "forged.fv").write_bytes(pack(manifest, tensors))
    with pytest.raises(SavingError, match=r"forged\.fv cannot be loaded"):
        fv.load(tmp_path / "forged.fv")


def test_features_are_part_of_it(data: Bunch, tmp_path: Path) -> None:
    torch.save(squeezenet1_1(num_classes=2).state_dict(), tmp_path / "net.pth")
    extractor = FeatureExtractor("squeezenet1_1", tmp_path / "net.pth", image_size=40, batch_size=8)
    features = extractor.fit_transform(data.images)
    for estimator in (
        TorchClassifier("linear", max_epochs=1, random_state=0),
        LogisticRegression(),
    ):
        estimator.fit(features, data.target)
        model = fv.ImageModel.from_dataset(estimator, data, extractor=extractor)
        loaded = fv.load(model.save(tmp_path / f"{type(estimator).__name__}.fv"))
        labels, scores = loaded.predict_both(data.images.paths)
        np.testing.assert_array_equal(labels, estimator.predict(features))
        np.testing.assert_array_equal(scores, estimator.predict_proba(features))


def test_a_bare_classifier_knows_its_size(classifier: TorchClassifier, data: Bunch) -> None:
    model = fv.ImageModel.from_estimator(FrozenEstimator(classifier))
    assert model.settings == {**data.images.settings, "resize": "crop"}
    assert fv.ImageModel.from_estimator(model) is model
    with pytest.raises(InputError, match=r"unknown shape.*image_size="):
        fv.ImageModel.from_estimator(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    with pytest.raises(InputError, match="no images"):
        fv.ImageModel.from_dataset(classifier, Bunch(**{**data, "images": np.zeros((40, 5))}))


def test_groups_that_the_estimator_reads(data: Bunch, tmp_path: Path) -> None:
    net = TorchClassifier("mlp", max_epochs=2, random_state=0)
    thresholds = fv.make("threshold-optimizer", estimator=net, random_state=0)
    thresholds.fit(data.images, data.target, sensitive_features=data.sensitive_features)
    model = fv.load(fv.ImageModel.from_dataset(thresholds, data).save(tmp_path / "model.fv"))
    assert model.reads_groups
    paths = data.images.paths[:3]
    with pytest.raises(GroupsRequiredError, match=r"\(coat\)"):
        model.predict(paths)
    with pytest.raises(InputError, match="striped"):
        model.predict(paths, sensitive_features=["plain", "striped", "plain"])
    groups = data.sensitive_features[:3]
    labels, scores = model.predict_both(paths, sensitive_features=groups)
    np.testing.assert_array_equal(
        labels, thresholds.predict(data.images[:3], sensitive_features=groups)
    )
    assert scores is not None
    assert scores.shape == (3, 2)


def test_one_module_computes_it(model: fv.ImageModel, data: Bunch) -> None:
    images = torch.as_tensor(np.asarray(data.images) / 255).float()
    probabilities = as_module(model)(images).detach().numpy()
    np.testing.assert_allclose(probabilities, model.predict_proba(data.images), atol=1e-6)


def test_bad_pictures_are_named(model: fv.ImageModel, tmp_path: Path, data: Bunch) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    for path, words in (
        (tmp_path / "text.jpg", "not an image"),
        (tmp_path / "none.jpg", "not exist"),
    ):
        with pytest.raises(BadImageError, match=words):
            model.predict([path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"'.*empty' holds no picture"):
        model.predict(tmp_path / "empty")
    with pytest.raises(InputError, match=r"shape \(3, 9, 9\)"):
        model.predict(np.zeros((2, 3, 9, 9), dtype=np.uint8))

"""What people pass for X in good faith: read, or refused by one message that says what to pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import squeezenet1_1

import fairvision as fv
from fairvision.base import rows_of
from fairvision.datasets import ImageFiles
from fairvision.exceptions import BadImageError, InputError
from fairvision.nn import FeatureExtractor, TorchClassifier

pytestmark = pytest.mark.cpu

IMAGES = np.random.default_rng(0).integers(0, 255, (20, 3, 8, 8), dtype=np.uint8)
Y, GROUPS = np.tile([0, 1], 10), np.tile(["a", "a", "b", "b"], 5)
DATA = TensorDataset(torch.tensor(IMAGES) / 255, torch.tensor(Y))

REFUSED: dict[str, tuple[Any, str]] = {
    "a folder": ("photographs", "X is the path 'photographs'"),
    "a loader": (DataLoader(DATA), r"X is a DataLoader.*from_torch\(loader.dataset\)"),
    "a torch data set": (DATA, r"X is a TensorDataset.*from_torch\(dataset\)"),
    "data": (Bunch(images=IMAGES, target=Y), r"X is a Bunch.*data\['images'\]"),
    "images and labels": ((IMAGES, Y), "X is a tuple of images and labels. Pass them apart"),
    "a generator": ((image for image in IMAGES), "X is a generator. Pass images as one array"),
    "a column of images": (
        pd.Series(list(IMAGES)),
        r"holds an array in each row.*numpy.stack\(X\)",
    ),
    "rows of a data set": ([{"image": image} for image in IMAGES], r"each a dict with \['image'\]"),
    "nothing": (None, "X is None"),
}


@pytest.fixture(scope="module")
def model() -> TorchClassifier:
    return TorchClassifier("mlp", max_epochs=1, random_state=0).fit(IMAGES, Y)


ENTRIES: dict[str, Callable[[TorchClassifier, Any], Any]] = {
    "fit": lambda model, X: TorchClassifier("mlp").fit(X, Y),
    "predict": lambda model, X: model.predict(X),
    "transform": lambda model, X: model.transform(X),
    "a sampler": lambda model, X: fv.compose(pre=fv.make("balanced-sampling"), model=model).fit(
        X, Y, sensitive_features=GROUPS
    ),
    "thresholds": lambda model, X: fv.make("threshold-optimizer", estimator=model).fit(
        X, Y, sensitive_features=GROUPS
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("entry", ENTRIES)
def test_what_holds_no_images_is_refused_by_name(model, entry, name):
    X, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        ENTRIES[entry](model, X)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The images as files."""
    folder = tmp_path_factory.mktemp("images")
    names = [str(folder / f"{i}.png") for i in range(len(IMAGES))]
    for name, image in zip(names, IMAGES, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(name)
    return names


@pytest.mark.parametrize("form", [list, lambda p: list(map(Path, p)), np.array, pd.Series])
def test_paths_are_read_where_the_size_is_known(model, paths, form):
    X = form(paths)
    kind = type(X).__name__
    with pytest.raises(InputError, match=f"X is a {kind} of paths.*image_size="):
        ENTRIES["fit"](model, X)
    for entry in ("predict", "transform"):
        np.testing.assert_array_equal(ENTRIES[entry](model, X), ENTRIES[entry](model, IMAGES))
    with pytest.raises(BadImageError, match=r"none\.png"):
        model.predict([*paths[:3], "none.png"])


@pytest.mark.parametrize("name", ["threshold-optimizer", "last-layer-retraining"])
def test_paths_pass_through_what_is_around_a_net(model, paths, name):
    around = fv.make(name, estimator=FrozenEstimator(model), random_state=0)
    groups = {"sensitive_features": GROUPS}
    at_predict = groups if name == "threshold-optimizer" else {}
    expected = clone(around).fit(IMAGES, Y, **groups).predict_proba(IMAGES, **at_predict)
    around.fit(paths, Y, **groups)
    np.testing.assert_array_equal(around.predict_proba(paths, **at_predict), expected)


def test_an_extractor_knows_its_size(paths):
    net = squeezenet1_1(num_classes=2).features
    extractor = FeatureExtractor(net, image_size=40)
    images = ImageFiles(paths, image_size=40)
    np.testing.assert_array_equal(extractor.fit_transform(paths), extractor.transform(images))
    steps = make_pipeline(
        FeatureExtractor(net, layer="2", image_size=40), TorchClassifier("linear")
    )
    model = fv.compose(pre=fv.make("balanced-sampling", random_state=0), model=steps)
    assert model.fit(paths, Y, sensitive_features=GROUPS).predict(paths).shape == (20,)


class FakeDataset:
    """As h5py's data sets: row numbers must ascend, each once; a slice is read at once."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.shape, self.dtype = images, images.shape, images.dtype

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, np.ndarray) and (np.diff(key) <= 0).any():
            raise TypeError("Indexing elements must be in increasing order")
        return self.images[key]


FakeDataset.__module__ = "h5py._hl.dataset"


def test_an_hdf5_data_set_gives_what_its_array_gives(model):
    data = FakeDataset(IMAGES)
    twin = TorchClassifier("mlp", max_epochs=1, random_state=0).fit(data, Y)
    expected = model.predict_proba(IMAGES)
    np.testing.assert_array_equal(twin.predict_proba(data), expected)
    np.testing.assert_array_equal(rows_of(data, np.array([5, 1, 1])), IMAGES[[5, 1, 1]])


@pytest.mark.parametrize("n_rows", [19, 20])
def test_batches_of_one_row(n_rows):
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.BatchNorm1d(4), nn.ReLU())
    given = IMAGES[:n_rows], Y[:n_rows]
    TorchClassifier(net, batch_size=2, max_epochs=1, random_state=0).fit(*given)
    with pytest.raises(InputError, match=r"A batch has one row.*Pass batch_size=2 or more"):
        TorchClassifier(net, batch_size=1, max_epochs=1).fit(*given)
    maps = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AvgPool2d(6))
    TorchClassifier(maps, batch_size=1, max_epochs=1, random_state=0).fit(*given)

"""What people pass for X in good faith: read, or refused by one message that says what to pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils import Bunch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier

pytestmark = pytest.mark.cpu

IMAGES = np.random.default_rng(0).integers(0, 255, (20, 3, 8, 8), dtype=np.uint8)
Y, GROUPS = np.tile([0, 1], 10), np.tile(["a", "a", "b", "b"], 5)
DATA = TensorDataset(torch.tensor(IMAGES) / 255, torch.tensor(Y))

REFUSED: dict[str, tuple[Any, str]] = {
    "paths": ([f"{i}.png" for i in range(20)], "X is a list of paths, '0.png' first. Read"),
    "Path objects": ([Path("a")] * 20, "X is a list of paths, 'a' first.*ImageFiles"),
    "an array of paths": (np.array(["a.png"] * 20), "X is a ndarray of paths"),
    "a column of paths": (pd.Series(["a.png"] * 20), "X is a Series of paths"),
    "a folder": ("photographs", "X is the path 'photographs'"),
    "a loader": (DataLoader(DATA), r"X is a DataLoader.*from_torch\(loader.dataset\)"),
    "a torch data set": (DATA, r"X is a TensorDataset.*from_torch\(dataset\)"),
    "data": (Bunch(images=IMAGES, target=Y), r"X is a Bunch.*data\['images'\]"),
    "images and labels": ((IMAGES, Y), "X is a tuple of images and labels. Pass them apart"),
    "a generator": ((image for image in IMAGES), "X is a generator. Pass images as one array"),
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


@pytest.mark.parametrize("n_rows", [19, 20])
def test_batches_of_one_row(n_rows):
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.BatchNorm1d(4), nn.ReLU())
    given = IMAGES[:n_rows], Y[:n_rows]
    TorchClassifier(net, batch_size=2, max_epochs=1, random_state=0).fit(*given)
    with pytest.raises(InputError, match=r"A batch has one row.*Pass batch_size=2 or more"):
        TorchClassifier(net, batch_size=1, max_epochs=1).fit(*given)
    maps = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AvgPool2d(6))
    TorchClassifier(maps, batch_size=1, max_epochs=1, random_state=0).fit(*given)

"""Parameters that no file can hold are named, asked for, and put back."""

from __future__ import annotations

import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping
from torchvision.transforms import v2

import fairvision as fv
from fairvision.exceptions import SavingError
from fairvision.nn import TorchClassifier
from fairvision.saving import read_manifest


@pytest.fixture
def path(data, tmp_path):
    model = TorchClassifier(
        "mlp",
        max_epochs=1,
        train_transform=v2.RandomHorizontalFlip(),
        callbacks=[EarlyStopping(monitor="train_loss")],
        optimizer=lambda params, **rest: torch.optim.SGD(params, **rest),
    )
    return fv.save(model.fit(data.images, data.target), tmp_path / "m")


def test_the_error_names_them_with_what_they_were(path):
    with pytest.raises(SavingError, match=r"m cannot be loaded: it was saved without ") as error:
        fv.load(path)
    for name in ("optimizer", "train_transform", "callbacks"):
        assert f"{name} (" in str(error.value)
    assert "RandomHorizontalFlip" in str(error.value)
    assert "objects={" in str(error.value)
    assert "with None for objects that prediction does not need" in str(error.value)


def test_the_manifest_lists_them(path):
    assert read_manifest(path)["objects"].keys() == {"optimizer", "train_transform", "callbacks"}


def test_what_is_given_is_put_in_its_place(path, data):
    flip = v2.RandomHorizontalFlip()
    given = {"train_transform": flip, "callbacks": None, "optimizer": torch.optim.SGD}
    loaded = fv.load(path, objects=given)
    assert loaded.train_transform is flip
    assert loaded.callbacks is None
    assert loaded.fit(data.images, data.target).predict(data.images).shape == (40,)


def test_one_that_is_not_asked_for_is_an_error(path, model, tmp_path):
    given = {"train_transform": None, "callbacks": None, "optimizer": None}
    with pytest.raises(SavingError, match=r"'optimiser', which the file does not need.*'opt"):
        fv.load(path, objects=given | {"optimiser": None})
    with pytest.raises(SavingError, match=r"does not need. It needs none"):
        fv.load(fv.save(model, tmp_path / "n"), objects={"backbone": None})


def test_a_module_of_another_structure_is_an_error(tiny, data, tmp_path):
    path = fv.save(TorchClassifier.from_module(tiny, classes=["cat", "dog"]), tmp_path / "m")
    with pytest.raises(SavingError, match=r"Missing key.*Was it saved with the backbone that"):
        fv.load(path, objects={"backbone": torch.nn.Linear(3, 2)})
    with pytest.raises(SavingError, match=r"Was it saved with the backbone"):
        fv.load(path, objects={"backbone": None})


def test_a_factory_of_ones_own_is_asked_for_and_never_imported(data, tmp_path):
    def factory(shape):
        return torch.nn.Flatten()

    model = TorchClassifier(factory, max_epochs=1).fit(data.images, data.target)
    path = fv.save(model, tmp_path / "m")
    assert read_manifest(path)["objects"] == {
        "backbone": f"{__name__}.{factory.__qualname__}",
    }
    loaded = fv.load(path, objects={"backbone": factory})
    assert (loaded.predict_proba(data.images) == model.predict_proba(data.images)).all()


def test_so_is_the_name_of_one(data, tmp_path):
    model = TorchClassifier("torch.nn:Flatten", max_epochs=1).fit(data.images, data.target)
    path = fv.save(model, tmp_path / "m")
    with pytest.raises(SavingError, match=r"without backbone \('torch.nn:Flatten'\)"):
        fv.load(path)
    loaded = fv.load(path, objects={"backbone": "torch.nn:Flatten"})
    assert (loaded.predict_proba(data.images) == model.predict_proba(data.images)).all()


def test_a_fitted_clone_has_what_the_original_has(data, tmp_path):
    flip = v2.RandomHorizontalFlip()
    model = fv.compose(
        pre=fv.make("balanced-sampling"),
        model=TorchClassifier("mlp", max_epochs=1, train_transform=flip),
    ).fit(data.images, data.target, sensitive_features=data.groups)
    path = fv.save(model, tmp_path / "m")
    assert read_manifest(path)["objects"].keys() == {"classifier__train_transform"}
    loaded = fv.load(path, objects={"train_transform": flip})
    assert loaded.classifier.train_transform is loaded.classifier_.train_transform is flip


class Watcher(Callback):
    """A progress bar, say."""

    only_watches = True


def test_what_only_watches_a_training_is_left_out(data, tmp_path):
    net = TorchClassifier("mlp", max_epochs=1, random_state=0, callbacks=[Watcher()])
    loaded = fv.load(fv.save(net.fit(data.images, data.target), tmp_path / "model"))
    assert loaded.callbacks is None
    assert isinstance(net.callbacks[0], Watcher)

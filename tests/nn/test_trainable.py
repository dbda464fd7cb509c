"""Training a part of a net: which weights move, what stays, and that it costs what it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from fairvision.exceptions import InputError
from fairvision.nn import Objective, TorchClassifier
from fairvision.nn.backbones import build_classifier
from fairvision.nn.prefix import find_prefix
from fairvision.nn.trainable import choose_trainable, trunk_layers
from fairvision.testing import check_resumes

pytestmark = pytest.mark.cpu

SHORT = {"max_epochs": 2, "batch_size": 16, "random_state": 0, "lr": 1e-2}


def fitted(pictures, *args, **params):
    model = TorchClassifier(*args, **{**SHORT, **params})
    return model.fit(pictures.images, pictures.target)


def changed(model: TorchClassifier, before: nn.Module) -> set[str]:
    now, old = model.module_.state_dict(), before.state_dict()
    return {name for name in now if not torch.equal(now[name], old[name])}


@pytest.mark.parametrize(
    ("trainable", "allowed"),
    [
        ("head", ("head.",)),
        ("last:1", ("head.", "trunk.11.")),
        ("last:2", ("head.", "trunk.11.", "trunk.6.", "trunk.7.")),
        (["6"], ("head.", "trunk.6.")),
        ([], ("head.",)),
    ],
)
def test_only_the_chosen_weights_and_statistics_change(pictures, trainable, allowed):
    before = fitted(pictures, trainable=trainable, max_epochs=0).module_
    moved = changed(fitted(pictures, trainable=trainable), before)
    assert moved
    assert all(name.startswith(allowed) for name in moved)
    weights = {name.rpartition(".")[0] for name in moved}
    assert len(weights) == len(allowed)  # each of them moves


@pytest.mark.parametrize("trainable", ["head", "last:1", ["11"]])
def test_computed_once_or_each_time_training_is_the_same(pictures, trainable):
    once = fitted(pictures, trainable=trainable)
    each_time = fitted(pictures, trainable=trainable, train_transform=nn.Identity())
    np.testing.assert_allclose(
        once.predict_proba(pictures.images), each_time.predict_proba(pictures.images), atol=1e-4
    )


class Counted(nn.Module):
    """A trunk that counts the images that pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=4)
        self.n_images = 0

    def forward(self, x):
        self.n_images += len(x)
        return self.first(x).flatten(1)


def test_frozen_layers_run_once_for_each_image(pictures):
    once = fitted(pictures, Counted(), trainable="head", max_epochs=5).module_.trunk.n_images
    every_time = fitted(
        pictures, Counted(), trainable="head", max_epochs=5, train_transform=nn.Identity()
    ).module_.trunk.n_images
    assert once < 2 * len(pictures.images) < 5 * len(pictures.images) < every_time


def test_images_that_may_differ_are_computed_each_epoch(pictures):
    class Lazy:
        ndim, dtype = 4, pictures.images.dtype

        def __init__(self, images):
            self.images, self.shape = images, images.shape

        def __len__(self):
            return len(self.images)

        def __getitem__(self, rows):
            return Lazy(self.images[rows])

        def __array__(self, dtype=None, copy=None):
            return np.array(self.images, dtype=dtype)

    model = TorchClassifier(Counted(), trainable="head", **{**SHORT, "max_epochs": 5})
    model.fit(Lazy(pictures.images), pictures.target)
    assert model.module_.trunk.n_images > 5 * len(pictures.images)


def test_validation_rows_are_stored_too(pictures):
    kept = {"trainable": "head", "validation_fraction": 0.25}
    once = fitted(pictures, **kept)
    each_time = fitted(pictures, train_transform=nn.Identity(), **kept)
    for row, other in zip(once.history_, each_time.history_, strict=True):
        assert row["valid_loss"] == pytest.approx(other["valid_loss"], abs=1e-4)


def test_the_trunk_has_a_learning_rate_of_its_own(pictures):
    before = fitted(pictures, max_epochs=0).module_
    model = fitted(pictures, trunk_lr=0.0)
    moved = {name for name in changed(model, before) if before.state_dict()[name].ndim}
    trained = {name for name, _ in model.module_.named_parameters()}
    assert moved & trained == {"head.weight", "head.bias"}
    groups = model.net_.optimizer_.param_groups
    assert sorted(group["lr"] for group in groups if group["params"]) == [0.0, SHORT["lr"]]


def test_the_whole_net_trains_as_without_the_parameters(pictures):
    plain = fitted(pictures).predict_proba(pictures.images)
    np.testing.assert_array_equal(
        fitted(pictures, trunk_lr=SHORT["lr"]).predict_proba(pictures.images), plain
    )


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("mobilenet_v2", ["features.0"], ["features.18"]),
        ("resnet18", ["conv1", "bn1"], ["layer4.1"]),
        ("vit_b_32", ["conv_proj"], ["encoder.layers.encoder_layer_11", "encoder.ln"]),
        ("convnext_tiny", ["features.0.0", "features.0.1"], ["features.7.2", "classifier.0"]),
    ],
)
def test_a_layer_is_what_a_net_repeats(name, first, last):
    with torch.device("meta"):
        model = models.get_model(name)
    head = list(model.modules())[-1]
    layers = trunk_layers(model, head)
    assert layers[0] == first
    assert layers[-1] == last
    assert len(layers) > 8


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "densenet121", "swin_t"])
@pytest.mark.parametrize("trainable", ["head", "last:1"])
def test_the_frozen_part_of_published_nets_is_left_out(name, trainable):
    module = build_classifier(name, None, (3, 64, 64), 2)
    choose_trainable(module, trainable)
    x = torch.rand(2, 3, 64, 64)
    prefix = find_prefix(module, x)
    assert prefix is not None
    stored = prefix.compute(x)
    module.eval()
    with torch.no_grad(), prefix.left_out():
        torch.testing.assert_close(module(stored), module(x))
        torch.testing.assert_close(module.features(stored), module.features(x))
    assert "forward" not in vars(module)


class Around(nn.Module):
    """A skip connection leads around all layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return (x + self.second(self.first(x))).mean((2, 3))


def test_a_net_that_cannot_be_cut_is_trained_all_the_same(pictures):
    trunk = Around()
    before = fitted(pictures, trunk, trainable=["second"], max_epochs=0).module_
    moved = changed(fitted(pictures, trunk, trainable=["second"]), before)
    assert moved == {"trunk.second.weight", "trunk.second.bias", "head.weight", "head.bias"}


def test_a_wrapped_model_is_tuned_by_its_own_names(pictures):
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, 2))
    wrapped = TorchClassifier.from_module(
        model, classes=[0, 1], trainable="head", trunk_lr=1.0, **SHORT
    )
    before = wrapped.module_
    moved = changed(wrapped.fit(pictures.images, pictures.target), before)
    assert moved == {"model.3.weight", "model.3.bias"}


def test_an_objective_may_mix_stored_rows_and_images(pictures):
    class Both(Objective):
        def step(self, module, batch):
            with torch.no_grad():
                logits = module(torch.from_numpy(pictures.images[batch.rows] / 255).float())
            assert torch.allclose(logits, module(batch.images), atol=1e-4)
            return super().step(module, batch)

    fitted(pictures, trainable="head", objective=Both())


def test_a_tuned_net_is_saved_and_loaded(pictures, tmp_path):
    import fairvision as fv

    model = fitted(pictures, trainable=["11"], trunk_lr=1e-3)
    loaded = fv.load(fv.save(model, tmp_path / "tuned.fv"))
    np.testing.assert_array_equal(
        loaded.predict_proba(pictures.images), model.predict_proba(pictures.images)
    )
    trained = [p.requires_grad for p in model.module_.parameters()]
    assert [p.requires_grad for p in loaded.module_.parameters()] == trained


def test_a_tuning_goes_on_from_its_checkpoint(pictures):
    model = TorchClassifier(trainable=["11"], **{**SHORT, "max_epochs": 4})
    assert check_resumes(model, pictures.images, pictures.target) == 2


@pytest.mark.parametrize("trainable", ["last", "last:0", "last:x", "some", 3, [1], None])
def test_other_words_are_refused(pictures, trainable):
    with pytest.raises(InputError, match="trainable is"):
        fitted(pictures, trainable=trainable)


@pytest.mark.parametrize(
    ("trainable", "message"),
    [("last:9", "has 4 layers"), (["trunk.6"], "backbone lacks"), (["layer4"], "backbone lacks")],
)
def test_layers_that_the_backbone_lacks_are_named(pictures, trainable, message):
    with pytest.raises(InputError, match=message):
        fitted(pictures, trainable=trainable)


@pytest.mark.parametrize("trunk_lr", [-1, "slow"])
def test_a_bad_trunk_lr_is_refused(pictures, trunk_lr):
    with pytest.raises(InputError, match="trunk_lr is"):
        fitted(pictures, trunk_lr=trunk_lr)

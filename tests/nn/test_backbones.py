"""Backbones by name, by module, by factory; their weights; and what is refused."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
import torchvision.models as zoo
from torch import nn

from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier
from fairvision.nn.backbones import build_classifier

# Numbers are compared with those of nets on the CPU.
pytestmark = pytest.mark.cpu


def pixels(n: int, size: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (n, channels, size, size), dtype=np.uint8)


def check_head_on_features(model: TorchClassifier, X: np.ndarray) -> None:
    features = torch.from_numpy(model.transform(X))
    with torch.no_grad():
        logits = model.module_.head(features)
    expected = logits.double().softmax(1).numpy()
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "size", "n_features"),
    [
        ("resnet18", 32, 512),
        ("mobilenet_v3_small", 32, 1024),
        ("squeezenet1_1", 64, 512),
        ("shufflenet_v2_x0_5", 32, 1024),
        ("efficientnet_b0", 32, 1280),
        ("densenet121", 32, 1024),
        ("swin_t", 32, 768),
    ],
)
def test_a_torchvision_classifier_loses_its_head_and_trains(name, size, n_features):
    X, y = pixels(6, size), np.arange(6) % 3
    model = TorchClassifier(name, max_epochs=1, batch_size=6, random_state=0).fit(X, y)
    assert model.transform(X).shape == (6, n_features)
    assert model.module_.head.out_features == 3
    assert np.isfinite(model.history_[0, "train_loss"])
    check_head_on_features(model, X)


def test_a_grey_image_is_repeated_for_a_backbone_of_three_channels():
    X, y = pixels(6, 32, channels=1), np.arange(6) % 2
    model = TorchClassifier("shufflenet_v2_x0_5", max_epochs=1, random_state=0).fit(X, y)
    rgb = TorchClassifier.from_module(model.module_, classes=[0, 1])
    np.testing.assert_allclose(
        rgb.predict_proba(X.repeat(3, axis=1)), model.predict_proba(X), atol=1e-6
    )


@pytest.mark.parametrize("name", ["small-cnn", "mlp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_own_backbones_learn(name, channels):
    y = np.arange(32) % 2
    X = pixels(32, 24, channels) // 2 + (y * 60).astype(np.uint8)[:, None, None, None]
    model = TorchClassifier(name, max_epochs=8, lr=3e-3, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9
    check_head_on_features(model, X)


def trunk(input_shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(input_shape)), 7), nn.Tanh())


def fixed_trunk():
    return trunk((3, 8, 8))


def wide_trunk(width=11):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, width))


class WithHead(nn.Module):
    """Keeps the contract by itself."""

    def __init__(self, n_classes: int = 2) -> None:
        super().__init__()
        self.body = fixed_trunk()
        self.head = nn.Linear(7, n_classes)

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.head(self.features(x))


@pytest.mark.parametrize(
    ("backbone", "n_features"),
    [
        (trunk, 7),
        (fixed_trunk, 7),
        (wide_trunk, 11),  # an argument that has a default is not the input's shape
        (lambda: WithHead(2), 7),
        (WithHead(2), 7),
        (WithHead(10), 7),
        (fixed_trunk(), 7),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(5)), 5),
        (zoo.shufflenet_v2_x0_5, 1000),  # features are its output: ImageNet's logits
        ("own_backbones:trunk", 7),
    ],
)
def test_a_module_or_a_factory(backbone, n_features, monkeypatch):
    monkeypatch.setitem(sys.modules, "own_backbones", types.ModuleType("own_backbones"))
    sys.modules["own_backbones"].trunk = trunk
    X, y = pixels(6, 8), np.arange(6) % 2
    model = TorchClassifier(backbone, max_epochs=2, random_state=0).fit(X, y)
    assert model.transform(X).shape == (6, n_features)
    assert model.module_.head.out_features == 2
    check_head_on_features(model, X)


def test_the_given_module_is_never_changed():
    given = WithHead(10).train()
    before = {name: value.clone() for name, value in given.state_dict().items()}
    TorchClassifier(given, max_epochs=2).fit(pixels(6, 8), np.arange(6) % 2)
    assert given.training
    assert given.head.out_features == 10
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())


def test_training_starts_from_the_weights_of_the_given_module():
    given = WithHead(2)
    model = TorchClassifier(given, max_epochs=0).fit(pixels(6, 8), np.arange(6) % 2)
    for name, value in model.module_.state_dict().items():
        assert torch.equal(value, given.state_dict()[name])


def test_features_of_another_meaning_are_not_taken_for_the_contract():
    class Featured(nn.Module):  # as torchvision's Swin: there are layers between the two
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv2d(3, 4, 3)
            self.head = nn.Linear(4, 9)

        def forward(self, x):
            return self.head(self.features(x).mean((2, 3)))

    model = TorchClassifier(Featured(), max_epochs=0).fit(pixels(4, 8), np.arange(4) % 2)
    assert model.transform(pixels(4, 8)).shape == (4, 9)


class TestWeights:
    def test_a_state_dict_of_any_number_of_classes_is_loaded_into_the_trunk(self, tmp_path):
        trained = zoo.shufflenet_v2_x0_5(num_classes=7)
        torch.save(trained.state_dict(), tmp_path / "net.pth")
        path = str(tmp_path / "net.pth")
        model = TorchClassifier("shufflenet_v2_x0_5", weights=path, max_epochs=0)
        model.fit(pixels(4, 32), np.arange(4) % 2)
        loaded = model.module_.trunk.state_dict()
        assert loaded
        assert all(torch.equal(value, trained.state_dict()[name]) for name, value in loaded.items())

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"fc.weight": torch.zeros(1)}, r"lacks \d+ of the backbone's weights, 'conv1"),
            ({"conv1.0.weight": torch.zeros(3)}, "cannot be loaded.*size mismatch"),
            ([1, 2], "cannot be loaded"),
            (zoo.shufflenet_v2_x0_5, "cannot be loaded"),  # code in a pickle does not run
            (None, "cannot be loaded"),
        ],
    )
    def test_a_file_that_is_none_of_this_model_is_named(self, tmp_path, content, message):
        path = tmp_path / "wrong.pth"
        path.write_bytes(b"") if content is None else torch.save(content, path)
        with pytest.raises(InputError, match=f"(?s)wrong.pth.*{message}|wrong.pth {message}"):
            build_classifier("shufflenet_v2_x0_5", str(path), (3, 32, 32), 2)

    def test_neither_a_file_nor_published(self):
        with pytest.raises(InputError, match=r"'nope.pth': there is no such file.*IMAGENET1K_V1"):
            build_classifier("resnet18", "nope.pth", (3, 32, 32), 2)

    def test_they_are_not_dropped_where_they_cannot_be_used(self):
        with pytest.raises(InputError, match=r"weights is 'DEFAULT'.*'small-cnn'"):
            build_classifier("small-cnn", "DEFAULT", (3, 32, 32), 2)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("resnet81", "No backbone is called 'resnet81'. Did you mean .*resnet18"),
        ("smallcnn", "'smallcnn'. Did you mean small-cnn"),
        ("zzzzz", "No backbone is called 'zzzzz'. See torchvision.models"),
        ("no.such.module:net", "'no.such.module:net' cannot be imported"),
        ("torchvision.models:no_such", "'torchvision.models:no_such' cannot be imported"),
        (3, "backbone is 3; pass a name"),
        (lambda: "text", "a factory that returns one"),
        ("alexnet", r"does not take images of shape \(3, 16, 16\).*too small"),
        ("vit_b_32", r"does not take images of shape \(3, 16, 16\)"),
        (nn.Linear(4, 4), r"does not take images of shape \(3, 16, 16\)"),
        (WithHead(2), r"does not take images of shape \(3, 16, 16\)"),
    ],
)
def test_what_cannot_be_a_backbone_is_named(backbone, message):
    with pytest.raises(InputError, match=message):
        TorchClassifier(backbone).fit(pixels(4, 16), np.arange(4) % 2)


def test_a_torchvision_backbone_takes_no_table():
    with pytest.raises(InputError, match="'resnet18' takes images; X has 5 plain features"):
        TorchClassifier("resnet18").fit(np.random.default_rng(0).random((6, 5)), np.arange(6) % 2)

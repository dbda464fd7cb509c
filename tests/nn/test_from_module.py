"""Models that somebody else trained, wrapped to be audited and mended."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.models as zoo
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from torch import nn

from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier


class Readout(nn.Module):
    """Its last layer is called `readout`; a layer before it is linear, too."""

    def __init__(self, n_outputs: int, *, squeeze: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(3 * 16 * 16, 10)
        self.readout = nn.Linear(10, n_outputs)
        self.squeeze = squeeze

    def forward(self, x):
        logits = self.readout(torch.relu(self.first(x.flatten(1))))
        return logits.squeeze() if self.squeeze else logits


def resnet() -> nn.Module:
    model = zoo.resnet18()
    model.fc = nn.Linear(512, 2)
    return model


MODELS = {
    "resnet18 with a new fc": (resnet, 512),
    "another name": (lambda: Readout(2), 10),
    "one logit": (lambda: Readout(1), 10),
    "one logit, squeezed": (lambda: Readout(1, squeeze=True), 10),
    "normalisation in front": (
        lambda: nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.Dropout(), Readout(2)),
        10,
    ),
}


class Featured(nn.Module):
    """As torchvision's Swin: `.features` stops short of what enters the linear `.head`."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, stride=2)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.features(x).relu().mean((2, 3)))


MODELS["a submodule called features"] = (Featured, 4)


@pytest.fixture(params=MODELS)
def given(request) -> tuple[nn.Module, int]:
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    build, n_features = MODELS[request.param]
    model = build()
    torch.set_rng_state(torch_state)
    return model.train(), n_features


def bare(model: nn.Module, images: np.ndarray) -> np.ndarray:
    was = model.training
    model.eval()
    with torch.no_grad():
        logits = model(torch.tensor(images) / 255).double().reshape(len(images), -1)
    model.train(was)
    if logits.shape[1] == 1:
        positive = torch.sigmoid(logits)
        return torch.cat([1 - positive, positive], dim=1).numpy()
    return logits.softmax(1).numpy()


def test_it_predicts_what_the_bare_model_predicts(pictures, given):
    model, n_features = given
    wrapped = TorchClassifier.from_module(model, classes=["cat", "dog"])
    expected = bare(model, pictures.images)
    np.testing.assert_allclose(wrapped.predict_proba(pictures.images), expected, atol=1e-6)
    assert wrapped.transform(pictures.images).shape == (48, n_features)
    assert wrapped.predict_proba(pictures.images[:1]).shape == (1, 2)
    labels = np.array(["cat", "dog"])[expected.argmax(1)]
    np.testing.assert_array_equal(wrapped.predict(pictures.images), labels)


def test_the_given_model_is_never_changed(pictures, given):
    model, _ = given
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrapped = TorchClassifier.from_module(model, classes=[0, 1], max_epochs=1)
    wrapped.transform(pictures.images)
    wrapped.fit(pictures.images, pictures.target)
    clone(wrapped).fit(pictures.images, pictures.target)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_changing_the_given_model_later_does_not_change_the_audited_one(pictures):
    model = Readout(2)
    wrapped = TorchClassifier.from_module(model, classes=[0, 1])
    expected = wrapped.predict_proba(pictures.images)
    nn.init.zeros_(model.readout.weight)
    np.testing.assert_array_equal(wrapped.predict_proba(pictures.images), expected)


def test_a_clone_trains_on_from_its_weights(pictures, given):
    model, _ = given
    wrapped = TorchClassifier.from_module(model, classes=[0, 1], random_state=0, lr=1e-3)
    untrained = clone(wrapped).set_params(max_epochs=0).fit(pictures.images, pictures.target)
    expected = bare(model, pictures.images)
    np.testing.assert_allclose(untrained.predict_proba(pictures.images), expected, atol=1e-6)
    trained = clone(wrapped).set_params(max_epochs=1).fit(pictures.images, pictures.target)
    assert abs(trained.predict_proba(pictures.images) - expected).max() > 1e-6


def test_it_stands_frozen_in_other_estimators(pictures):
    wrapped = TorchClassifier.from_module(Readout(2), classes=[0, 1])
    frozen = FrozenEstimator(wrapped).fit(pictures.images, pictures.target)
    np.testing.assert_array_equal(frozen.predict(pictures.images), wrapped.predict(pictures.images))


def test_a_double_model_is_fed_doubles(pictures):
    model = Readout(2).double()
    wrapped = TorchClassifier.from_module(model, classes=[0, 1])
    assert wrapped.transform(pictures.images).dtype == np.float64


def test_the_input_shape_is_checked_where_it_is_given(pictures):
    wrapped = TorchClassifier.from_module(Readout(2), classes=[0, 1], input_shape=(3, 16, 16))
    assert wrapped.predict(pictures.images).shape == (48,)
    with pytest.raises(InputError, match=r"shape \(1, 16, 16\).*fitted on \(3, 16, 16\)"):
        wrapped.predict(pictures.images[:, :1])


@pytest.mark.parametrize("classes", [[0], [0, 1, 2]])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_one_label_per_output(classes, n_outputs):
    with pytest.raises(InputError, match=rf"has {len(classes)} labels.*{n_outputs} output"):
        TorchClassifier.from_module(Readout(n_outputs), classes=classes)


def test_another_number_of_classes_needs_another_head(pictures):
    wrapped = TorchClassifier.from_module(Readout(2), classes=[0, 1])
    with pytest.raises(
        InputError, match=r"2 output\(s\), but y has 3 classes. Replace its last layer"
    ):
        clone(wrapped).fit(pictures.images, np.arange(48) % 3)


def test_a_model_without_a_linear_layer_is_refused():
    with pytest.raises(InputError, match="SqueezeNet has no linear layer"):
        TorchClassifier.from_module(zoo.squeezenet1_1(num_classes=2), classes=[0, 1])

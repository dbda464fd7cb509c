"""Models that somebody else trained, wrapped to be audited and mended."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.models as zoo
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from torch import nn

from fairvision.base import Resampled, compose
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn import TorchClassifier
from fairvision.toolkits import (
    ExponentiatedGradientClassifier,
    Reweighing,
    ThresholdOptimizedClassifier,
)

# Numbers are compared with those of nets on the CPU.
pytestmark = pytest.mark.cpu


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


ORDERS = {
    "a clone": lambda model: clone(model),
    "compose": lambda model: compose(pre=RandomOverSampler(random_state=0), model=model),
    "reweighing": lambda model: Resampled(Reweighing(), model),
    "thresholds": lambda model: ThresholdOptimizedClassifier(model, random_state=0),
    "a reduction": lambda model: ExponentiatedGradientClassifier(model, max_iter=2, random_state=0),
    "a pipeline": lambda model: make_pipeline(model),
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.filterwarnings("ignore::fairvision.exceptions.FairvisionWarning")
def test_the_order_of_the_outputs_stays_in_whatever_holds_the_model(name):
    labels = np.tile(["yes", "no"], 24)
    images = np.zeros((48, 1, 4, 4))
    images[labels == "yes"] = 1
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():  # sure already: one more step with a tiny rate changes no label
        net[1].weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 16))
        net[1].bias.copy_(torch.tensor([-8.0, 8.0]))
    groups = np.tile(["a", "a", "b", "b"], 12)
    params = {"max_epochs": 1, "lr": 1e-6, "random_state": 0}
    wrapped = TorchClassifier.from_module(net, classes=["yes", "no"], **params)
    model = ORDERS[name](wrapped)
    given = {} if name == "a pipeline" else {"sensitive_features": groups}
    model.fit(images, labels, **given)
    at_predict = given if name == "thresholds" else {}
    assert (model.predict(images, **at_predict) == labels).all()


@pytest.mark.filterwarnings("ignore:classes:fairvision.exceptions.FairvisionWarning")
def test_labels_that_the_model_does_not_know_are_refused(pictures):
    model = clone(TorchClassifier.from_module(Readout(2), classes=["yes", "no"]))
    with pytest.raises(
        InputError, match=r"y has \['No', 'Yes'\].*classes of the net, \['yes', 'no'\]"
    ):
        model.fit(pictures.images, np.tile(["Yes", "No"], 24))
    with pytest.raises(InputError, match=r"y has \[0, 1\]"):
        model.fit(pictures.images, pictures.target)


def test_a_class_without_rows_keeps_its_output(pictures):
    model = TorchClassifier("mlp", classes=["c", "b", "a"], max_epochs=1, random_state=0)
    scores = model.fit(pictures.images, np.tile(["a", "b"], 24)).predict_proba(pictures.images)
    assert scores.shape == (48, 3)
    assert model.classes_.tolist() == ["c", "b", "a"]


def test_the_order_changes_names_and_no_numbers(pictures):
    labels = np.array(["no", "yes"])[pictures.target]
    one, two = (
        TorchClassifier("mlp", classes=classes, max_epochs=1, random_state=0)
        .fit(pictures.images, labels)
        .predict_proba(pictures.images)
        for classes in (None, ["no", "yes"])
    )
    np.testing.assert_array_equal(one, two)


def test_an_order_that_scikit_learn_misreads_is_said():
    with pytest.warns(
        FairvisionWarning, match=r"\['yes', 'no'\] are not sorted.*roc_auc.*as_scorer"
    ):
        TorchClassifier.from_module(Readout(2), classes=["yes", "no"])


@pytest.mark.parametrize(
    ("module", "classes", "message"),
    [
        (lambda x: x, [0, 1], "module is a function; pass a torch.nn.Module"),
        (Readout(2).state_dict(), [0, 1], "is a OrderedDict; .*Load it into its net"),
        (Readout(2), [0, np.nan], "with a missing label"),
        (Readout(2), ["a", None], "with a missing label"),
    ],
)
def test_what_is_no_net_and_no_label(module, classes, message):
    with pytest.raises(InputError, match=message):
        TorchClassifier.from_module(module, classes=classes)


class OneSize(nn.Module):
    """As a vision transformer of torchvision does, it asserts."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 2)

    def forward(self, x):
        torch._assert(x.shape[-1] == 8, f"Wrong image height! Expected 8, got {x.shape[-1]}!")
        return self.head(x.flatten(1))


def test_an_assertion_on_the_size_names_the_shape():
    model = TorchClassifier.from_module(OneSize(), classes=[0, 1], input_shape=(1, 8, 8))
    del model.input_shape_
    with pytest.raises(InputError, match=r"images of shape \(1, 16, 16\)"):
        model.predict(np.zeros((2, 1, 16, 16)))


@pytest.mark.parametrize("change", [lambda x: x.flatten(1).long(), lambda x: x.flatten(1)[:1]])
def test_features_that_are_no_row_of_numbers_an_image(pictures, change):
    class Odd(nn.Module):
        def forward(self, x):
            return change(x)

    with pytest.raises(InputError, match=r"The backbone gives .* for two images"):
        TorchClassifier(Odd(), max_epochs=1).fit(pictures.images, pictures.target)

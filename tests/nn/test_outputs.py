"""What nets give: settled by a forward pass where a net is wrapped or built."""

from __future__ import annotations

import warnings
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torchvision.models as zoo
from sklearn.base import clone
from torch import nn

import fairvision as fv
from fairvision.exceptions import DivergedError, FairvisionWarning, InputError
from fairvision.nn import TorchClassifier

# Numbers are compared with those of nets on the CPU.
pytestmark = pytest.mark.cpu

Pair = namedtuple("Pair", "logits aux")


@dataclass
class Answer:
    logits: torch.Tensor
    hidden: torch.Tensor


class Net(nn.Module):
    """Mean colours to two scores; `last` makes of them what the net gives."""

    def __init__(self, last=lambda logits: logits, n_outputs: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.unused = nn.Linear(4, n_outputs)
        self.readout = nn.Linear(4, n_outputs)
        self.after = nn.Linear(7, 7)  # registered last, never used
        self.last = last

    def forward(self, x):
        return self.last(self.readout(self.conv(x).relu().mean((2, 3))))


def wrap(net: nn.Module, **params) -> TorchClassifier:
    return TorchClassifier.from_module(net, classes=["no", "yes"], **params)


def plain(net: Net, pictures, n: int = 48) -> np.ndarray:
    """The probabilities of the net with its own logits."""
    bare, x = clone_net(net), torch.tensor(pictures.images[:n]) / 255
    bare.last = lambda logits: logits
    with torch.no_grad():
        logits = bare.eval()(x).double()
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    return logits.softmax(1).numpy()


def clone_net(net: Net) -> Net:
    twin = Net(n_outputs=net.readout.out_features)
    twin.load_state_dict(net.state_dict())
    return twin


GIVEN = {
    "a dict": (lambda z: {"logits": z, "aux": -z}, "logits"),
    "a dataclass": (lambda z: Answer(z, -z), "logits"),
    "a tuple": (lambda z: (-z, z), 1),
    "a named tuple": (lambda z: Pair(z, -z), "logits"),
    "softmax": (lambda z: z.softmax(1), None),
    "log-softmax": (lambda z: z.log_softmax(1), None),
    "trailing dimensions": (lambda z: z[:, :, None, None], None),
}


@pytest.mark.parametrize("name", GIVEN)
def test_logits_and_probabilities_in_any_form(pictures, name):
    last, output = GIVEN[name]
    net = Net(last)
    model = wrap(net, output=output)
    np.testing.assert_allclose(
        model.predict_proba(pictures.images), plain(net, pictures), atol=1e-6
    )
    assert model.transform(pictures.images).shape == (48, 4)
    assert model.module_.head is model.module_.model.readout


@pytest.mark.parametrize("last", [torch.sigmoid, lambda z: z.sigmoid().squeeze(1)])
def test_one_sigmoid_is_the_probability_of_the_second_class(pictures, last):
    net = Net(last, n_outputs=1)
    scores = wrap(net).predict_proba(pictures.images)
    np.testing.assert_allclose(scores, plain(net, pictures), atol=1e-6)


@pytest.mark.parametrize(
    "last",
    [
        lambda z: 1 - z.sigmoid(),
        lambda z: (1 - z.sigmoid()).clamp(0, 1)[:, 0],
        lambda z: nn.functional.hardsigmoid(z),
    ],
)
def test_a_probability_that_a_sigmoid_gave_stays_one(pictures, last):
    net = Net(last, n_outputs=1).eval()
    with torch.no_grad():
        positive = net(torch.tensor(pictures.images) / 255).reshape(-1).numpy()
    np.testing.assert_allclose(wrap(net).predict_proba(pictures.images)[:, 1], positive, atol=1e-6)


def test_training_on_from_probabilities_keeps_them(pictures):
    net = Net(lambda z: z.softmax(1))
    model = clone(wrap(net, max_epochs=0)).fit(pictures.images, np.tile(["no", "yes"], 24))
    np.testing.assert_allclose(
        model.predict_proba(pictures.images), plain(net, pictures), atol=1e-6
    )


REFUSED = {
    "a dict": (lambda z: {"scores": z, "aux": z}, r"gives a dict.*output=.*'scores', 'aux'"),
    "sigmoids": (torch.sigmoid, "sigmoid for each of 2 outputs"),
    "labels": (lambda z: z.argmax(1), "gives torch.int64 of shape"),
    "maps": (lambda z: z[:, :, None].expand(-1, -1, 5), r"shape \(2, 2, 5\)"),
    "no row an image": (lambda z: z.mean(), r"of shape \(\) for two images"),
    "text": (lambda z: "yes", "returns a str without a tensor of scores"),
    "an array": (lambda z: z.detach().numpy(), "returns a ndarray without a tensor"),
    "tensors further in": (lambda z: {"a": {"b": z}}, "returns a dict without a tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("seed", range(3))
def test_other_outputs_are_refused(name, seed):
    # Two sigmoids of seed 43's net happen to add up to one.
    torch.manual_seed(43 + seed)
    last, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        wrap(Net(last))


class Featured(nn.Module):
    """Its own `.features` and `.head`, which gives one logit."""

    def __init__(self, n_outputs: int = 1) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, n_outputs)

    def features(self, x):
        return self.conv(x).relu().mean((2, 3))

    def forward(self, x):
        return self.head(self.features(x))


def test_one_logit_behind_features_of_its_own(pictures):
    net = Featured()
    with torch.no_grad():
        positive = net(torch.tensor(pictures.images) / 255).double().sigmoid().numpy()
    for model in (
        wrap(net),
        TorchClassifier(net, max_epochs=0).fit(pictures.images, pictures.target),
    ):
        scores = model.predict_proba(pictures.images)
        np.testing.assert_allclose(scores, np.hstack([1 - positive, positive]), atol=1e-6)
        assert model.transform(pictures.images).shape == (48, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_nets(pictures, dtype):
    net = Net()
    model = wrap(clone_net(net).to(dtype))
    scores = model.predict_proba(pictures.images)
    np.testing.assert_allclose(scores, plain(net, pictures), atol=0.02)
    assert model.transform(pictures.images).dtype == np.float32
    trained = clone(model).set_params(max_epochs=1).fit(pictures.images, ["no", "yes"] * 24)
    assert next(trained.module_.parameters()).dtype == torch.float32


def test_a_compiled_net_is_taken_as_it_was_before(pictures):
    net = Net()
    model = wrap(torch.compile(net, backend="eager"))
    np.testing.assert_allclose(
        model.predict_proba(pictures.images), plain(net, pictures), atol=1e-6
    )
    assert model.transform(pictures.images).shape == (48, 4)


def test_a_convolutional_head_predicts_and_has_features(pictures):
    net = zoo.squeezenet1_1(num_classes=2)
    model = wrap(net)
    images = np.repeat(np.repeat(pictures.images[:4], 4, 2), 4, 3)
    assert model.predict_proba(images).shape == (4, 2)
    assert model.transform(images).shape == (4, 512)
    with pytest.raises(InputError, match=r"ends in Conv2d 'classifier.1'.*linear"):
        _ = model.module_.head


def test_a_scripted_net_predicts(pictures):
    net = clone_net(Net())
    layers = nn.Sequential(net.conv, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and its files are about
        scripted = torch.jit.trace(layers, torch.rand(2, 3, 16, 16))
        model = TorchClassifier.from_module(scripted, classes=list("abcd"))
    assert model.predict_proba(pictures.images).shape == (48, 4)
    with pytest.raises(InputError, match="no linear layer"):
        model.transform(pictures.images)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["no", "no"], "label twice"),
        ({"no": 0, "yes": 1}, "classes is a dict"),
        ("ny", "classes is a str"),
        ([["no", "yes"]], "list of labels"),
    ],
)
def test_classes_are_a_list_of_distinct_labels(classes, message):
    with pytest.raises(InputError, match=message):
        TorchClassifier.from_module(Net(), classes=classes)


def test_numbers_among_text_stay_numbers():
    assert TorchClassifier.from_module(Net(), classes=[1, "a"]).classes_.tolist() == [1, "a"]


def test_grey_pictures_into_a_net_for_colours(pictures):
    with pytest.raises(InputError, match=r"images of shape \(1, 16, 16\).*Repeat grey images"):
        wrap(Net()).predict(pictures.images[:, :1])


def test_a_wholly_frozen_net_is_not_trained(pictures):
    model = wrap(Net().requires_grad_(False))
    assert model.predict(pictures.images).shape == (48,)
    with pytest.raises(InputError, match=r"All weights .* are frozen"):
        clone(model).fit(pictures.images, ["no", "yes"] * 24)


def test_a_net_that_takes_no_usual_images_asks_for_its_shape():
    net = nn.Sequential(nn.Flatten(2), nn.Linear(16 * 20, 4), nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(InputError, match=r"Pass input_shape=\(n_channels, height, width\)"):
        wrap(net)
    assert wrap(net, input_shape=(3, 16, 20)).predict(np.zeros((2, 3, 16, 20))).shape == (2,)


def test_a_net_that_flattens_takes_tables_and_images():
    model = wrap(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 20, 2)))
    X = np.random.default_rng(0).random((4, 3, 16, 20)).astype(np.float32)
    table = TorchClassifier.from_module(model.module_, classes=model.classes_, input_shape=(960,))
    np.testing.assert_allclose(
        model.predict_proba(X), table.predict_proba(X.reshape(4, -1)), rtol=1e-6
    )


def test_nan_is_refused_in_place_of_a_first_class(pictures):
    net = Net()
    nn.init.constant_(net.readout.weight, np.nan)
    with pytest.raises(DivergedError, match="not finite for 48 of 48 images, row 0 first"):
        wrap(net).predict(pictures.images)


def test_a_trained_net_as_backbone_says_that_its_head_is_lost(pictures):
    with pytest.warns(FairvisionWarning, match=r"'readout' of 2 output\(s\).*from_module"):
        TorchClassifier(Net(), max_epochs=0).fit(pictures.images, pictures.target)


def test_a_backbone_that_gives_a_dict_is_refused(pictures):
    with pytest.raises(InputError, match="gives a dict"):
        TorchClassifier(Net(lambda z: {"a": z, "b": z})).fit(pictures.images, pictures.target)


@pytest.mark.parametrize("name", ["a dict", "softmax"])
def test_files_keep_what_a_net_gives(tmp_path, pictures, name):
    last, output = GIVEN[name]
    net = Net(last)
    path = fv.save(wrap(net, output=output), tmp_path / "model")
    loaded = fv.load(path, objects={"backbone": net})
    np.testing.assert_array_equal(
        loaded.predict_proba(pictures.images),
        wrap(net, output=output).predict_proba(pictures.images),
    )


def test_a_net_without_values_is_refused():
    with pytest.raises(InputError, match="on the device 'meta'"):
        wrap(Net().to("meta"))

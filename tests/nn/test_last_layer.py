"""The last layer of a fitted net: read, checked, replaced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from imblearn.over_sampling import RandomOverSampler
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from fairvision.base import Resampled
from fairvision.exceptions import InputError
from fairvision.nn import LastLayer, TorchClassifier

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2


def net(**params: Any) -> TorchClassifier:
    return TorchClassifier("torch.nn:Identity", max_epochs=2, random_state=0, **params)


@pytest.mark.parametrize(
    "estimator",
    [
        net(),
        make_pipeline(StandardScaler(), net()),
        Resampled(RandomOverSampler(random_state=0), net()),
    ],
    ids=["net", "pipeline", "resampled"],
)
@pytest.mark.parametrize("frozen", [False, True])
def test_it_is_found_and_replaced(estimator: Any, frozen: bool) -> None:
    fitted = estimator.fit(X, Y)
    before = fitted.predict_proba(X)
    layer = LastLayer(FrozenEstimator(fitted) if frozen else fitted, "a method")
    features = layer.features(X)
    layer.check(X, features)
    np.testing.assert_allclose(layer.probabilities(features), before)
    weight, bias = np.zeros((2, 3)), np.array([0.0, 1.0])
    replaced = layer.replace(weight, bias)
    expected = layer.probabilities(features, weight, bias)
    np.testing.assert_allclose(replaced.predict_proba(X), expected)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)  # it is left alone
    assert type(replaced) is type(fitted)


def test_labels_in_the_nets_order() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    layer = LastLayer(TorchClassifier.from_module(module, classes=["c", "a", "b"]), "a method")
    assert layer.encode(["a", "b", "c"]).tolist() == [1, 2, 0]
    with pytest.raises(InputError, match=r"\['d'\]; the net knows"):
        layer.encode(["a", "d"])


def test_one_logit() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    model = TorchClassifier.from_module(module, classes=[0, 1])
    layer, images = LastLayer(model, "a method"), np.random.default_rng(0).random((5, 1, 2, 2))
    scores = model.predict_proba(images)
    np.testing.assert_allclose(layer.probabilities(layer.features(images)), scores, atol=1e-6)


class Doubled(nn.Module):
    """A net that changes the logits after its last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.head(self.features(x))


def test_what_comes_after_the_layer_is_noticed() -> None:
    layer = LastLayer(TorchClassifier.from_module(Doubled(), classes=[0, 1]), "a method")
    images = np.random.default_rng(0).random((5, 1, 2, 2))
    with pytest.raises(InputError, match="differ from those of its net's last layer"):
        layer.check(images, layer.features(images))


def test_an_estimator_without_a_net() -> None:
    with pytest.raises(InputError, match="none in Pipeline > LogisticRegression"):
        LastLayer(make_pipeline(LogisticRegression()).fit(X, Y), "a method")

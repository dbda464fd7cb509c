"""A saved result predicts the same, at its threshold, beside the net as it was given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator

import fairvision as fv
from fairvision.base import Resampled
from fairvision.nn import TorchClassifier, as_module
from fairvision_intra import AdversarialFineTuning, LayerwiseOptimization, RandomPerturbation

pytestmark = pytest.mark.cpu

# So small nets find little; what is tested is that the outcome is saved.
LOOSE = {
    "epsilon": 0.9,
    "performance": "balanced_accuracy",
    "allow_worse": True,
    "n_thresholds": 21,
}
METHODS = [
    RandomPerturbation(n_trials=4),
    LayerwiseOptimization(n_layers=1, n_calls=2, surrogate="random"),
    AdversarialFineTuning(max_epochs=1, critic_steps=2, actor_steps=2),
]


@pytest.fixture(scope="module")
def data():
    drawn = fv.datasets.load("faces", n_samples=160, image_size=24, random_state=0,
                             target="smiling", sensitive="skin_group")  # fmt: skip
    groups = drawn.sensitive_features["skin_group"].to_numpy(str)
    return drawn.images, drawn.target, groups


@pytest.fixture(scope="module")
def net(data):
    return TorchClassifier(max_epochs=2, random_state=0).fit(data[0], data[1])


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_each_over_a_frozen_net(method, net, data, tmp_path):
    X, y, groups = data
    model = method.set_params(estimator=FrozenEstimator(net), random_state=0, **LOOSE).fit(
        X, y, sensitive_features=groups
    )
    loaded = fv.load(fv.save(model, tmp_path / "model"))
    for name in ("predict", "predict_proba", "transform"):
        np.testing.assert_array_equal(getattr(loaded, name)(X), getattr(model, name)(X))
    np.testing.assert_array_equal(loaded.estimator_.predict_proba(X), net.predict_proba(X))
    pd.testing.assert_frame_equal(loaded.objective_path_, model.objective_path_)
    assert loaded.module_ is loaded.debiased_.module_
    assert loaded.estimator is loaded.estimator_  # saved once


def test_composed_over_resampling_over_a_module_of_somebody_else(data, tmp_path):
    X, y, groups = data
    trunk = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(X[0].size, 4), torch.nn.ReLU())
    inner = TorchClassifier(trunk, max_epochs=1, random_state=0)
    model = fv.compose(
        pre=fv.make("balanced-sampling", random_state=0),
        model=inner,
        post=RandomPerturbation(n_trials=3, random_state=0, **LOOSE),
    ).fit(X, y, sensitive_features=groups)
    path = fv.save(model, tmp_path / "model")
    assert list(fv.saving.read_manifest(path)["objects"]) == [
        "estimator__classifier__backbone",
        "debiased__classifier__backbone",
    ] or list(fv.saving.read_manifest(path)["objects"]) == ["estimator__classifier__backbone"]
    loaded = fv.load(path, objects={"backbone": trunk})
    assert isinstance(loaded.estimator_, Resampled)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("threshold", [0.0, 0.31, 0.5, 1.0])
def test_as_a_plain_module_with_its_threshold(threshold, net, data):
    X, y, groups = data
    model = RandomPerturbation(FrozenEstimator(net), n_trials=2, **LOOSE)
    model.fit(X, y, sensitive_features=groups).threshold_ = threshold
    with torch.no_grad():
        found = as_module(model)(torch.tensor(X) / 255).numpy()
    np.testing.assert_allclose(found, model.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(model.classes_[found.argmax(1)], model.predict(X))

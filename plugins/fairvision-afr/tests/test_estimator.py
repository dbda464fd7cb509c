"""What the estimator takes, what it keeps, and when it keeps the given net."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from torch import nn

import fairvision as fv
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn import TorchClassifier, as_module
from fairvision_afr import AutomaticFeatureReweighting, plugin

pytestmark = pytest.mark.cpu


def make(estimator: Any, **params: Any) -> AutomaticFeatureReweighting:
    return AutomaticFeatureReweighting(estimator, **{"random_state": 0, **params})


def test_the_worst_cell_rises_without_groups(net: Any, biased: Any, test_rows: Any) -> None:
    model = make(clone(net)).fit(biased.X, biased.y)
    assert model.retrained_
    assert test_rows.worst(model) > test_rows.worst(net) + 0.05
    head, before = (m.module_.head.weight.detach() for m in (model.estimator_, net))
    ratios = [float((w[1] - w[0])[1] / (w[1] - w[0])[0]) for w in (head, before)]
    assert ratios[0] < 0.7 * ratios[1]  # the spurious direction against the core one


def test_groups_change_nothing(net: Any, biased: Any) -> None:
    without = make(FrozenEstimator(net)).fit(biased.X, biased.y)
    groups = make(FrozenEstimator(net)).fit(biased.X, biased.y, sensitive_features=biased.groups)
    scores = without.predict_proba(biased.X)
    np.testing.assert_array_equal(scores, groups.predict_proba(biased.X))
    module = as_module(without)
    np.testing.assert_allclose(module(torch.from_numpy(biased.X)).detach(), scores)


def test_balanced_data_stay_as_good(balanced: Any, test_rows: Any) -> None:
    net = TorchClassifier("torch.nn:Identity", lr=0.05, random_state=0).fit(balanced.X, balanced.y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FairvisionWarning)
        model = make(clone(net)).fit(balanced.X, balanced.y)
    assert test_rows.worst(model) > test_rows.worst(net) - 0.1


def test_only_held_out_rows_as_in_the_paper(net: Any, biased: Any, balanced: Any) -> None:
    X, y = np.concatenate([biased.X, balanced.X]), np.concatenate([biased.y, balanced.y])
    held_out = np.repeat([False, True], [len(biased.y), len(balanced.y)])
    paper = {"rows": "validation", "gamma": 1.0, "allow_worse": True}
    part = make(FrozenEstimator(net), **paper).fit(X, y, held_out=held_out)
    alone = make(FrozenEstimator(net), **paper).fit(balanced.X, balanced.y)
    np.testing.assert_array_equal(part.predict_proba(X), alone.predict_proba(X))
    both = make(FrozenEstimator(net), gamma=1.0, allow_worse=True).fit(X, y, held_out=held_out)
    assert not np.array_equal(both.predict_proba(X), alone.predict_proba(X))


def test_the_largest_gamma_that_costs_little_is_taken(net: Any, biased: Any) -> None:
    model = make(FrozenEstimator(net), gamma=(1.0, 100.0)).fit(biased.X, biased.y)
    assert model.gamma_ == 1.0
    losses = model.changes_.set_index("gamma")["loss"]
    assert losses[100.0] > 0.1 >= losses[1.0]


@pytest.mark.parametrize("demand", [{"gamma": 100.0}, {"gamma": 1.0, "min_gain": 1.0}])
def test_a_great_loss_or_a_small_gain_keeps_the_given_net(
    net: Any, biased: Any, demand: dict[str, float]
) -> None:
    for given in (FrozenEstimator(net), clone(net)):  # the second is fitted again on all rows
        with pytest.warns(FairvisionWarning, match="a new layer would cost"):
            model = make(given, **demand).fit(biased.X, biased.y)
        assert (model.retrained_, model.gamma_) == (False, None)
        np.testing.assert_array_equal(model.predict_proba(biased.X), net.predict_proba(biased.X))
    allowed = make(FrozenEstimator(net), allow_worse=True, **demand).fit(biased.X, biased.y)
    assert allowed.retrained_


def test_a_layer_does_not_rest_on_a_handful_of_rows() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    X = rng.normal(0, 0.3, (400, 2)) + 2.0 * y[:, None]
    against = rng.permutation(400)[:24]  # as few as hardly count among rows that are all sure
    X[against] = rng.normal(0, 0.3, (24, 2)) + 2.0 * (1 - y[against])[:, None]
    net = TorchClassifier("torch.nn:Identity", lr=0.1, random_state=0).fit(X, y)
    limits = {"gamma": (2.0, 0.1), "max_loss": 1.0, "min_gain": 0.0, "min_effective": 0.5}
    model = make(FrozenEstimator(net), **limits, allow_worse=True).fit(X, y)
    share = model.changes_.set_index("gamma")["effective"]
    assert share[2.0] < 0.15
    assert share[0.1] >= 0.5
    assert model.gamma_ == 0.1
    with pytest.warns(FairvisionWarning, match=f"rest on {share[2.0]:.0%} of the rows"):
        kept = make(FrozenEstimator(net), **(limits | {"gamma": 2.0})).fit(X, y)
    assert not kept.retrained_


def test_a_gain_on_a_few_rows_decides_nothing(net: Any, biased: Any) -> None:
    with pytest.warns(FairvisionWarning, match="at least 20 rows"):
        model = make(FrozenEstimator(net), min_gain=0.0).fit(biased.X[-60:], biased.y[-60:])
    assert not model.retrained_


@pytest.mark.slow
def test_a_net_that_has_seen_rows_is_judged_by_others(biased: Any) -> None:
    net = TorchClassifier("mlp", max_epochs=2, random_state=0)
    judged = {}
    for name, given in {"held out": net, "all": clone(net).set_params(trainable="head")}.items():
        with pytest.warns(FairvisionWarning, match="on [0-9]+ rows") as records:
            make(given, min_gain=1.0).fit(biased.X, biased.y)
        judged[name] = int(str(records[0].message).partition(" rows")[0].split()[-1])
    assert judged == {"held out": round(0.2 * len(biased.y)), "all": len(biased.y)}


def test_three_classes_and_one_logit() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    X = rng.normal(0, 0.5, (150, 3)) + np.eye(3)[y]
    net = TorchClassifier("torch.nn:Identity", lr=0.05, random_state=0)
    model = make(net, allow_worse=True).fit(X, np.array(["a", "b", "c"])[y])
    assert model.predict_proba(X).shape == (150, 3)
    images = rng.random((40, 1, 2, 2), dtype=np.float32)
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    wrapped = FrozenEstimator(TorchClassifier.from_module(module, classes=[0, 1]))
    model = make(wrapped, allow_worse=True).fit(images, np.arange(40) % 2)
    assert model.estimator_.module_.head.out_features == 1


def test_what_is_refused(net: Any, biased: Any) -> None:
    for params in (
        {"rows": "x"},
        {"row_weights": "x"},
        {"gamma": -1},
        {"min_gain": -1},
        {"min_effective": 1.5},
        {"min_effective": -1},
    ):
        with pytest.raises(InputError, match=next(iter(params))):
            make(FrozenEstimator(net), **params).fit(biased.X, biased.y)
    with pytest.raises(InputError, match="needs a fitted torch net"):
        make(LogisticRegression()).fit(biased.X, biased.y)
    with pytest.raises(InputError, match="two classes"):
        make(FrozenEstimator(net)).fit(biased.X, np.zeros_like(biased.y))


def test_the_method() -> None:
    (method,) = plugin.fairvision_postprocessing()
    assert str(method.needs) == "never"
    for preset in method.presets:
        made = fv.make(method.name, preset, estimator=TorchClassifier())
        assert isinstance(made, AutomaticFeatureReweighting)
    assert made.rows == "validation"

"""What the estimator takes, what it keeps, and when it keeps the given net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

import fairvision as fv
from fairvision.base import Resampled
from fairvision.exceptions import FairvisionWarning, GroupsRequiredError, InputError
from fairvision.nn import TorchClassifier, as_module
from fairvision.saving import load, save
from fairvision_dfr import LastLayerRetraining, plugin

pytestmark = pytest.mark.cpu


def fit(estimator: Any, data: Any, held_out: Any = None, **params: Any) -> LastLayerRetraining:
    model = LastLayerRetraining(estimator, **{"random_state": 0, "C": 0.1, **params})
    return model.fit(data.X, data.y, sensitive_features=data.groups, held_out=held_out)


def both(one: Any, other: Any) -> Any:
    """The rows of two sets, and which are of the second."""
    merged = type(one)(
        *(np.concatenate([getattr(one, n), getattr(other, n)]) for n in ("X", "y", "groups"))
    )
    return merged, np.repeat([False, True], [len(one.y), len(other.y)])


def test_the_worst_cell_rises(net: Any, biased: Any, balanced: Any, test_rows: Any) -> None:
    assert test_rows.worst(net) < 0.6
    for rows in (biased, balanced):
        model = fit(FrozenEstimator(net), rows)
        assert model.retrained_
        assert test_rows.worst(model) > 0.79
        head = model.estimator_.module_.head.weight
        core, spurious = (head[1] - head[0])[:2].tolist()
        assert abs(spurious) < 0.15 * core


def test_a_balanced_net_stays_as_good(balanced: Any, test_rows: Any) -> None:
    net = TorchClassifier("torch.nn:Identity", lr=0.05, random_state=0).fit(balanced.X, balanced.y)
    assert test_rows.worst(fit(FrozenEstimator(net), balanced)) > test_rows.worst(net) - 0.03


def test_training_rows_and_held_out_rows(
    net: Any, biased: Any, balanced: Any, test_rows: Any
) -> None:
    rows, held_out = both(biased, balanced)
    only = fit(FrozenEstimator(net), balanced, rows="validation")
    same = fit(FrozenEstimator(net), rows, held_out, rows="validation")
    np.testing.assert_array_equal(only.predict_proba(rows.X), same.predict_proba(rows.X))
    more = fit(FrozenEstimator(net), rows, held_out)
    assert not np.array_equal(only.predict_proba(rows.X), more.predict_proba(rows.X))
    assert test_rows.worst(more) > 0.79
    fitted = fit(clone(net), rows, held_out, rows="validation")
    np.testing.assert_array_equal(fitted.predict_proba(rows.X), only.predict_proba(rows.X))


def test_the_best_c_is_chosen(net: Any, biased: Any) -> None:
    model = fit(FrozenEstimator(net), biased, C=[1e-4, 0.1], penalty="l1")
    assert model.C_ == 0.1
    assert model.scores_["C"].tolist() == [0.1, 1e-4]
    assert model.scores_["worst_cell"].is_monotonic_decreasing


def test_a_loss_keeps_the_given_net(net: Any, biased: Any, balanced: Any) -> None:
    harmful = {"penalty": "l1", "C": 1e-4}  # every weight 0, one class for all
    with pytest.warns(FairvisionWarning, match="keeps the model that it was given"):
        model = fit(FrozenEstimator(net), balanced, **harmful)
    assert not model.retrained_
    assert model.C_ is None
    np.testing.assert_array_equal(model.predict_proba(balanced.X), net.predict_proba(balanced.X))
    with pytest.warns(FairvisionWarning, match="keeps"):
        whole = fit(clone(net), balanced, **harmful)
    again = clone(net).fit(balanced.X, balanced.y)
    np.testing.assert_array_equal(whole.predict_proba(biased.X), again.predict_proba(biased.X))
    allowed = fit(FrozenEstimator(net), balanced, allow_worse=True, **harmful)
    assert allowed.retrained_
    assert len(set(allowed.predict(balanced.X))) == 1


def test_the_net_is_fitted_on_all_rows_once_c_is_chosen() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)).astype(np.float32)
    y, groups = (X[:, 0] > 0).astype(int), np.arange(120) % 2
    trunk = nn.Sequential(nn.Linear(4, 16), nn.ReLU())
    net = TorchClassifier(trunk, max_epochs=5, lr=0.1, random_state=0)
    on_all = clone(net).fit(X, y)

    def fitted(held_out: Any = None, **params: Any) -> LastLayerRetraining:
        model = LastLayerRetraining(net, C=[1.0, 0.1], random_state=0, **params)
        model.fit(X, y, sensitive_features=groups, held_out=held_out)
        assert model.retrained_
        return model

    model = fitted()
    assert model.refitted_
    np.testing.assert_array_equal(model.transform(X), on_all.transform(X))
    frozen = LastLayerRetraining(FrozenEstimator(on_all), C=model.C_, random_state=0)
    frozen.fit(X, y, sensitive_features=groups)
    np.testing.assert_array_equal(model.predict_proba(X), frozen.predict_proba(X))
    held_out = np.arange(120) < 48
    for kept in (fitted(refit=False), fitted(rows="validation"), fitted(held_out)):
        assert not kept.refitted_
        assert not np.array_equal(kept.transform(X), on_all.transform(X))


def test_an_empty_cell_keeps_the_given_net(net: Any, biased: Any) -> None:
    agree = (biased.y == 1) == (biased.groups == "b")
    rows = type(biased)(biased.X[agree], biased.y[agree], biased.groups[agree])
    with pytest.warns(FairvisionWarning, match="target 0 and group 'b'"):
        model = fit(FrozenEstimator(net), rows)
    assert not model.retrained_
    np.testing.assert_array_equal(model.predict_proba(rows.X), net.predict_proba(rows.X))


def test_the_result_is_an_ordinary_net(net: Any, biased: Any, tmp_path: Path) -> None:
    before = net.module_.head.weight.clone()
    model = fit(FrozenEstimator(net), biased)
    assert type(model.estimator_) is TorchClassifier
    assert torch.equal(net.module_.head.weight, before)
    scores = model.predict_proba(biased.X)
    module = as_module(model)
    np.testing.assert_allclose(module(torch.from_numpy(biased.X)).detach(), scores)
    path = save(model, tmp_path / "model.safetensors")
    loaded = load(path, objects={"backbone": "torch.nn:Identity"})
    np.testing.assert_array_equal(loaded.predict_proba(biased.X), scores)
    thresholds = fv.make("threshold-optimizer", estimator=FrozenEstimator(model), allow_worse=True)
    thresholds.fit(biased.X, biased.y, sensitive_features=biased.groups)
    again = fit(FrozenEstimator(model), biased)
    np.testing.assert_allclose(again.predict_proba(biased.X), scores)


def test_images_of_a_wrapped_model_with_one_logit() -> None:
    rng = np.random.default_rng(0)
    X = rng.random((80, 1, 4, 4), dtype=np.float32)
    y, groups = np.arange(80) % 2, np.arange(80) // 2 % 2
    X[y == 1, 0, 0, 0] += 1
    X /= 2
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    net = TorchClassifier.from_module(module, classes=["no", "yes"])
    model = LastLayerRetraining(FrozenEstimator(net), C=10.0, random_state=0)
    labels = np.array(["no", "yes"])[y]
    model.fit(X, labels, sensitive_features=groups)
    assert model.estimator_.module_.head.out_features == 1
    assert (model.predict(X) == labels).mean() > 0.9


def test_in_a_pipeline(net: Any, biased: Any) -> None:
    pipeline = make_pipeline(FunctionTransformer(), clone(net))
    model = fit(pipeline, biased)
    assert type(model.estimator_) is type(pipeline)
    np.testing.assert_array_equal(model.transform(biased.X), biased.X)


@pytest.mark.parametrize("inner", [None, TorchClassifier("torch.nn:Identity")])
def test_weights_of_rows_are_refused_as_by_any_classifier_without_them(
    biased: Any, inner: Any
) -> None:
    model = Resampled(fv.make("reweighing"), LastLayerRetraining(inner))
    with pytest.raises(InputError, match="takes no sample_weight"):
        model.fit(biased.X, biased.y, sensitive_features=biased.groups)


def test_what_is_refused(net: Any, biased: Any) -> None:
    with pytest.raises(GroupsRequiredError):
        LastLayerRetraining(FrozenEstimator(net)).fit(biased.X, biased.y)
    for params in ({"penalty": "l3"}, {"rows": "some"}, {"n_draws": 0}, {"C": 0}, {"C": ()}):
        with pytest.raises(InputError, match=next(iter(params))):
            fit(FrozenEstimator(net), biased, **params)
    with pytest.raises(InputError, match="needs a fitted torch net"):
        fit(LogisticRegression(), biased)
    with pytest.raises(InputError, match="held_out"):
        fit(FrozenEstimator(net), biased, np.zeros(len(biased.y)))
    with pytest.raises(InputError, match="the net knows"):
        fit(FrozenEstimator(net), type(biased)(biased.X, biased.y + 1, biased.groups))
    bare = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    no_bias = FrozenEstimator(TorchClassifier.from_module(bare, classes=[0, 1]))
    with pytest.raises(InputError, match="a bias"):
        LastLayerRetraining(no_bias).fit(
            np.zeros((8, 1, 2, 2)), np.arange(8) % 2, sensitive_features=np.arange(8) // 4
        )


def test_the_method() -> None:
    (method,) = plugin.fairvision_postprocessing()
    for preset in method.presets:
        made = fv.make(method.name, preset, estimator=TorchClassifier())
        assert isinstance(made, LastLayerRetraining)
    assert (made.penalty, made.rows) == ("l1", "validation")

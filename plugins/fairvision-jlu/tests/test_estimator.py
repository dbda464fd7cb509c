from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchvision.transforms import v2

import fairvision as fv
from fairvision.exceptions import CollapseWarning, GroupsRequiredError, InputError
from fairvision.metrics import leakage
from fairvision.nn import TorchClassifier
from fairvision.testing import check_resumes
from fairvision_jlu import JLUClassifier

pytestmark = pytest.mark.cpu


def small(**params) -> JLUClassifier:
    return JLUClassifier(**({"backbone": "mlp", "max_epochs": 3, "random_state": 0} | params))


def dropping(input_shape) -> nn.Module:
    """Running statistics and dropout: all that spurious data could disturb."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(256, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5)
    )


def test_plugin_offers_it_with_presets():
    quick, paper = (fv.make("jlu", preset=name, alpha=0.4) for name in ("quick", "paper"))
    assert type(quick) is type(paper) is JLUClassifier
    assert (paper.alpha, paper.batch_size, paper.head_solver) == (0.4, 32, "adam")


def test_paper_preset_builds_the_reports_net(biased):
    model = fv.make("jlu", preset="paper", alpha=0, max_epochs=1, random_state=0)
    model.fit(biased.images[:64], biased.target[:64], sensitive_features=biased.groups[:64])
    assert model.transform(biased.images[:3]).shape == (3, 128)
    sizes = [m.out_channels for m in model.module_.modules() if isinstance(m, nn.Conv2d)]
    assert sizes == [32, 64, 128]


def test_unlearns_the_attribute(biased, balanced):
    """The reason to be: right in all cells of unbiased data, and the attribute less readable."""
    worst, read = {}, {}
    for alpha in (0, 1):
        model = small(alpha=alpha, max_epochs=12)
        model.fit(biased.images, biased.target, sensitive_features=biased.groups)
        right = model.predict(balanced.images) == balanced.target
        cells = pd.Series(right).groupby([balanced.target, balanced.groups]).mean()
        worst[alpha] = cells.min()
        found = leakage(model.transform(balanced.images), balanced.groups, y=balanced.target)
        read[alpha] = found.loc["target_balanced_accuracy", "value"]
    assert worst[1] > worst[0] + 0.05
    assert read[1] < read[0] - 0.1


@pytest.mark.parametrize("spurious", [False, True])
def test_alpha_zero_is_plain_training_bit_for_bit(biased, balanced, spurious):
    params = {"backbone": dropping, "max_epochs": 3, "random_state": 3}
    extra = {"spurious_data": (balanced.images, balanced.groups)} if spurious else {}
    plain = TorchClassifier(**params).fit(biased.images, biased.target)
    model = JLUClassifier(alpha=0, **params)
    model.fit(biased.images, biased.target, sensitive_features=biased.groups, **extra)
    for name, value in plain.module_.state_dict().items():
        assert torch.equal(value, model.module_.state_dict()[name]), name
    assert model.n_steps_ == plain.n_steps_


def test_warmup_is_plain_training_too(biased, balanced):
    params = {"backbone": dropping, "max_epochs": 2, "random_state": 3}
    plain = TorchClassifier(**params).fit(biased.images, biased.target)
    model = JLUClassifier(warmup=1.0, ramp=0.0, **params)
    model.fit(biased.images, biased.target, spurious_data=(balanced.images, balanced.groups))
    np.testing.assert_array_equal(
        model.predict_proba(balanced.images), plain.predict_proba(balanced.images)
    )


@pytest.mark.parametrize("params", [{}, {"head_solver": "adam", "head_memory": 3}])
def test_same_seed_same_bits_and_global_generators_untouched(biased, balanced, params):
    def fit():
        model = small(backbone=dropping, max_epochs=2, **params)
        data = (balanced.images, balanced.groups)
        model.fit(biased.images, biased.target, spurious_data=data)
        return model.predict_proba(balanced.images)

    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = fit(), fit()
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_several_attributes_and_many_classes(five_classes):
    data = five_classes
    groups = pd.DataFrame({"square": data.groups, "third": np.arange(600) // 7 % 3})
    model = small(alpha=0.3, max_epochs=16)
    model.fit(data.images, data.target, sensitive_features=groups)
    assert model.sensitive_names_ == ("square", "third")
    assert [head.out_features for head in model.spurious_heads_] == [2, 3]
    assert model.predict_proba(data.images).shape == (600, 5)
    assert model.history_[-1]["primary_loss"] < model.history_[0]["primary_loss"]


def test_spurious_data_may_be_left_unread(biased, balanced):
    def places(use, **more):
        model = small(max_epochs=2, use_spurious_data=use)
        model.fit(biased.images, biased.target, sensitive_features=biased.groups, **more)
        return model.transform(biased.images[:20])

    data = (balanced.images, balanced.groups)
    np.testing.assert_array_equal(places(False, spurious_data=data), places(True))
    assert not np.array_equal(places(True, spurious_data=data), places(True))


@pytest.mark.slow
def test_spurious_data_replace_the_groups(biased, balanced):
    data = (balanced.images, pd.Series(balanced.groups, name="square"))
    model = small(max_epochs=12).fit(biased.images, biased.target, spurious_data=data)
    plain = small(alpha=0, max_epochs=12)
    plain.fit(biased.images, biased.target, spurious_data=data)
    assert model.sensitive_names_ == ("square",)
    accuracy = [m.score(balanced.images, balanced.target) for m in (model, plain)]
    assert accuracy[0] > accuracy[1]


def test_history_says_what_the_heads_know(biased):
    model = small(warmup=0, ramp=0).fit(
        biased.images, biased.target, sensitive_features=biased.groups
    )
    for epoch in model.history_:
        assert epoch["confusion_excess"] >= 0
        assert epoch["head_loss"] > 0
        assert 1 <= epoch["head_steps"] <= 4
        assert epoch["train_loss"] >= epoch["primary_loss"]


def test_collapse_warns(biased):
    """As published, at full strength from the start, where the attribute is the target."""
    model = small(alpha=300, warmup=0, ramp=0, decorrelate=False, standardize=False)
    with pytest.warns(CollapseWarning, match="into one class"):
        model.fit(biased.images, biased.target, sensitive_features=(biased.target > 0))


@pytest.mark.parametrize("target", ["balanced", "rare"])
def test_training_that_works_does_not_warn(biased, target):
    rows = np.flatnonzero((biased.target == 0) | (np.arange(600) % 60 == 1))
    rows = rows if target == "rare" else np.arange(600)
    model = small(max_epochs=8)
    # Warnings are errors here.
    model.fit(biased.images[rows], biased.target[rows], sensitive_features=biased.groups[rows])


def test_groups_missing_is_an_error(biased):
    with pytest.raises(GroupsRequiredError, match="JLUClassifier needs sensitive_features"):
        small().fit(biased.images, biased.target)
    with pytest.raises(GroupsRequiredError):
        small().fit(biased.images, biased.target, spurious_data=(biased.images, None))


def test_one_group_is_an_error(biased):
    with pytest.raises(InputError, match="has 1 group"):
        small().fit(biased.images, biased.target, sensitive_features=["a"] * 600)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("images", "pass a pair"),
        ((np.zeros((4, 3, 16, 16), np.uint8), [0, 1, 0, 1]), "3"),
        ((np.zeros((4, 1, 16, 16), np.uint8), [0, 1, 0]), "3 rows, X has 4"),
    ],
)
def test_bad_spurious_data(biased, data, message):
    with pytest.raises(InputError, match=message):
        small().fit(biased.images, biased.target, spurious_data=data)


@pytest.mark.parametrize(
    "params",
    [
        {"alpha": -1},
        {"alpha": float("nan")},
        {"warmup": 0.7, "ramp": 0.4},
        {"head_steps": 0},
        {"head_memory": 0},
        {"head_ridge": 0},
        {"head_lr": 0},
        {"head_solver": "sgd"},
    ],
)
def test_bad_parameters_are_named(biased, params):
    with pytest.raises(InputError, match=next(iter(params))):
        small(**params).fit(biased.images, biased.target, sensitive_features=biased.groups)


def test_train_transform_reaches_both_kinds_of_images(biased, balanced):
    seen = []

    def flip(images):
        seen.append(len(images))
        return images.flip(3)

    model = small(train_transform=flip, max_epochs=4, warmup=0, ramp=0)
    model.fit(biased.images, biased.target, spurious_data=(balanced.images, balanced.groups))
    assert len(seen) == 2 * model.n_steps_


def test_a_fitted_model_can_be_stored(biased, tmp_path):
    import joblib

    model = small().fit(biased.images, biased.target, sensitive_features=biased.groups)
    joblib.dump(model, tmp_path / "model")
    again = joblib.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(biased.images), model.predict(biased.images))
    assert not hasattr(model, "_secondary")


@pytest.mark.parametrize(
    "params",
    [
        {"warmup": 0.2, "ramp": 0.5},
        {"head_solver": "adam", "head_memory": 3},
        {"secondary": True, "warmup": 0.2, "ramp": 0.2},
        {"secondary": True, "warmup": 0.8, "ramp": 0.2},  # the heads look on until later
    ],
    ids=["newton", "adam", "secondary", "secondary-warm-up"],
)
def test_it_goes_on_from_a_checkpoint(biased, balanced, params):
    others = (balanced.images[:150], balanced.groups[:150])  # whose passes end within epochs
    with_others = params.pop("secondary", False)
    rows = {"spurious_data": others} if with_others else {"sensitive_features": biased.groups}
    transform = v2.RandomHorizontalFlip()
    model = small(backbone=dropping, max_epochs=5, train_transform=transform, **params)
    assert check_resumes(model, biased.images, biased.target, **rows) == 2


def _features() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The class in the first feature, the group in the others, on another scale."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    groups = np.where(rng.random(400) < 0.9, y, 1 - y)
    X = rng.normal(size=(400, 6))
    X[:, 0] += 2 * y
    X[:, 1:] += 2 * groups[:, None]
    return (X * 30 + 100).astype(np.float32), y, groups


def test_on_features_a_hidden_layer_unlearns():
    X, y, groups = _features()
    fixed = {"backbone": "linear", "max_epochs": 15, "lr": 1e-2, "random_state": 0}

    def worst(model):
        right = model.fit(X, y, sensitive_features=groups).predict(X) == y
        return min(right[(y == i) & (groups == j)].mean() for i in (0, 1) for j in (0, 1))

    jlu = JLUClassifier(**fixed)
    assert worst(jlu) > worst(JLUClassifier(alpha=0, **fixed)) + 0.1
    assert jlu.transform(X).shape == (400, 128)


def test_who_is_rare_is_not_forgotten_when_the_group_is_unlearned():
    """One row in eight is of class 1: without class weights few of these are recognised."""
    X, y, groups = _features()
    kept = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:28]])
    X, y, groups = X[kept], y[kept], groups[kept]

    def recall(**params):
        model = JLUClassifier("linear", max_epochs=15, lr=1e-2, random_state=0, **params)
        right = model.fit(X, y, sensitive_features=groups).predict(X) == y
        return right[y == 1].mean()

    assert recall() > recall(class_weight=None) + 0.1
    assert recall(class_weight="balanced") == recall()


def test_without_alpha_a_probe_is_a_plain_probe():
    X, y, groups = _features()
    fixed = {"backbone": "linear", "max_epochs": 2, "random_state": 0}
    jlu = JLUClassifier(alpha=0, **fixed).fit(X, y, sensitive_features=groups)
    plain = TorchClassifier(**fixed).fit(X, y)
    np.testing.assert_array_equal(jlu.predict_proba(X), plain.predict_proba(X))


def test_a_wrapped_net_whose_head_alone_is_trained_is_refused():
    X, y, groups = _features()
    net = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    with pytest.raises(InputError, match="cannot unlearn"):
        JLUClassifier.from_module(net, classes=[0, 1], trainable="head").fit(
            X, y, sensitive_features=groups
        )

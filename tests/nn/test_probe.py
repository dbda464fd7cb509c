"""The linear probe: on tables and on maps, standardised inside."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.nn import Objective, Standardize, TorchClassifier, as_module

pytestmark = pytest.mark.cpu

N = 96
TARGET = np.arange(N) % 2
GROUPS = np.where(np.arange(N) % 3 == 0, "a", "b")


def features(*shape: int) -> np.ndarray:
    """Far from 0..1, each column on a scale of its own; the first one tells the class."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N, *shape))
    values[:, 0] += 2 * TARGET.reshape(-1, *[1] * (len(shape) - 1))
    scales = 10.0 ** rng.integers(-3, 4, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return ((values + 50) * scales).astype(np.float32)


INPUTS = {"table": features(6), "maps": features(6, 3, 3), "maps of 3 channels": features(3, 2, 2)}


@pytest.mark.parametrize("X", INPUTS.values(), ids=INPUTS)
def test_features_are_standardised_over_the_training_rows(X):
    model = TorchClassifier("linear", max_epochs=1, random_state=0).fit(X, TARGET)
    table = X if X.ndim == 2 else X.mean((2, 3))
    expected = StandardScaler().fit_transform(table.astype(np.float64))
    np.testing.assert_allclose(model.transform(X), expected, atol=2e-3)


@pytest.mark.parametrize("X", INPUTS.values(), ids=INPUTS)
def test_a_probe_is_saved_with_its_scaling(X, tmp_path):
    model = TorchClassifier("linear", max_epochs=2, random_state=0).fit(X, TARGET)
    loaded = fv.load(fv.save(model, tmp_path / "probe.fv"))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("X", INPUTS.values(), ids=INPUTS)
def test_a_probe_is_one_module(X):
    model = TorchClassifier("linear", max_epochs=2, random_state=0).fit(X, TARGET)
    module = as_module(model)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    assert any(name.endswith("mean") for name in module.state_dict())
    with torch.no_grad():
        inputs = torch.from_numpy(X).to(next(model.module_.parameters()).dtype)
        np.testing.assert_allclose(module(inputs).numpy(), model.predict_proba(X), atol=1e-6)


def test_a_probe_reaches_logistic_regression():
    X = INPUTS["table"]
    scaled = StandardScaler().fit_transform(X.astype(np.float64))
    expected = LogisticRegression(C=np.inf).fit(scaled, TARGET).predict_proba(scaled)
    model = TorchClassifier("linear", max_epochs=150, batch_size=N, lr=0.05, random_state=0)
    np.testing.assert_allclose(model.fit(X, TARGET).predict_proba(X), expected, atol=0.02)


def test_rows_held_out_or_of_weight_0_have_no_part_in_the_scaling():
    X = INPUTS["table"].copy()
    weights = np.ones(N)
    weights[:10] = 0
    model = TorchClassifier("linear", max_epochs=1, random_state=0)
    mean = model.fit(X, TARGET, sample_weight=weights).module_.trunk[0].mean
    np.testing.assert_allclose(mean.numpy(), X[10:].mean(0, dtype=np.float64), rtol=1e-6)
    held_out = model.set_params(validation_fraction=0.5).fit(X, TARGET).module_.trunk[0]
    assert held_out.n_rows == N // 2


def test_statistics_do_not_depend_on_the_batches():
    X = torch.from_numpy(INPUTS["table"]).double()
    whole, parts = Standardize(6).double(), Standardize(6).double()
    whole.update(X)
    for part in X.split(7):
        parts.update(part)
    for name in ("mean", "std"):
        torch.testing.assert_close(getattr(whole, name), getattr(parts, name))


def test_a_constant_feature_becomes_0():
    X = INPUTS["table"].copy()
    X[:, 3] = 0.1
    model = TorchClassifier("linear", max_epochs=1, random_state=0).fit(X, TARGET)
    assert abs(model.transform(X)[:, 3]).max() < 1e-6


def test_a_clone_of_a_wrapped_probe_keeps_its_scaling():
    X = INPUTS["table"]
    first = TorchClassifier("linear", max_epochs=1, random_state=0).fit(X, TARGET)
    wrapped = TorchClassifier.from_module(first.module_, classes=[0, 1], max_epochs=1)
    again = wrapped.fit(X[:20] * 3, TARGET[:20])
    torch.testing.assert_close(again.module_.trunk[0].mean, first.module_.trunk[0].mean)


def test_maps_get_a_probe_where_images_get_the_small_cnn():
    model = TorchClassifier(max_epochs=1, random_state=0).fit(INPUTS["maps"], TARGET)
    assert isinstance(model.module_.trunk[-1], Standardize)


@pytest.mark.parametrize("form", ["float", "uint8"])
def test_images_with_channels_last_are_no_maps(form):
    X = np.random.default_rng(0).random((N, 16, 16, 3)).astype(np.float32)
    X = X if form == "float" else (X * 255).astype(np.uint8)
    with pytest.raises(InputError, match="channels seem to be last"):
        TorchClassifier(max_epochs=1).fit(X, TARGET)


def test_maps_of_another_shape_are_refused_at_predict():
    model = TorchClassifier("linear", max_epochs=1, random_state=0).fit(INPUTS["maps"], TARGET)
    with pytest.raises(InputError, match="fitted on"):
        model.predict(features(6, 2, 2))
    broken = INPUTS["maps"].copy()
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        model.predict(broken)


def test_a_probe_is_exported(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    X = INPUTS["maps"]
    model = TorchClassifier("linear", max_epochs=1, random_state=0).fit(X, TARGET)
    session = onnxruntime.InferenceSession(fv.saving.export_onnx(model, tmp_path / "probe.onnx"))
    name = session.get_inputs()[0].name
    kind = {"tensor(float)": np.float32, "tensor(double)": np.float64}[session.get_inputs()[0].type]
    probabilities = session.run(["probabilities"], {name: X.astype(kind)})[0]
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


def test_a_rare_class_is_not_guessed():
    """Of many features with mean 0, only the bias can tell how rare a class is."""
    rng = np.random.default_rng(0)
    y = (np.arange(600) % 10 == 0).astype(int)
    X = rng.normal(size=(600, 400)).astype(np.float32)
    X[:, 0] += 2 * y
    held = rng.normal(size=(2000, 400)).astype(np.float32)
    for weights, share in ((None, 0.1), (np.where(y, 9.0, 1.0), 0.5)):
        probe = TorchClassifier("linear", max_epochs=1, lr=1e-4, random_state=0)
        guessed = probe.fit(X, y, sample_weight=weights).predict_proba(held)[:, 1].mean()
        assert guessed == pytest.approx(share, abs=0.05)


class NoBias(Objective):
    def make_module(self, build, context):
        module = build()
        module.head = nn.Linear(module.head.in_features, len(context.classes), bias=False)
        return module


class Balanced(Objective):
    def order(self, module, rows):
        targets = torch.as_tensor(rows.targets)
        return torch.multinomial(1.0 / torch.bincount(targets)[targets], len(rows))


class Theirs(nn.Module):
    def __init__(self):
        super().__init__()
        self.standardize, self.head = Standardize(6), nn.Linear(6, 2)
        nn.init.constant_(self.head.bias, 3.0)

    def features(self, x):
        return self.standardize(x)

    def forward(self, x):
        return self.head(self.features(x))


def test_only_a_new_head_of_ours_starts_at_the_shares():
    rare, X = (np.arange(N) % 8 == 0).astype(int), INPUTS["table"]

    def bias(backbone="linear", **params):
        model = TorchClassifier(backbone, max_epochs=1, lr=1e-6, random_state=0, **params)
        found = model.fit(X, rare).module_.head.bias
        return None if found is None else found.detach()

    assert -bias().diff().item() > 1
    assert abs(bias(objective=Balanced()).diff().item()) < 1
    assert bias(objective=NoBias()) is None
    np.testing.assert_allclose(bias(Theirs), [3, 3], atol=1e-3)


def test_a_class_without_rows_counts_as_the_rarest():
    rare, X = (np.arange(N) % 8 == 0).astype(int), INPUTS["table"]
    model = TorchClassifier("linear", classes=[0, 1, 2], max_epochs=1, lr=1e-6, random_state=0)
    bias = model.fit(X, rare).module_.head.bias.tolist()
    assert bias[0] - bias[2] > 1
    assert abs(bias[1] - bias[2]) < 1


def test_rows_of_a_table_are_predicted_a_batch_at_a_time():
    X = np.random.default_rng(0).normal(size=(1000, 32)).astype(np.float32)
    model = TorchClassifier("linear", max_epochs=0, batch_size=100, random_state=0)
    model.fit(X, np.arange(1000) % 2)
    sizes = []
    model.module_.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    model.predict(X)
    assert sizes == [100] * 10

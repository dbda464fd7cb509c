"""Each bad input gets one error that says what is wrong and what to do, and costs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.exceptions import NotFittedError

from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier

UNIT = np.linspace(0, 1, 48 * 3 * 16 * 16).reshape(48, 3, 16, 16)
BYTES = (UNIT * 255).astype(np.uint8)
Y = np.tile([0, 1], 24)


def spoiled(X: np.ndarray, value: float) -> np.ndarray:
    X = X.copy()
    X[5, 1, 2, 3] = value
    return X


@dataclass
class Case:
    message: str
    X: Any = field(default_factory=lambda: BYTES)
    y: Any = field(default_factory=lambda: Y)
    groups: Any = None
    weights: Any = None


CASES = {
    "three dimensions": Case(
        r"X has shape \(48, 16, 16\).*grey images pass X\[:, None\]", UNIT[:, 0]
    ),
    "five dimensions": Case(r"X has shape \(1, 48, 3, 16, 16\); images need", UNIT[None]),
    "channels last": Case(
        r"X has 16 channels.*pass X.transpose\(0, 3, 1, 2\)", BYTES.transpose(0, 2, 3, 1)
    ),
    "two channels": Case(r"X has 2 channels.*Convert the images to grey", BYTES[:, :2]),
    "NaN": Case(r"X contains NaN. Find the broken images", spoiled(UNIT, np.nan)),
    "inf": Case(r"X contains infinite values. Find", spoiled(UNIT, np.inf)),
    "floats to 255": Case(r"values from 0 to 255; expected 0..1. Divide by 255", UNIT * 255.0),
    "normalised": Case(r"values from -1 to 1; .*undo a normalisation", UNIT * 2 - 1),
    "a tensor to 255": Case("Divide by 255", torch.tensor(UNIT * 255)),
    "int64": Case(r"X has dtype int64.*X.astype\('uint8'\)", BYTES.astype(np.int64)),
    "bool": Case("X has dtype bool", BYTES > 100),
    "bfloat16": Case("X has dtype bfloat16", torch.tensor(UNIT).bfloat16()),
    "empty": Case(r"X has shape \(0, 3, 16, 16\): no images", BYTES[:0], Y[:0]),
    "sizes that differ": Case(
        "X is a list whose 48 items have different shapes", [*BYTES[:47], BYTES[47, :, 1:]]
    ),
    "one class": Case(r"y has one class \(1\).*needs two or more", y=np.ones(48, int)),
    "short y": Case("y has 40 rows, X has 48. Pass one label per image", y=Y[:40]),
    "NaN in y": Case(
        r"y has 24 missing label\(s\), the first in row 1", y=np.where(Y, np.nan, 0.0)
    ),
    "None in y": Case(r"y has 1 missing label\(s\), the first in row 0", y=[None, *"ab" * 23, "a"]),
    "NA in y": Case(r"y has 24 missing", y=pd.Series(Y, dtype="Int64").where(Y == 0)),
    "regression": Case(
        "Unknown label type: continuous.*Bin continuous values into classes",
        y=np.linspace(0, 1, 48),
    ),
    "mixed labels": Case(
        r"convert mixed labels to one type: y.astype\(str\)",
        y=np.array([1, "a"] * 24, dtype=object),
    ),
    "two columns of labels": Case("y should be a 1d.*one-hot, y.argmax", y=np.stack([Y, Y], 1)),
    "lists of labels": Case("Pass one label per row", y=[[1, 2] if i % 2 else [1] for i in Y]),
    "bytes": Case("Pass one label per row|y.astype", y=np.array([b"a", b"b"])[Y]),
    "masked labels": Case(r"y has 24 missing label\(s\)", y=np.ma.array(Y, mask=Y == 1)),
    "infinity beside text": Case(
        r"convert mixed labels to one type", y=np.array(["a", np.inf] * 24, dtype=object)
    ),
    "a gradient": Case(
        r"requires a gradient. Pass X.detach", torch.rand(48, 1, 8, 8).requires_grad_()
    ),
    "sparse": Case(r"X is sparse, .*Pass X.toarray", csr_matrix(UNIT[:, 0, 0])),
    "short groups": Case("sensitive_features has 3 rows, X has 48", groups=["a", "b", "a"]),
    "missing groups": Case(
        r"'side' has 2 missing label\(s\), the first in row 1",
        groups=pd.Series([*"a", None, np.nan, *"b" * 45], name="side"),
    ),
    "short weights": Case(r"\(3,\), expected \(48,\)! Pass one weight", weights=[1, 2, 3]),
    "negative weights": Case("Negative values.*Pass one weight of 0 or more", weights=-np.ones(48)),
    "no weight at all": Case("at least one|0 for every row", weights=np.zeros(48)),
    "NaN weights": Case("sample_weight contains NaN. Pass one weight", weights=np.full(48, np.nan)),
    "a table with NaN": Case("contains NaN", spoiled(UNIT, np.nan)[:, 1, 2]),
}


@pytest.fixture(scope="module")
def fitted():
    model = TorchClassifier("mlp", max_epochs=1, random_state=0)
    return model.fit(BYTES[:, :1, :8, :8], np.where(Y, "yes", "no"))


@pytest.mark.parametrize("name", CASES)
def test_bad_data_are_refused_and_a_fitted_model_stays_what_it_was(fitted, name):
    case = CASES[name]
    before, expected = dict(vars(fitted)), fitted.predict_proba(BYTES[:, :1, :8, :8])
    with pytest.raises(ValueError, match=f"(?s){case.message}"):
        fitted.fit(case.X, case.y, sensitive_features=case.groups, sample_weight=case.weights)
    assert vars(fitted) == before
    np.testing.assert_array_equal(fitted.predict_proba(BYTES[:, :1, :8, :8]), expected)


@pytest.mark.parametrize("name", CASES)
def test_bad_data_leave_a_new_model_unfitted(name):
    case, model = CASES[name], TorchClassifier("mlp")
    with pytest.raises(ValueError, match=r"\w"):
        model.fit(case.X, case.y, sensitive_features=case.groups, sample_weight=case.weights)
    assert vars(model) == model.get_params(deep=False)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"device": "gpu"}, "device is 'gpu'; pass 'auto', 'cpu', 'cuda'"),
        ({"device": "cuda:99"}, "device is 'cuda:99', but torch sees .* Pass 'cpu' or 'auto'"),
        ({"optimizer": "adamm"}, r"optimizer is 'adamm'; pass one of \['adam', 'adamw', 'sgd'\]"),
        ({"optimizer": None}, "optimizer is None; pass one of"),
        ({"lr": -1}, "lr is -1; pass a number of 0 or more"),
        ({"lr": "fast"}, "lr is 'fast'; pass a number"),
        ({"lr": np.nan}, "lr is nan"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"max_epochs": -1}, "max_epochs is -1; pass an int of 0 or more"),
        ({"max_epochs": 1.5}, "max_epochs is 1.5"),
        ({"batch_size": 0}, "batch_size is 0; pass an int of 1 or more"),
        ({"validation_fraction": 1}, "validation_fraction is 1; pass 0"),
        ({"validation_fraction": None}, "validation_fraction is None"),
        ({"train_transform": "flip"}, "train_transform is 'flip'; pass a callable"),
        ({"random_state": "today"}, "random_state is 'today'"),
    ],
)
def test_bad_parameters_are_refused_in_fit(params, message):
    model = TorchClassifier("mlp").set_params(**params)
    with pytest.raises(InputError, match=message):
        model.fit(BYTES, Y)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (BYTES[:, :, :8, :8], r"shape \(3, 8, 8\).*fitted on \(1, 8, 8\)"),
        (BYTES[:, :1], r"shape \(1, 16, 16\).*Convert or resize them alike"),
        (BYTES[:, 0, :8, :8], "grey images pass"),
        (BYTES[:0, :1, :8, :8], "no images"),
        (spoiled(UNIT, np.nan), "shape"),
        (np.full((2, 1, 8, 8), np.nan), "NaN"),
        (UNIT[:, 0, 0], r"X has shape \(48, 16\); images need"),
    ],
)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
def test_prediction_refuses_images_unlike_those_of_fit(fitted, method, X, message):
    with pytest.raises(InputError, match=message):
        getattr(fitted, method)(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
def test_an_unfitted_model_says_so(method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(TorchClassifier(), method)(BYTES)


@pytest.mark.parametrize("name", ["batch_size", "max_epochs"])
def test_integers_of_numpy_are_integers(name):
    params = {"batch_size": 16, "max_epochs": 1, "random_state": 0}
    usual, of_numpy = (
        TorchClassifier("mlp", **{**params, name: kind(params[name])}).fit(BYTES, Y)
        for kind in (int, np.int64)
    )
    np.testing.assert_array_equal(usual.predict_proba(BYTES), of_numpy.predict_proba(BYTES))

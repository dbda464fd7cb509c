"""A tiny data set, and third-party plugins that the registry of this process sees."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.comparison import Comparison
from fairvision.comparison.run import Predictions, Run
from fairvision.metrics import evaluate_predictions
from fairvision.plugins import _registry


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Everything that makes a comparison small: about a third of a second a run."""
    return {
        "seeds": 2,
        "confounding": 0.9,
        "n_train": 160,
        "n_test": 80,
        "max_epochs": 1,
        "n_boot": 50,
        "progress": False,
        "report": False,
    }


@pytest.fixture(scope="session")
def faces_params() -> dict[str, Any]:
    return {"n_samples": 500, "image_size": 24, "target": "eyeglasses", "sensitive": "hat"}


@pytest.fixture(scope="session")
def methods() -> dict[str, Any]:
    """Two methods without a plugin: plain training at two speeds."""
    return {"erm": "erm", "slow": ("erm", {"lr": 1e-4})}


@pytest.fixture(scope="session")
def faces(faces_params: dict[str, Any]) -> Bunch:
    return fv.datasets.load("faces", **faces_params)


@pytest.fixture
def compare(faces: Bunch, small: dict[str, Any]) -> Callable[..., Comparison]:
    """`fv.compare` on the tiny faces, smaller than anybody would."""

    def run(methods: Any = "erm", dataset: Any = faces, **params: Any) -> Comparison:
        return fv.compare(dataset, methods, **{**small, **params})

    return run


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    """The registry is made once a process; here it is made anew, and again afterwards."""
    _registry._default.cache_clear()
    yield
    _registry._default.cache_clear()


@pytest.fixture
def third_party(site: Any, fresh_registry: None) -> ModuleType:
    """The plugin of `third_party.py` as an installed distribution; its module."""

    source = Path(__file__).with_name("third_party.py").read_text()
    module = importlib.import_module(site.add("third-party", source, header=""))
    _registry._default.cache_clear()
    return module


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, tuple[int, bytes]]]:
    """A function of a folder: when each file in it was written, and what it holds."""

    def look(folder: Path) -> dict[str, tuple[int, bytes]]:
        return {
            os.path.relpath(path, folder): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lock"  # which older filelocks write anew
        }

    return look


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """A function that makes a run which errs at random: 400 validation rows, 400 test rows."""
    return _make_run


def _make_run(method: str, seed: int, errors: tuple[float, float], groups: pd.DataFrame) -> Run:
    """A run that errs at random, on rows that all methods of a seed share."""
    n = 400
    own = np.random.default_rng([seed, sum(map(ord, method))])
    y = np.random.default_rng(0).integers(0, 2, 2 * n)
    parts = [np.arange(n), np.arange(n, 2 * n)]
    predicted = [
        Predictions(rows, y[rows], np.where(own.random(n) < share, 1 - y[rows], y[rows]), None)
        for rows, share in zip(parts, errors, strict=True)
    ]
    validation, test = predicted
    evaluation = evaluate_predictions(
        test.y_true, test.y_pred, sensitive_features=groups.iloc[test.rows], n_boot=50,
        random_state=0,
    )  # fmt: skip
    return Run({}, method, seed, 9, n, None, 1.0, evaluation.to_dict(), None, None, [],
               **vars(test), validation=validation)  # fmt: skip

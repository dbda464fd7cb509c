"""Our objects in scikit-learn, on images."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fairvision.base import Resampled
from fairvision.metrics import as_scorer
from fairvision.nn import TorchClassifier
from fairvision.toolkits import BalancedSampling, ThresholdOptimizedClassifier

pytestmark = pytest.mark.cpu

cell = pytest.mark.cell


@pytest.fixture
def debiased(erm: TorchClassifier) -> Resampled:
    """A method that needs groups at fit."""
    return Resampled(BalancedSampling(random_state=0), erm)


@cell("scikit-learn", "`Pipeline`, groups routed to the step that asks for them")
def test_pipeline(X: Any, y: Any, groups: Any, debiased: Resampled, routing: None) -> None:
    flip = FunctionTransformer(lambda images: images[..., ::-1])
    pipe = make_pipeline(flip, debiased).fit(X, y, sensitive_features=groups)
    alone = clone(debiased).fit(X[..., ::-1], y, sensitive_features=groups)
    np.testing.assert_array_equal(pipe.predict_proba(X), alone.predict_proba(X[..., ::-1]))


@cell("scikit-learn", "`transform` feeding a `LogisticRegression` in a `Pipeline`")
def test_features_feed_a_linear_model(X: Any, y: Any) -> None:
    pipe = make_pipeline(
        TorchClassifier(max_epochs=4, random_state=0), StandardScaler(), LogisticRegression()
    )
    assert pipe.fit(X, y).score(X, y) > 0.8
    assert len(pipe[:-1].get_feature_names_out()) == pipe[-1].n_features_in_


@pytest.mark.parametrize("search", [GridSearchCV, HalvingGridSearchCV])
@cell(
    "scikit-learn",
    "`GridSearchCV` and `HalvingGridSearchCV`, groups routed to `fit` and to the scorer",
)
def test_searches(
    X: Any, y: Any, groups: Any, debiased: Resampled, routing: None, search: Any
) -> None:
    more = {"min_resources": 100, "random_state": 0} if search is HalvingGridSearchCV else {}
    found = search(
        debiased,
        {"classifier__lr": [1e-3, 1e-2]},
        scoring=as_scorer("accuracy_gap"),
        cv=2,
        error_score="raise",
        **more,
    ).fit(X, y, sensitive_features=groups)
    assert found.best_score_ <= 0  # minus a gap
    assert found.predict(X).shape == y.shape


@cell("scikit-learn", "`cross_validate` with several routed scorers")
def test_cross_validate(X: Any, y: Any, groups: Any, debiased: Resampled, routing: None) -> None:
    found = cross_validate(
        debiased,
        X,
        y,
        cv=2,
        scoring={"gap": as_scorer("accuracy_gap"), "accuracy": "accuracy"},
        params={"sensitive_features": groups},
        error_score="raise",
    )
    assert (found["test_gap"] <= 0).all()
    assert (found["test_accuracy"] > 0).all()


@cell("scikit-learn", "a method that needs groups at predict, in `cross_validate`")
def test_groups_at_predict(
    X: Any, y: Any, groups: Any, erm: TorchClassifier, routing: None
) -> None:
    found = cross_validate(
        ThresholdOptimizedClassifier(erm, random_state=0),
        X,
        y,
        cv=2,
        scoring={"gap": as_scorer("demographic_parity_difference")},
        params={"sensitive_features": groups},
        error_score="raise",
    )
    assert np.isfinite(found["test_gap"]).all()


@cell("scikit-learn", "`CalibratedClassifierCV`, by folds and around a `FrozenEstimator`")
def test_calibration(X: Any, y: Any, erm: TorchClassifier, fitted: TorchClassifier) -> None:
    by_folds = CalibratedClassifierCV(erm, cv=2).fit(X, y)
    around = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X, y)
    for model in (by_folds, around):
        np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)
    # A sigmoid of the scores keeps their order.
    ours, calibrated = (m.predict_proba(X)[:, 1] for m in (fitted, around))
    assert np.corrcoef(np.argsort(np.argsort(ours)), np.argsort(np.argsort(calibrated)))[0, 1] > 0.9


@cell("scikit-learn", "`StackingClassifier` and `VotingClassifier`")
def test_ensembles(X: Any, y: Any, erm: TorchClassifier, fitted: TorchClassifier) -> None:
    stacked = StackingClassifier([("a", erm), ("b", clone(erm))], cv=2).fit(X, y)
    frozen = StackingClassifier([("a", fitted)], cv="prefit").fit(X, y)
    vote = VotingClassifier([("a", erm), ("b", clone(erm))], voting="soft").fit(X, y)
    for model in (stacked, frozen, vote):
        assert set(model.predict(X)) <= set(y)
    assert frozen.score(X, y) > 0.7


@cell("scikit-learn", "`FrozenEstimator`: fitting again changes nothing")
def test_frozen(X: Any, y: Any, fitted: TorchClassifier) -> None:
    before = fitted.predict_proba(X)
    frozen = FrozenEstimator(fitted).fit(X, 1 - y)
    np.testing.assert_array_equal(frozen.predict_proba(X), before)


@cell("scikit-learn", '`set_output(transform="pandas")` and `get_feature_names_out`')
def test_set_output(X: Any, y: Any, erm: TorchClassifier) -> None:
    table = erm.set_output(transform="pandas").fit(X, y).transform(X)
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == list(erm.get_feature_names_out())


@cell("scikit-learn", "HTML representation in notebooks")
def test_html(debiased: Resampled) -> None:
    shown = debiased._repr_html_()
    assert "BalancedSampling" in shown
    assert "TorchClassifier" in shown


@cell("scikit-learn", "pickle and joblib, same predictions")
def test_pickles(X: Any, fitted: TorchClassifier, tmp_path: Path) -> None:
    joblib.dump(fitted, tmp_path / "model.joblib")
    for again in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.slow
@cell("scikit-learn", "`n_jobs=2`, same numbers as `n_jobs=1`")
def test_jobs(X: Any, y: Any, erm: TorchClassifier) -> None:
    one, two = (cross_val_score(erm, X, y, cv=2, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)

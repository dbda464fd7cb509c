"""Our classifiers in fairlearn's meta-estimators, on images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, selection_rate
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import DemographicParity, ExponentiatedGradient, GridSearch

from fairvision.exceptions import InputError
from fairvision.metrics import evaluate
from fairvision.nn import TorchClassifier
from fairvision.toolkits import ThresholdOptimizedClassifier

cell = pytest.mark.cell
# fairlearn fills pandas tables in a way that pandas is about to forbid.
theirs = pytest.mark.filterwarnings(
    "ignore:Setting:DeprecationWarning", "ignore:Setting:FutureWarning"
)


@theirs
@cell("fairlearn", "inside `ExponentiatedGradient`")
def test_exponentiated_gradient(X: Any, y: Any, groups: Any, erm: TorchClassifier) -> None:
    model = ExponentiatedGradient(erm, DemographicParity(), max_iter=1)
    model.fit(X, y, sensitive_features=groups)
    assert set(model.predict(X, random_state=0)) <= {0, 1}
    assert all(isinstance(p, TorchClassifier) for p in model.predictors_ if hasattr(p, "module_"))


@theirs
@cell("fairlearn", "inside `GridSearch` (reductions)")
def test_grid_search(X: Any, y: Any, groups: Any, erm: TorchClassifier) -> None:
    model = GridSearch(erm, DemographicParity(), grid_size=2)
    model.fit(X, y, sensitive_features=groups)
    assert len(model.predictors_) == 2
    assert set(model.predict(X)) <= {0, 1}


@cell("fairlearn", "inside `ThresholdOptimizer` and its `InterpolatedThresholder`")
def test_threshold_optimizer(X: Any, y: Any, groups: Any, fitted: TorchClassifier) -> None:
    model = ThresholdOptimizer(
        estimator=fitted,
        constraints="demographic_parity",
        prefit=True,
        predict_method="predict_proba",
    ).fit(X, y, sensitive_features=groups)
    inside = model.interpolated_thresholder_
    drawn = [m.predict(X, sensitive_features=groups, random_state=0) for m in (model, inside)]
    np.testing.assert_array_equal(*drawn)


@cell("fairlearn", "`MetricFrame` on our predictions equals `Evaluation.metric_frame`")
def test_metric_frame(X: Any, y: Any, groups: Any, fitted: TorchClassifier) -> None:
    theirs = MetricFrame(
        metrics=selection_rate,
        y_true=y,
        y_pred=fitted.predict(X),
        sensitive_features=groups,
    )
    ours = evaluate(fitted, X, y, sensitive_features=groups, n_boot=0).metric_frame
    assert isinstance(ours, MetricFrame)
    np.testing.assert_allclose(
        ours.by_group["selection_rate"].to_numpy(), theirs.by_group.to_numpy()
    )


@cell("fairlearn", "a group unseen at fit raises in ours, and is predicted 0 in fairlearn's own")
def test_unseen_groups(X: Any, y: Any, groups: Any, fitted: TorchClassifier) -> None:
    from sklearn.frozen import FrozenEstimator

    theirs = ThresholdOptimizer(estimator=fitted, prefit=True, predict_method="predict_proba").fit(
        X, y, sensitive_features=groups
    )
    new = np.full(len(X), "green")
    assert not theirs.predict(X, sensitive_features=new, random_state=0).any()
    ours = ThresholdOptimizedClassifier(FrozenEstimator(fitted), random_state=0)
    ours.fit(X, y, sensitive_features=groups)
    with pytest.raises(InputError, match="green"):
        ours.predict(X, sensitive_features=new)

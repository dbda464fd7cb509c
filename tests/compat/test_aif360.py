"""Our classifiers and scores with aif360, on images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairvision.base import silence_import
from fairvision.metrics import evaluate
from fairvision.nn import TorchClassifier

cell = pytest.mark.cell


@pytest.fixture
def scores(X: Any, y: Any, groups: Any, fitted: TorchClassifier) -> tuple[Any, Any]:
    """Probabilities and targets as aif360 wants them: the group is the index."""
    index = pd.Index((groups == "light").astype(int), name="light")
    return pd.DataFrame(fitted.predict_proba(X), index=index), pd.Series(y, index=index)


@cell("aif360", "`aif360.sklearn` reweighing weights into `fit(sample_weight=)`")
def test_reweighing(X: Any, y: Any, groups: Any, erm: TorchClassifier) -> None:
    with silence_import():
        from aif360.sklearn.preprocessing import Reweighing

    index = pd.Index(groups, name="skin")
    table = pd.DataFrame({"row": np.arange(len(y))}, index=index)
    _, weights = Reweighing("skin").fit_transform(table, pd.Series(y, index=index))
    erm.fit(X, y, sample_weight=weights)
    assert erm.score(X, y, sample_weight=weights) > 0


@cell("aif360", "`RejectOptionClassifier` on our scores")
def test_reject_option(scores: tuple[Any, Any]) -> None:
    with silence_import():
        from aif360.sklearn.postprocessing import RejectOptionClassifier

    probabilities, target = scores
    model = RejectOptionClassifier("light", threshold=0.5, margin=0.2).fit(probabilities, target)
    predicted = np.asarray(model.predict(probabilities))
    sure = (probabilities[1] - 0.5).abs().to_numpy() > 0.2
    np.testing.assert_array_equal(predicted[sure], (probabilities[1] > 0.5).to_numpy()[sure])


@cell("aif360", "`CalibratedEqualizedOdds` on our scores")
def test_calibrated_equalized_odds(scores: tuple[Any, Any]) -> None:
    with silence_import():
        from aif360.sklearn.postprocessing import CalibratedEqualizedOdds

    probabilities, target = scores
    model = CalibratedEqualizedOdds("light", random_state=0).fit(probabilities, target)
    assert set(np.unique(model.predict(probabilities))) <= {0, 1}


@cell("aif360", "`ClassificationMetric` from `Evaluation.classification_metric`")
def test_classification_metric(X: Any, y: Any, groups: Any, fitted: TorchClassifier) -> None:
    with silence_import():
        from aif360.metrics import ClassificationMetric

    found = evaluate(fitted, X, y, sensitive_features=groups, privileged="light", n_boot=0)
    metric = found.classification_metric
    assert isinstance(metric, ClassificationMetric)
    assert metric.accuracy() == pytest.approx(fitted.score(X, y))
    predicted = fitted.predict(X)
    gap = predicted[groups == "dark"].mean() - predicted[groups == "light"].mean()
    assert metric.statistical_parity_difference() == pytest.approx(gap)

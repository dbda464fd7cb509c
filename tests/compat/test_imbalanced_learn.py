"""Our samplers in imbalanced-learn, its samplers in ours, on images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline
from imblearn.under_sampling import RandomUnderSampler

from fairvision.base import Resampled
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier
from fairvision.toolkits import BalancedSampling, ThresholdOptimizedClassifier

pytestmark = pytest.mark.cpu

cell = pytest.mark.cell


@cell("imbalanced-learn", "our samplers in its `Pipeline`, groups routed")
def test_our_sampler_in_its_pipeline(
    X: Any, y: Any, groups: Any, erm: TorchClassifier, routing: None
) -> None:
    pipe = make_pipeline(BalancedSampling(random_state=0), erm)
    # The classifier's own request is withdrawn: this pipeline cannot resample groups.
    erm.set_fit_request(sensitive_features=False, sample_weight=False)
    pipe.fit(X, y, sensitive_features=groups)
    drawn = BalancedSampling(random_state=0).fit(X, y, sensitive_features=groups).sample_indices_
    alone = TorchClassifier(max_epochs=1, random_state=0).fit(X[drawn], y[drawn])
    np.testing.assert_array_equal(pipe.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("sampler", [RandomOverSampler, RandomUnderSampler])
@cell("imbalanced-learn", "its samplers in our `Resampled`: images and groups follow their rows")
def test_its_samplers_in_resampled(
    X: Any, y: Any, groups: Any, erm: TorchClassifier, sampler: Any
) -> None:
    few = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:30]]
    model = Resampled(sampler(random_state=0), ThresholdOptimizedClassifier(erm, random_state=0))
    model.fit(X[few], y[few], sensitive_features=groups[few])
    drawn = model.sampler_.sample_indices_ if hasattr(model, "sampler_") else []
    counts = np.bincount(y[few][drawn])
    assert counts[0] == counts[1]
    inside = model.classifier_.groups_
    np.testing.assert_array_equal(inside.column(0), groups[few][drawn])


@cell("imbalanced-learn", "samplers that compute with pixels (SMOTE) are refused, with the reason")
def test_samplers_of_pixels_are_refused(X: Any, y: Any, groups: Any, erm: TorchClassifier) -> None:
    with pytest.raises(InputError, match="SMOTE"):
        Resampled(SMOTE(), erm).fit(X, y, sensitive_features=groups)

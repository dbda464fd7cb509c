"""A saved model predicts the same, and its heads read the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fairvision as fv
from fairvision_jlu import JLUClassifier

pytestmark = pytest.mark.cpu


def test_it_comes_back_with_its_spurious_heads(biased, tmp_path):
    model = JLUClassifier(max_epochs=2, random_state=0)
    model.fit(biased.images, biased.target, sensitive_features=biased.groups)
    loaded = fv.load(fv.save(model, tmp_path / "model"))
    assert type(loaded) is JLUClassifier
    for method in ("predict_proba", "transform"):
        expected = getattr(model, method)(biased.images)
        np.testing.assert_array_equal(getattr(loaded, method)(biased.images), expected)
    features = torch.from_numpy(loaded.transform(biased.images))
    for ours, theirs in zip(loaded.spurious_heads_, model.spurious_heads_, strict=True):
        assert torch.equal(ours(features), theirs(features))
    assert loaded.sensitive_categories_[0].tolist() == ["no", "yes"]


@pytest.mark.slow
def test_compiled_and_in_mixed_precision(biased):
    fitted = []
    for settings in ({}, {"amp": True}, {"compile": "eager"}):
        model = JLUClassifier(max_epochs=2, random_state=0, warmup=0.1, ramp=0.1, **settings)
        model.fit(biased.images, biased.target, sensitive_features=biased.groups)
        fitted.append(model.predict_proba(biased.images))
    plain, low, compiled = fitted
    np.testing.assert_allclose(compiled, plain, atol=1e-5)
    assert 0 < abs(low - plain).max() < 0.2

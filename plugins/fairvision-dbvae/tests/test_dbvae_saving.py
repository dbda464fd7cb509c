"""A saved model predicts, encodes and draws the same, and holds no training image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fairvision as fv
from fairvision_dbvae import DBVAEClassifier, lab_encoder, latents_figure


@pytest.mark.parametrize("backbone", ["small-cnn", "fairvision_dbvae:lab_encoder", lab_encoder])
def test_it_comes_back(backbone, data, tmp_path):
    model = DBVAEClassifier(backbone, max_epochs=1, random_state=0).fit(data.images, data.target)
    loaded = fv.load(fv.save(model, tmp_path / "model"))
    some = data.images[:20]
    for method in ("predict", "predict_proba", "transform", "reconstruct"):
        np.testing.assert_array_equal(getattr(loaded, method)(some), getattr(model, method)(some))
    np.testing.assert_array_equal(loaded.sample_odds_, model.sample_odds_)
    for label, found in loaded.latent_densities_.items():
        assert torch.equal(found.edges, model.latent_densities_[label].edges)


def test_training_images_stay_at_home(data, tmp_path):
    model = DBVAEClassifier(max_epochs=1, random_state=0).fit(data.images, data.target)
    path = fv.save(model, tmp_path / "model")
    assert len(model.extreme_images_[0]) == 8
    loaded = fv.load(path)
    assert [len(images) for images in loaded.extreme_images_] == [0, 0]
    assert model.extreme_images_[0][0].tobytes() not in path.read_bytes()
    groups = {"tone": data.tone[:40]}
    figure = latents_figure(loaded, data.images[:40], data.target[:40], sensitive_features=groups)
    assert figure.axes  # the report does without them


@pytest.mark.slow
@pytest.mark.cpu
def test_compiled_and_in_mixed_precision(data):
    fitted = []
    for settings in ({}, {"amp": True}, {"compile": "eager"}):
        model = DBVAEClassifier(max_epochs=1, random_state=0, **settings)
        fitted.append(model.fit(data.images, data.target).predict_proba(data.images))
    plain, low, compiled = fitted
    np.testing.assert_allclose(compiled, plain, atol=1e-5)
    assert 0 < abs(low - plain).max() < 0.2

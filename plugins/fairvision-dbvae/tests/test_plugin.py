"""What the plugin offers, through the host's door; the report's section."""

from __future__ import annotations

import io

import numpy as np
import pytest
from sklearn.utils import Bunch

import fairvision as fv
from fairvision_dbvae import DBVAEClassifier, latents_figure
from fairvision_dbvae.plugin import fairvision_inprocessing, fairvision_report_sections


def test_the_method_is_offered() -> None:
    (method,) = fairvision_inprocessing()
    assert (method.name, str(method.needs)) == ("db-vae", "never")
    assert type(fv.make("db-vae", preset="quick")) is DBVAEClassifier
    (section,) = fairvision_report_sections()
    assert section.methods == ("db-vae",)
    assert section.target == "fairvision_dbvae:latents_figure"


def test_the_papers_preset_trains(data: Bunch) -> None:
    model = fv.make("db-vae", preset="paper", max_epochs=1, random_state=0)
    model.fit(data.images[:64], data.target[:64])
    assert model.transform(data.images[:2]).shape == (2, 100)
    assert np.isfinite(model.sample_probabilities_).all()


@pytest.mark.parametrize(("keep_images", "strips"), [(8, 8), (3, 8), (0, 6)])
def test_the_figure(data: Bunch, keep_images: int, strips: int) -> None:
    model = DBVAEClassifier(max_epochs=2, keep_images=keep_images, random_state=0)
    model.fit(data.images[:80], data.target[:80])
    figure = latents_figure(model, data.images, data.target, sensitive_features=data.tone)
    size, *pictures = figure.axes
    assert size.lines[0].get_ydata().tolist() == model.history_[:, "effective_sample_size"]
    assert len(pictures) == strips
    for axes in pictures:
        shown = np.asarray(axes.images[0].get_array())
        assert shown.shape == (32, 8 * 33, 3)
        assert 0 <= shown.min() < shown.max() <= 1
    figure.savefig(io.BytesIO())


def test_the_figure_of_grey_images_untrained_without_a_debiased_one(data: Bunch) -> None:
    grey = data.images[:80].mean(1, keepdims=True) / 255
    model = DBVAEClassifier(max_epochs=0, n_latents=2, random_state=0).fit(grey, data.target[:80])
    others = grey[data.target[:80] == "face"]
    figure = latents_figure(model, others[:3], ["face"] * 3, sensitive_features=None)
    assert len(figure.axes) == 1 + 6

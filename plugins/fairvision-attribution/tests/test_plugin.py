"""What the distribution offers, through the host's door; the report's section."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator

import fairvision as fv
from fairvision.datasets import load_faces
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier
from fairvision_attribution import AttributionNoise, RegionClassifier, attribution_figure
from fairvision_attribution.plugin import (
    PAPER,
    fairvision_preprocessing,
    fairvision_report_sections,
)

pytestmark = pytest.mark.cpu


def test_the_method_is_offered() -> None:
    (method,) = fairvision_preprocessing()
    assert (method.name, str(method.needs)) == ("data-attribution", "fit")
    made = fv.make("data-attribution", preset="quick", random_state=3)
    assert type(made) is AttributionNoise
    assert made.random_state == 3
    (section,) = fairvision_report_sections()
    assert section.methods == ("data-attribution",)
    assert section.target == "fairvision_attribution:attribution_figure"


def test_the_papers_preset_is_made_of_what_there_is() -> None:
    made = fv.make("data-attribution", preset="paper")
    regions = RegionClassifier(**PAPER["attribution"])
    assert (made.scope, made.noise, made.quantile) == ("specific", "mask", 0.6)
    assert (regions.backbone, regions.grid, regions.label_smoothing) == ("cifar-resnet18", 49, 0.1)


@pytest.mark.slow
def test_it_runs_in_a_comparison() -> None:
    faces = load_faces(160, 24, target="smiling", sensitive="hat", random_state=0)
    result = fv.compare(
        faces, ["data-attribution"], seeds=[0], max_epochs=1, preset="quick", progress=False
    )
    assert len(result.runs) == 1
    assert not result.failures


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["swap", "gaussian"])
def test_the_figure(biased, fresh, regions, noise) -> None:
    sampler = AttributionNoise(noise=noise, attribution=FrozenEstimator(regions), random_state=0)
    model = fv.compose(pre=sampler, model=TorchClassifier(max_epochs=3, random_state=0))
    model.fit(biased.images, biased.target, sensitive_features=biased.groups)
    X, groups = fresh.images[:80], pd.DataFrame({"square": fresh.groups[:80]})
    figure = attribution_figure(model, X, fresh.target[:80], sensitive_features=groups)
    panels, examples = (part.axes for part in figure.subfigs)
    assert len(examples) == 5 * 5
    titles = [axes.get_title() for axes in examples[:5]]
    word = "swap" if noise == "swap" else "noise"
    assert titles[1:] == ["general mask", "specific mask", f"general {word}", f"specific {word}"]
    original, masked = (np.asarray(axes.images[0].get_array()) for axes in examples[:2])
    hidden = model.sampler_.mask_
    np.testing.assert_array_equal(original[~hidden], masked[~hidden])
    assert np.ptp(masked[hidden]) == 0
    # At quantile 1 nothing is hidden: the last point is plain accuracy.
    accuracy = panels[2].lines[0].get_ydata()
    right = model.predict(X) == fresh.target[:80]
    assert accuracy[-1] == pytest.approx(right.mean())
    figure.savefig(io.BytesIO())


def test_the_figure_of_a_curve(biased, fresh, regions) -> None:
    sampler = AttributionNoise(attribution=FrozenEstimator(regions), random_state=0)
    model = fv.compose(pre=sampler, model=TorchClassifier(max_epochs=1, random_state=0))
    model.fit(biased.images, biased.target, sensitive_features=biased.groups)
    curve = pd.DataFrame({"accuracy": [0.7, 0.8], "worst": [0.5, 0.6]}, index=[0.6, 0.8])
    figure = attribution_figure(
        model, fresh.images, fresh.target, sensitive_features=fresh.groups, curve=curve
    )
    line = figure.subfigs[0].axes[2].lines[0]
    assert line.get_xdata().tolist() == [0.6, 0.8]
    assert line.get_ydata().tolist() == [0.7, 0.8]


def test_the_figure_is_of_this_method() -> None:
    with pytest.raises(InputError, match="whose sampler is an AttributionNoise"):
        attribution_figure(TorchClassifier(), None, None, sensitive_features=None)

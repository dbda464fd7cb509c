"""What the distribution offers, and its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

import fairvision as fv
from fairvision.datasets import load_faces
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier
from fairvision_intra import RandomPerturbation, pareto_figure, plugin

OFFERED = list(plugin.fairvision_postprocessing())


@pytest.mark.parametrize("method", OFFERED, ids=lambda m: m.name)
def test_presets_make_an_estimator(method: Any) -> None:
    assert {"quick", "paper"} <= set(method.presets)
    assert method.needs.validation
    assert not method.needs.fit
    for preset in method.presets:
        inner = TorchClassifier()
        made = fv.make(method.name, preset, estimator=inner, random_state=3)
        assert f"fairvision_intra:{type(made).__name__}" == method.target
        assert made.estimator is inner
        assert made.random_state == 3


def test_the_picture() -> None:
    from matplotlib.figure import Figure

    faces = load_faces(120, 32, sensitive="skin_group", random_state=0)
    X, y, groups = faces.images, faces.target, faces.sensitive_features
    net = TorchClassifier(max_epochs=1, random_state=0).fit(X, y)
    model = RandomPerturbation(
        FrozenEstimator(net),
        n_trials=5,
        epsilon=0.9,
        performance="group_balanced_accuracy",
        random_state=0,
    )
    model.fit(X, y, sensitive_features=groups)
    figure = pareto_figure(model, X, y, sensitive_features=groups)
    assert isinstance(figure, Figure)
    left, right = figure.axes
    trials = left.collections[0].get_offsets()
    assert np.allclose(trials, model.objective_path_[["bias", "performance"]])
    kept = model.predict(X)
    cells = groups["skin_group"].to_numpy()
    recalls = [(kept == c)[(y == c) & (cells == s)].mean() for c in (0, 1) for s in set(cells)]
    assert right.collections[-1].get_offsets()[0][1] == pytest.approx(np.mean(recalls))
    (section,) = plugin.fairvision_report_sections()
    assert section.methods == tuple(method.name for method in OFFERED)


def test_the_picture_is_of_these_methods() -> None:
    with pytest.raises(InputError, match="TorchClassifier"):
        pareto_figure(TorchClassifier(), None, None, sensitive_features=None)

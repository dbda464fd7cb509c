"""What the recipes bring along: the accuracy within an extreme, and the report's figures."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from fairvision.metrics import evaluate_predictions
from fairvision_jlu.recipes.figures import embeddings

NAMES = [f"extreme-{extreme}-accuracy" for extreme in (1, 2)]


def accuracies(y_true, y_pred, groups):
    found = evaluate_predictions(
        y_true, y_pred, sensitive_features=groups, metrics=NAMES, n_boot=0
    ).disparities
    return [found.loc[name] for name in NAMES]


def test_an_extreme_is_where_the_ranks_agree():
    y_true = np.array(["man", "man", "woman", "woman", "woman"])
    groups = np.array(["old", "young", "old", "young", "young"])
    #                  first   second   second   first     first
    y_pred = np.array(["man", "man", "man", "woman", "man"])
    first, second = accuracies(y_true, y_pred, np.array(groups))
    assert first["value"] == pytest.approx(2 / 3)
    assert second["value"] == pytest.approx(1 / 2)


def test_of_three_groups_there_is_no_extreme():
    for found in accuracies([0, 1, 0], [0, 1, 1], ["a", "b", "c"]):
        assert np.isnan(found["value"])
        assert "two groups" in found["note"]


@pytest.mark.parametrize("n_classes", [2, 14])
def test_the_figure_has_a_panel_a_row_with_its_probe(n_classes):
    rng = np.random.default_rng(0)
    test = Bunch(
        images=rng.random((60, 1, 4, 4)),
        target=np.arange(60) % n_classes,
        target_names=[f"{4 * k}-{4 * k + 3}" for k in range(n_classes)],
        sensitive_features=pd.DataFrame({"gender": np.where(rng.random(60) < 0.5, "f", "m")}),
    )
    models = {
        "alpha 0": lambda images: images.reshape(len(images), -1),
        "alpha 1": lambda images: np.zeros((len(images), 5)),  # collapsed
    }
    runs = [
        SimpleNamespace(
            method=label,
            seed=seed,
            leakage={"gender": {"target_balanced_accuracy": {"value": 0.875 - seed}}},
        )
        for label in models
        for seed in (0, 1)
    ]
    shown = SimpleNamespace(
        test=test,
        seed=0,
        comparison=SimpleNamespace(runs=runs),
        fit=lambda label: SimpleNamespace(transform=models[label]),
    )
    figure = embeddings(shown)
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["alpha 0\nprobe 87.5 %", "alpha 1\nprobe 87.5 %"]
    for panel in figure.axes:
        points = [part.get_offsets() for part in panel.collections]
        assert sum(map(len, points)) == 60
        assert len(points) == 4  # two groups by two shapes, of 14 classes as well
        assert np.isfinite(np.concatenate(points)).all()
    again = embeddings(shown)
    np.testing.assert_array_equal(
        figure.axes[0].collections[0].get_offsets(), again.axes[0].collections[0].get_offsets()
    )

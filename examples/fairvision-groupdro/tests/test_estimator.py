"""The estimator: what it keeps, what it draws, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import fairvision as fv
from fairvision.exceptions import InputError
from fairvision.nn import Rows, TrainingContext
from fairvision.testing import check_resumes
from fairvision_groupdro import GroupDROClassifier
from fairvision_groupdro._objective import GroupDROObjective

Y = np.repeat([0, 1], [60, 20])
GROUPS = pd.Series(np.where(np.arange(80) % 10 == 0, "few", "many"), name="g")
X = np.random.default_rng(0).random((80, 1, 8, 8), dtype=np.float32)
X[Y == 1, :, :4] *= 0.5


def fitted(**params: Any) -> GroupDROClassifier:
    model = GroupDROClassifier(
        "mlp", max_epochs=4, batch_size=16, device="cpu", random_state=0, **params
    )
    return model.fit(X, Y, sensitive_features=GROUPS)


def test_no_step_keeps_all_cells_equal() -> None:
    assert fitted(eta=0).cell_weights_["weight"].tolist() == pytest.approx([0.25] * 4)


def test_a_step_moves_weight_to_the_cell_of_the_highest_loss() -> None:
    cells = np.array([[0], [1]])
    rows = Rows(np.zeros((2, 1, 8, 8), np.float32), np.array([0, 1]), cells)
    objective = GroupDROObjective(1.0, 0.0, balanced=False)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    with torch.no_grad():
        module[1].bias[:] = torch.tensor([2.0, 0.0])  # says class 0, whatever it sees
    objective.start(module, rows, TrainingContext.of(rows))
    step = objective.step(module, rows.batch(torch.arange(2), "cpu"))
    assert objective.q_[1] > 0.85
    assert step.loss > 1.8
    assert step.logged["worst_loss"] == pytest.approx(2.127, abs=1e-3)


def test_an_epoch_has_as_many_rows_of_each_cell() -> None:
    codes = (GROUPS == "many").to_numpy().astype(int)
    rows = Rows(X, Y, codes[:, None], np.ones(80))
    objective = GroupDROObjective(0.1, 0.0, balanced=True)
    module = torch.nn.Linear(1, 1)
    objective.start(module, rows, TrainingContext.of(rows))
    torch.manual_seed(0)
    drawn = torch.cat([objective.order(module, rows) for _ in range(50)])
    shares = np.unique(Y[drawn] * 2 + codes[drawn], return_counts=True)[1] / len(drawn)
    assert shares == pytest.approx([0.25] * 4, abs=0.03)


def test_a_saved_model_keeps_its_weights(tmp_path: Path) -> None:
    model = fitted(eta=0.5)
    again = fv.load(fv.save(model, tmp_path / "model"))
    pd.testing.assert_frame_equal(again.cell_weights_, model.cell_weights_)


def test_history_shows_the_worst_loss() -> None:
    for epoch in fitted(eta=0.5).history_:
        assert epoch["worst_loss"] > 0
        assert 0.25 <= epoch["largest_weight"] <= 1


@pytest.mark.parametrize("name", ["eta", "adjustment"])
def test_bad_parameters_are_named(name: str) -> None:
    with pytest.raises(InputError, match=name):
        fitted(**{name: -1.0})


def test_it_goes_on_from_a_checkpoint() -> None:
    model = GroupDROClassifier(
        "mlp", eta=0.5, max_epochs=4, batch_size=16, device="cpu", random_state=0
    )
    assert check_resumes(model, X, Y, sensitive_features=GROUPS) == 2

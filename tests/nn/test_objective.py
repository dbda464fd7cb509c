"""The door for other methods: an `Objective` as somebody else would write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.base import clone
from torch import Tensor, nn

from fairvision.nn import (
    Batch,
    Objective,
    ObjectiveClassifier,
    Rows,
    Step,
    TorchClassifier,
    TrainingContext,
    cross_entropy,
)

pytestmark = pytest.mark.cpu


class LabelSmoothing(Objective):
    logged = ("sharp_loss", "confidence")

    def __init__(self, smoothing: float = 0.1) -> None:
        self.smoothing = smoothing

    def step(self, module: nn.Module, batch: Batch) -> Step:
        logits = module(batch.images)
        loss = F.cross_entropy(logits, batch.targets, label_smoothing=self.smoothing)
        with torch.no_grad():
            logged = {
                "sharp_loss": F.cross_entropy(logits, batch.targets).item(),
                "confidence": logits.softmax(1).amax(1).mean().item(),
            }
        return Step(loss, logits, logged)


class SmoothClassifier(ObjectiveClassifier):
    """A method in a dozen lines."""

    objective_class = LabelSmoothing

    def __init__(
        self,
        backbone: Any = "mlp",
        *,
        lr: float = 1e-2,
        batch_size: int = 48,
        **params: Any,
    ) -> None:
        super().__init__(backbone, lr=lr, batch_size=batch_size, **params)


def test_a_method_changes_the_loss_and_logs_its_parts(pictures):
    smooth = SmoothClassifier(smoothing=0.3, random_state=0)
    smooth.fit(pictures.images, pictures.target)
    sharp = clone(smooth).set_params(smoothing=0.0).fit(pictures.images, pictures.target)
    for model in (smooth, sharp):
        assert model.score(pictures.images, pictures.target) > 0.9
        assert len(model.history_[:, "confidence"]) == 10
    assert sharp.history_[:, "train_loss"] == sharp.history_[:, "sharp_loss"]
    assert smooth.history_[-1, "train_loss"] > smooth.history_[-1, "sharp_loss"]
    assert smooth.history_[-1, "confidence"] < sharp.history_[-1, "confidence"]


def test_without_smoothing_it_is_plain_training_bit_for_bit(pictures):
    ours = SmoothClassifier(smoothing=0.0, random_state=0).fit(pictures.images, pictures.target)
    plain = TorchClassifier("mlp", lr=1e-2, max_epochs=10, batch_size=48, random_state=0)
    plain.fit(pictures.images, pictures.target)
    np.testing.assert_array_equal(
        ours.predict_proba(pictures.images), plain.predict_proba(pictures.images)
    )


class Recording(Objective):
    """Takes only rows of the first group, twice each, and writes down what it is given."""

    logged = ("share",)

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.batches: list[Batch] = []

    def check(self, context: TrainingContext) -> None:
        self.calls.append("check")

    def make_module(self, build: Callable[[], nn.Module], context: TrainingContext) -> nn.Module:
        self.calls.append("make_module")
        return build()

    def start(self, module: nn.Module, rows: Rows, context: TrainingContext) -> None:
        self.calls.append(f"start {len(rows)} {context.device} {context.params['max_epochs']}")

    def order(self, module: nn.Module, rows: Rows) -> Tensor:
        self.calls.append("order")
        assert rows.groups is not None
        return torch.nonzero(rows.groups[:, 0] == 0).flatten().repeat_interleave(2)

    def step(self, module: nn.Module, batch: Batch) -> Step:
        assert module.training
        self.batches.append(batch)
        return Step(super().step(module, batch).loss, module(batch.images), {"share": len(batch)})

    def fitted_attributes(self, module: nn.Module, rows: Rows) -> dict[str, Any]:
        self.calls.append(f"fitted_attributes {len(rows)}")
        return {"answer_": 42}


def test_images_targets_groups_and_weights_stay_together_whatever_the_order(pictures):
    images = pictures.images.copy()
    images[:, 2, 0, 0] = np.arange(48)  # each picture carries its row number
    weights = np.linspace(1, 3, 48)
    model = TorchClassifier(
        "mlp", objective=Recording(), max_epochs=2, batch_size=7, random_state=0
    )
    model.fit(images, pictures.target, sensitive_features=pictures.groups, sample_weight=weights)
    objective = model.net_.objective
    before = ["check", "make_module", "start 48 cpu 2"]
    assert objective.calls == [*before, "order", "order", "fitted_attributes 48"]
    assert model.answer_ == 42
    assert model.objective.calls == []  # a clone was trained with
    left = np.flatnonzero(pictures.groups == "left")
    seen = torch.cat([batch.rows for batch in objective.batches]).numpy()
    np.testing.assert_array_equal(seen, np.tile(np.repeat(left, 2), 2))
    for batch in objective.batches:
        rows = batch.rows.numpy()
        np.testing.assert_array_equal((batch.images[:, 2, 0, 0] * 255).round().numpy(), rows)
        np.testing.assert_array_equal(batch.targets.numpy(), pictures.target[rows])
        assert (batch.groups.numpy() == 0).all()
        np.testing.assert_allclose(batch.weights.numpy(), (weights / weights.mean())[rows], 1e-6)
    assert model.n_steps_ == len(objective.batches)


def test_weighted_loss_is_an_unbiased_estimate_over_batches():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 3, generator=generator)
    targets = torch.arange(12) % 3
    weights = torch.rand(12, generator=generator)
    weights = weights / weights.mean()
    whole = cross_entropy(logits, targets, weights)
    parts = [
        cross_entropy(logits[i : i + 4], targets[i : i + 4], weights[i : i + 4]) for i in (0, 4, 8)
    ]
    assert torch.isclose(torch.stack(parts).mean(), whole)
    assert torch.isclose(
        cross_entropy(logits, targets, torch.ones(12)), cross_entropy(logits, targets)
    )

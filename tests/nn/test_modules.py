"""Evaluation mode for a block, and features with the logits that they lead to."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fairvision.nn import Batch, evaluation_mode, features_and_logits
from fairvision.nn.acceleration import accelerated
from fairvision.nn.wrapping import with_features


def test_every_submodule_has_its_own_mode_again() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
    module[1].eval()  # frozen by somebody
    before = [part.training for part in module.modules()]
    with evaluation_mode(module):
        assert not any(part.training for part in module.modules())
    with pytest.raises(RuntimeError, match="shapes"), evaluation_mode(module):
        module(torch.ones(3, 5))
    assert [part.training for part in module.modules()] == before == [True, True, False, True]


def test_gradients_and_running_statistics() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with evaluation_mode(module):
        assert module(torch.ones(3, 2)).requires_grad
    assert module[1].num_batches_tracked == 0


def test_features_are_in_single_precision_whatever_computed_them() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2))
    module, _ = with_features(net, (3, 2, 2))  # their hook sees what autocast made of them
    rows = torch.arange(5)
    batch = Batch(torch.rand(5, 3, 2, 2), rows % 2, None, None, rows)
    with accelerated(module, compile=False, precision=torch.bfloat16):
        features, logits = features_and_logits(module, batch)
    assert features.dtype == logits.dtype == torch.float32
    assert features.shape == (5, 4)

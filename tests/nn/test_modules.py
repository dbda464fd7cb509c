"""Evaluation mode for a block, with each submodule's own mode restored."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fairvision.nn import evaluation_mode


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

"""Resumed scoring is exact, whatever the net looks like inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fairvision.nn import TorchClassifier
from fairvision_intra._forward import Forward, layers_of

pytestmark = pytest.mark.cpu

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)


class Around(nn.Module):
    """A skip connection past the last convolution, and a ReLU that runs three times, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(4, 2)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.stem(x))
        return self.relu(x + self.relu(self.inner(x))).mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def resnet() -> nn.Module:
    from torchvision.models import resnet18

    return resnet18(num_classes=2)


def small_cnn() -> nn.Module:
    model = TorchClassifier(max_epochs=0, random_state=0).fit(IMAGES, np.arange(20) % 2)
    return model.module_


@pytest.fixture(params=[small_cnn, Around, resnet])
def module(request: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TorchClassifier.from_module(request.param(), classes=[0, 1]).module_


def test_resumed_scores_are_the_same_bits(module: nn.Module) -> None:
    whole = Forward(module, IMAGES, batch_size=16)
    for layer in layers_of(module, whole.batch(slice(0, 2)))[-3:]:
        resumed = whole.resuming_at(layer)
        name = f"{layer}.weight"
        changed = {name: whole.weights()[name] * 1.5}
        assert np.array_equal(resumed.scores(), whole.scores())
        assert np.array_equal(resumed.scores(changed), whole.scores(changed))
        assert not np.array_equal(whole.scores(changed), whole.scores())


def test_what_runs_before_the_layer_is_not_computed_again(module: nn.Module) -> None:
    whole = Forward(module, IMAGES)
    first, *_, last = layers_of(module, whole.batch(slice(0, 2)))
    resumed, ran = whole.resuming_at(last), []
    resumed.module.get_submodule(first).register_forward_hook(lambda *_: ran.append(1))
    counted: list[int] = []
    counter = nn.Conv2d.forward

    def counting(self: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        counted.append(1)
        return counter(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Conv2d, "forward", counting)
        resumed.scores()
        assert counted == []
        whole.scores()
        assert counted


def test_a_net_that_cannot_be_cut_is_run_whole() -> None:
    module = Around()
    whole = Forward(module, IMAGES)
    assert whole.resuming_at("inner") is whole


def test_layers_come_in_the_order_they_run(module: nn.Module) -> None:
    layers = layers_of(module, torch.zeros(2, 3, 32, 32))
    assert layers[-1].rpartition(".")[2] in ("head", "fc")
    assert all(module.get_submodule(name).weight.dim() > 1 for name in layers)


def test_scores_are_the_classifiers_probabilities(module: nn.Module) -> None:
    model = TorchClassifier.from_module(module, classes=[0, 1])
    scores = Forward(model.module_, IMAGES, batch_size=256).scores()
    assert np.array_equal(scores, model.predict_proba(IMAGES)[:, 1])


def test_the_given_module_is_not_touched(module: nn.Module) -> None:
    before = {name: value.clone() for name, value in module.state_dict().items()}
    forward = Forward(module.train(), IMAGES)
    forward.resuming_at(layers_of(forward.module, forward.batch(slice(0, 2)))[-1]).scores()
    assert module.training
    after = module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(not part._forward_hooks for part in module.modules())

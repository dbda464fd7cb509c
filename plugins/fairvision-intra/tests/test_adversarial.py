"""The adversarial method's parts: soft bias, critic, batches, and the gradient to the net."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from fairvision.exceptions import DivergedError, InputError
from fairvision.nn import TorchClassifier
from fairvision_intra import AdversarialFineTuning
from fairvision_intra._adversarial import AdversarialTraining, draw_batch
from fairvision_intra._algorithm import BiasCritic, Subspace, actor_loss, perturbed, soft_bias
from fairvision_intra._base import DebiasRows
from fairvision_intra._net import find_net
from fairvision_intra._rates import BIASES, rates_at

pytestmark = pytest.mark.cpu


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("name", list(BIASES))
def test_soft_bias_of_certain_predictions_is_the_bias(name: str, n_groups: int) -> None:
    rng = np.random.default_rng(0)
    p, y, g = rng.integers(0, 2, 99), rng.integers(0, 2, 99), rng.integers(0, n_groups, 99)
    soft = soft_bias(torch.from_numpy(p).double(), *map(torch.from_numpy, (y, g)), n_groups, name)
    rates = rates_at(p.astype(float), np.array([0.5]), y, g, np.ones((1, 99)))
    assert abs(soft.item()) == pytest.approx(BIASES[name](rates)[0, 0])


def test_soft_bias_has_gradients() -> None:
    p = torch.rand(40, dtype=torch.float64, requires_grad=True)
    y, g = torch.arange(40) % 2, torch.arange(40) // 2 % 2
    for name in BIASES:
        assert torch.autograd.gradcheck(
            lambda q, name=name: soft_bias(q, y, g, 2, name), (p,), fast_mode=True
        )


def test_actor_loss() -> None:
    error = torch.tensor(0.5)
    bound = {"penalty": 20.0, "epsilon": 0.05, "margin": 0.01}
    assert actor_loss(error, torch.tensor(0.03), **bound) == 0.5  # inside: plain fine-tuning
    assert actor_loss(error, torch.tensor(-0.14), **bound) == pytest.approx(0.5 * 3.0)
    assert actor_loss(error, torch.tensor(0.9), **{**bound, "penalty": 0.0}) == 0.5


def test_critic_takes_any_batch_and_no_order() -> None:
    critic = BiasCritic(6).eval()
    h = torch.randn(50, 6)
    critic.standardize(h)
    for n in (1, 7, 50):
        assert critic(h[:n]).shape == ()
    assert torch.allclose(critic(h), critic(h.flip(0)), atol=1e-6)
    assert len([m for m in critic.modules() if isinstance(m, nn.Linear)]) == 4
    assert {m.p for m in critic.modules() if isinstance(m, nn.Dropout)} == {0.2}


def small_net() -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

        def features(self, x: torch.Tensor) -> torch.Tensor:
            return self.trunk(x.flatten(1)).relu()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.features(x))

    return Net()


def training(**changes: Any) -> AdversarialTraining:
    rng = np.random.default_rng(0)
    y, g = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    X = rng.normal(size=(200, 4)) + 2 * y[:, None] + g[:, None]
    net = find_net(TorchClassifier.from_module(small_net(), classes=[0, 1]), "test")
    rows = DebiasRows(net, X, np.arange(200), y, g)
    params = {"actor_steps": 1, "batch_size": 64, "lr": 1e-2, "critic_lr": 1e-2, **changes}
    return AdversarialTraining(
        AdversarialFineTuning(**params),
        rows,
        np.arange(200),
        lambda p, y, g: soft_bias(p, y, g, 2, "average_odds_difference"),
    )


@pytest.mark.parametrize("critic", ["features", "labels"])
def test_the_critics_gradient_reaches_the_net(critic: str) -> None:
    """Through the activations alone: a critic of raw images would leave the trunk at 0."""
    adversarial = training(critic=critic)
    rows = torch.arange(64)
    h, _ = adversarial.features_and_logits(rows)
    adversarial.critic.eval()
    adversarial.critic_bias(h, rows).abs().backward()
    assert adversarial.module.trunk.weight.grad.abs().sum() > 0
    assert adversarial.module.head.weight.grad is None


def test_the_penalty_moves_the_net_beyond_the_cross_entropy() -> None:
    """With a penalty the step differs from plain fine-tuning's, with the same draws."""

    def after(**changes: Any) -> torch.Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            adversarial = training(**changes)
            adversarial.critic_optimizer = torch.optim.SGD(adversarial.critic.parameters(), lr=0.0)
            adversarial.epoch()
        return adversarial.module.trunk.weight.detach()

    assert torch.equal(after(penalty=0.0), after(penalty=0.0))
    assert not torch.equal(after(penalty=0.0, epsilon=0.011), after(epsilon=0.011))


def test_the_critic_learns_and_the_actor_leaves_it_alone() -> None:
    adversarial = training(critic="features", critic_steps=150)
    before = adversarial.train_critic()
    after = adversarial.train_critic()
    assert after < before
    weights = [p.clone() for p in adversarial.critic.parameters()]
    adversarial.train_actor()
    assert all(
        torch.equal(a, b) for a, b in zip(weights, adversarial.critic.parameters(), strict=True)
    )


def test_without_a_critic_the_bias_itself_falls() -> None:
    def last(penalty: float) -> float:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            adversarial = training(critic=None, penalty=penalty, actor_steps=30)
            parts = [adversarial.epoch() for _ in range(6)]
        assert np.isnan(parts[0]["critic_loss"])
        return parts[-1]["batch_bias"]

    assert last(200.0) < 0.5 * last(0.0)


def test_batches_have_every_cell() -> None:
    cells = [torch.arange(0, 90), torch.arange(90, 98), torch.tensor([98]), torch.arange(99, 110)]
    balanced, natural = draw_batch(cells, 40, True), draw_batch(cells, 40, False)
    for cell in cells:
        assert torch.isin(balanced, cell).sum() == 10
        share = int(torch.isin(natural, cell).sum())
        assert share == max(1, round(40 * len(cell) / 110))
    assert len(natural.unique()) == len(natural)


def test_perturbed_multiplies_and_leaves_the_given_weights() -> None:
    weights = {"w": torch.full((100, 100), 2.0), "zero": torch.zeros(3)}
    found = perturbed(weights, 0.1, torch.Generator().manual_seed(0))
    assert found["w"].std().item() == pytest.approx(0.2, rel=0.05)
    assert found["w"].mean().item() == pytest.approx(2.0, abs=0.01)
    assert (found["zero"] == 0).all()
    assert (weights["w"] == 2).all()


def test_subspace_starts_at_the_weight_and_steps_in_its_std() -> None:
    weight = torch.randn(64, 64) * 3
    generator = torch.Generator().manual_seed(0)
    wide = Subspace(weight, 10, generator)
    assert torch.equal(wide(torch.zeros(10)), weight)
    unit = torch.nn.functional.normalize(torch.randn(10), dim=0)
    moved = (wide(unit) - weight).square().mean().sqrt()
    assert moved.item() == pytest.approx(3.0, rel=0.1)
    narrow = Subspace(weight[:1, :4], 10, generator)
    assert narrow.n_dims == 4
    step = narrow(torch.tensor([0.0, 1.0, 0.0, 0.0])) - weight[:1, :4]
    assert torch.count_nonzero(step) == 1


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"critic": "images"}, "critic is 'images'"),
        ({"sampling": "stratified"}, "sampling"),
        ({"n_folds": 0}, "n_folds is 0"),
        ({"n_layers": 0}, "n_layers is 0"),
        ({"epsilon": 0.01}, "margin=0.01"),
        ({"actor_steps": 0}, "actor_steps is 0"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word):
        AdversarialFineTuning(**params).fit(
            np.zeros((2, 3, 8, 8)), [0, 1], sensitive_features=[0, 1]
        )


@pytest.mark.filterwarnings("ignore:.*found no net:fairvision.exceptions.FairvisionWarning")
def test_a_probe_has_the_bias_itself_differentiated() -> None:
    """A critic of fixed features teaches the head nothing: it would be plain fine-tuning."""
    rng = np.random.default_rng(0)
    y, g = np.arange(400) % 2, np.arange(400) // 2 % 2
    X = rng.normal(size=(400, 4)) * 20 + 60 * y[:, None] + 40 * g[:, None]
    probe = FrozenEstimator(TorchClassifier("linear", max_epochs=5, random_state=0).fit(X, y))

    def path(**changes: Any) -> Any:
        fixed = {"max_epochs": 2, "lr": 1e-2, "n_folds": 1, "allow_worse": True, "random_state": 0}
        tuned = AdversarialFineTuning(probe, **{**fixed, **changes})
        return tuned.fit(X, y, sensitive_features=g).objective_path_

    pd.testing.assert_frame_equal(path(critic="features"), path(critic=None))


def test_frozen_layers_are_computed_once() -> None:
    rng = np.random.default_rng(0)
    y, g = np.arange(80) % 2, np.arange(80) // 2 % 2
    X = (rng.random((80, 3, 16, 16)) / 2 + y.reshape(-1, 1, 1, 1) / 4).astype(np.float32)
    net = TorchClassifier(trainable="last:1", max_epochs=1, random_state=0).fit(X, y)
    rows = DebiasRows(find_net(net, "test"), X, np.arange(80), y, g)

    forward, free = rows.trained_from(None)
    assert forward._stored is not None
    assert free == {"trunk.11.weight", "trunk.11.bias", "head.weight", "head.bias"}
    method = AdversarialFineTuning(actor_steps=3, batch_size=16)
    tuned = AdversarialTraining(
        method,
        rows,
        np.arange(80),
        lambda p, y, g: soft_bias(p, y, g, 2, "average_odds_difference"),
    )
    tuned.epoch()
    assert {n for n, p in tuned.module.named_parameters() if p.grad is not None} == free


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 1e30}, r"Training diverged in epoch 1: the loss of fine-tuning is (nan|inf)"),
        ({"critic": "features", "critic_lr": 1e30}, "in epoch 1: the critic's loss is (nan|inf)"),
    ],
)
def test_a_fine_tuning_that_diverges_says_so(changes: dict[str, Any], message: str) -> None:
    adversarial = training(actor_steps=5, critic_steps=5, **changes)
    with pytest.raises(DivergedError, match=message):
        adversarial.epoch()

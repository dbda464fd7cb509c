"""A step's loss and an epoch's rows; each fault of published implementations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils import Bunch
from torch import nn

from fairvision.nn import Rows, TrainingContext
from fairvision_dbvae import lab_encoder
from fairvision_dbvae._module import DBVAEModule
from fairvision_dbvae._objective import DBVAEObjective

CPU = torch.device("cpu")


class Encoder(nn.Module):
    """The lab's encoder with a head: batch normalisation, so that modes matter."""

    def __init__(self, n_classes: int = 2) -> None:
        super().__init__()
        self.trunk = lab_encoder((3, 32, 32))
        self.head = nn.Linear(512, n_classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.trunk(x)


def make(**params: Any) -> DBVAEObjective:
    return DBVAEObjective(**{"alpha": 0.01, "min_effective": 0.0, "kl_weight": 5e-4, **params})


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def module() -> DBVAEModule:
    return DBVAEModule(Encoder(), 5, (3, 32, 32), (32, 16, 8)).train()


@pytest.fixture
def rows(data: Bunch) -> Rows:
    return Rows(data.images[:100], (data.target[:100] == "face").astype(int))


def started(
    objective: DBVAEObjective, module: nn.Module, rows: Rows, batch_size: int = 64
) -> DBVAEObjective:
    context = TrainingContext.of(rows, batch_size=batch_size)
    objective.check(context)
    objective.start(module, rows, context)
    return objective


def gradients(module: nn.Module, loss: torch.Tensor) -> dict[str, float]:
    module.zero_grad()
    loss.backward()
    return {
        name: 0.0 if p.grad is None else float(p.grad.abs().sum())
        for name, p in module.named_parameters()
    }


# -- the indicator: rows of other classes train the classifier and nothing else ------


def test_a_batch_without_debiased_rows_trains_the_classifier_alone(
    module: DBVAEModule, rows: Rows
) -> None:
    objective = started(make(), module, rows)
    negatives = torch.nonzero(rows.targets == 0).flatten()[:16]
    step = objective.step(module, rows.batch(negatives, CPU))
    assert step.logged["reconstruction_loss"] == step.logged["kl"] == 0
    found = gradients(module, step.loss)
    assert found["encoder.head.weight"] > 0
    assert {n for n, g in found.items() if g and n.startswith(("latents", "decoder"))} == set()


@pytest.mark.parametrize("code", [0, 1])
def test_every_row_trains_the_class_head(module: DBVAEModule, rows: Rows, code: int) -> None:
    objective = started(make(), module, rows)
    some = torch.nonzero(rows.targets == code).flatten()[:16]
    found = gradients(module, objective.step(module, rows.batch(some, CPU)).loss)
    assert found["encoder.head.weight"] > 0
    assert found["encoder.trunk.0.weight"] > 0
    assert (found["decoder.linear.weight"] > 0) == (code == 1)


def test_other_rows_are_not_reconstructed(module: DBVAEModule, rows: Rows) -> None:
    """The pixels of a row that is not debiased enter the classifier's loss only."""
    objective = started(make(classification_weight=0.0), module.eval(), rows)
    batch = rows.batch(torch.arange(20), CPU)
    losses = []
    for scale in (1.0, 0.3):
        torch.manual_seed(3)
        batch.images[batch.targets == 0] *= scale
        losses.append(float(objective.step(module, batch).loss.detach()))
    assert losses[0] == losses[1]


def test_the_loss_is_the_papers(module: DBVAEModule, rows: Rows) -> None:
    weights = {"classification_weight": 2.0, "reconstruction_weight": 3.0, "kl_weight": 0.7}
    objective = started(make(**weights), module.eval(), rows)
    batch = rows.batch(torch.arange(20), CPU)
    torch.manual_seed(5)
    step = objective.step(module, batch)
    torch.manual_seed(5)
    faces = batch.targets == 1
    mu, log_var = module.distribution(module.features(batch.images[faces]))
    z = mu + (log_var / 2).exp() * torch.randn_like(mu)
    vae = 3.0 * (module.decode(z) - batch.images[faces]).abs().flatten(1).mean(1)
    vae += 0.7 * 0.5 * (mu**2 + log_var.exp() - log_var - 1).sum(1)
    expected = 2.0 * F.cross_entropy(module(batch.images), batch.targets) + vae.sum() / 20
    torch.testing.assert_close(step.loss, expected)
    parts = step.logged
    total = 2 * parts["class_loss"] + 3 * parts["reconstruction_loss"] + 0.7 * parts["kl"]
    assert total == pytest.approx(step.loss.item(), rel=1e-5)


def test_a_weight_counts_as_that_many_rows(module: DBVAEModule, data: Bunch) -> None:
    targets = (data.target[:8] == "face").astype(int)
    times = np.array([2, 1, 1, 1, 1, 1, 1, 2])
    module.eval()
    with torch.no_grad():  # sure of its latents, so that both draw the same
        module.latents.bias[5:] = -30
        module.latents.weight[5:] = 0
    plain = Rows(data.images[:8].repeat(times, 0), targets.repeat(times))
    weighted = Rows(data.images[:8], targets, weights=times / times.mean())
    losses = [
        started(make(), module, r).step(module, r.batch(torch.arange(len(r)), CPU)).loss
        for r in (plain, weighted)
    ]
    torch.testing.assert_close(*losses)


# -- encoding for the densities -----------------------------------------------------


def test_modes_are_restored_and_batch_statistics_go_on(module: DBVAEModule, rows: Rows) -> None:
    module.decoder.eval()  # a part that somebody froze
    objective = started(make(), module, rows)
    norm = module.encoder.trunk[2]
    before = {name: value.clone() for name, value in norm.named_buffers()}
    objective.order(module, rows)
    for name, value in norm.named_buffers():
        assert torch.equal(value, before[name]), "encoding must not move the statistics"
    assert module.training
    assert norm.training
    assert not module.decoder.training
    objective.step(module, rows.batch(torch.arange(20), CPU))
    assert not torch.equal(norm.running_mean, before["running_mean"])


def test_modes_are_restored_after_a_failure(module: DBVAEModule, rows: Rows) -> None:
    objective = started(make(), module, rows)

    def fail(*args: object) -> None:
        raise RuntimeError("out of memory")

    module.latents.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        objective.order(module, rows)
    assert all(part.training for part in module.modules())


def test_encoding_runs_no_decoder_in_large_batches_in_evaluation_mode(
    module: DBVAEModule, rows: Rows
) -> None:
    seen: list[tuple[int, bool, bool]] = []
    module.decoder.register_forward_hook(lambda *_: pytest.fail("the decoder ran"))
    module.encoder.trunk[0].register_forward_hook(
        lambda layer, args, _: seen.append((len(args[0]), layer.training, torch.is_grad_enabled()))
    )
    objective = started(make(), module, rows, batch_size=32)
    objective.order(module, rows)
    faces = int((rows.targets == 1).sum())
    assert [n for n, _, _ in seen] == [32] * (faces // 32) + [faces % 32] * (faces % 32 > 0)
    assert {(training, grad) for _, training, grad in seen} == {(False, False)}


def test_encoding_sees_pixels_scaled_as_in_training(module: DBVAEModule, data: Bunch) -> None:
    codes = (data.target == "face").astype(int)
    faces = torch.nonzero(torch.from_numpy(codes)).flatten()
    objective = make()
    found = []
    for images in (data.images, data.images.astype(np.float32) / 255):
        rows = Rows(images, codes)
        found.append(started(objective, module, rows).encode(module, rows, faces))
    assert torch.equal(*found)
    module.eval()
    with torch.no_grad():
        by_hand = module.mu(torch.from_numpy(data.images[faces[:64]]).float() / 255)
    torch.testing.assert_close(found[0][:64], by_hand)
    assert found[0].dtype == torch.float32
    assert found[0].std(0).min() > 0


# -- the rows of an epoch ------------------------------------------------------------


def test_every_batch_is_half_faces(module: DBVAEModule, data: Bunch) -> None:
    codes = np.r_[np.ones(30, int), np.zeros(170, int)]
    rows = Rows(data.images[:200], codes)
    order = started(make(), module, rows).order(module, rows)
    assert len(order) == 200
    assert {int(rows.targets[some].sum()) for some in order.split(20)} == {10}
    rows_as_they_are = started(make(class_shares="data"), module, rows).order(module, rows)
    assert int(rows.targets[rows_as_they_are].sum()) == 30


@pytest.mark.parametrize("alpha", [None, torch.inf])
def test_without_debiasing_every_row_comes_once(
    module: DBVAEModule, rows: Rows, alpha: float | None
) -> None:
    objective = started(make(alpha=alpha, class_shares="data"), module, rows)
    order = objective.order(module, rows)
    assert order.sort().values.tolist() == list(range(len(rows)))
    assert objective.ess_ == pytest.approx(int((rows.targets == 1).sum()))


def test_a_planted_rare_mode_is_drawn_by_its_rarity(data: Bunch) -> None:
    """Dark among bright pictures, an encoder that sees the brightness and nothing else."""

    class Brightness(DBVAEModule):
        def mu(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2, 3))[:, None]

    images = np.full((400, 3, 32, 32), 200, np.uint8)
    images[:20] = 50
    codes = np.r_[np.ones(200, int), np.zeros(200, int)]
    rows, alpha = Rows(images, codes), 0.05
    module = Brightness(Encoder(), 1, (3, 32, 32), (32, 16, 8))
    objective = started(make(alpha=alpha), module, rows)
    counts = torch.bincount(
        torch.cat([objective.order(module, rows) for _ in range(20)]), minlength=400
    )
    rare, common = counts[:20].double().mean(), counts[20:200].double().mean()
    assert float(rare / common) == pytest.approx((0.9 + alpha) / (0.1 + alpha), rel=0.02)
    assert counts[200:].tolist() == [20] * 200


def test_each_debiased_class_has_densities_of_its_own(module: DBVAEModule, data: Bunch) -> None:
    codes = np.arange(150) % 3
    rows = Rows(data.images[:150], codes)
    module.encoder.head = nn.Linear(512, 3)
    objective = started(make(debias_classes=[0, 2]), module, rows)
    order = objective.order(module, rows)
    counts = torch.bincount(order, minlength=150)
    assert torch.bincount(rows.targets[order]).tolist() == [50, 50, 50]
    assert counts[codes == 1].tolist() == [1] * 50
    for code in (0, 2):
        part = torch.from_numpy(np.flatnonzero(codes == code))
        alone = objective.resample(module, rows, part)[1]
        assert float((counts[part] - 50 * alone).abs().max()) <= 1

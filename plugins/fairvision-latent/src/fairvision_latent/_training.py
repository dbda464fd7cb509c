"""The steps of a progressive GAN: WGAN-GP on growing nets (Karras et al. 2018)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from fairvision.nn import to_device
from fairvision_latent._augment import Draw, augment
from fairvision_latent._graphs import StepGraphs
from fairvision_latent._networks import Generator, ImageCritic, stage_of

__all__ = ["Schedule", "Trainer", "gradient_penalty"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the nets grow: each stage but the first is faded in, then trained on.

    Parameters
    ----------
    n_stages : int
    phase_steps : int
        Steps of a fade, and of the training that follows.
    final_steps : int
        Steps of the last stage's training.
    """

    n_stages: int
    phase_steps: int
    final_steps: int

    @property
    def total(self) -> int:
        """Steps in all."""
        return (2 * self.n_stages - 2) * self.phase_steps + self.final_steps

    def growth(self, step: int) -> float:
        """Stages in use at a step; between two whole numbers during a fade."""
        phase, done = divmod(step, self.phase_steps)
        if phase >= 2 * self.n_stages - 2:
            return float(self.n_stages - 1)
        fading = phase % 2
        return phase // 2 + fading * (done + 1) / self.phase_steps

    def ends_stage(self, step: int) -> bool:
        """Whether this step is the last one of a stage."""
        if step + 1 == self.total:
            return True
        phase, done = divmod(step + 1, self.phase_steps)
        return done == 0 and phase % 2 == 1 and phase < 2 * self.n_stages - 2


def gradient_penalty(
    critic: ImageCritic, real: Tensor, fake: Tensor, draw: Draw | None = None
) -> Tensor:
    """Mean of (|gradient of the critic| - 1)^2 between real and generated images."""
    n = len(real)
    draw = draw or (lambda make: to_device(make(), real.device))
    share = draw(lambda: torch.rand(n, 1, 1, 1))
    between = torch.lerp(real, fake, share).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((slope.square().sum((1, 2, 3)) + 1e-12).sqrt() - 1).square().mean()


@dataclass(eq=False)
class Trainer:
    """Two nets, their optimisers, and their place in the schedule.

    All random numbers come from torch's CPU generator, so a checkpoint needs its
    state and this object's only.

    Parameters
    ----------
    generator, critic : nn.Module
        On their device.
    rows : callable (Tensor of int64) -> Tensor
        Real images in 0..1 on the device, by row number.
    n_rows : int
    schedule : Schedule
    batch_size : int
    lr : float
    penalty : float
        Weight of the gradient penalty.
    penalty_interval : int
        Steps between two penalties, which then weigh as many times as much.
    drift : float
        Weight of the squared score of real images, which keeps scores near 0.
    average_images : float
        Half-life, in images, of the moving average of the generator's weights.
    augmentations : collection of str
        What changes the images that the critic sees: `augment`.
    amp : bool
        Whether both nets run in bfloat16 autocast; weights and losses are float32.
    """

    generator: Generator
    critic: ImageCritic
    rows: Callable[[Tensor], Tensor]
    n_rows: int
    _: KW_ONLY
    schedule: Schedule
    batch_size: int
    lr: float
    penalty: float
    penalty_interval: int
    drift: float
    average_images: float
    augmentations: Collection[str] = ()
    amp: bool = False

    def __post_init__(self) -> None:
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.device = next(self.generator.parameters()).device
        self.fused = self.device.type == "cuda"
        self.optimizers = [
            torch.optim.Adam(
                net.parameters(), lr=self.lr, betas=(0.0, 0.99), eps=1e-8,
                fused=self.fused or None, capturable=self.fused,
            )
            for net in (self.critic, self.generator)
        ]  # fmt: skip
        self.graphs = StepGraphs(self.device)
        self.step_number = 0

    def step(self) -> Tensor:
        """One step of each net.

        Returns
        -------
        Tensor of shape (2,)
            The critic's estimate of the distance between real and generated
            images, and its mean score of generated ones; on the device, which a step
            does not wait for.
        """
        growth = self.schedule.growth(self.step_number)
        if growth != self.generator.growth:
            self.graphs.clear()  # those of a finished stage would keep their memory
        for net in (self.generator, self.critic, self.average):
            net.growth = growth
        penalized = self.step_number % self.penalty_interval == 0
        # During a fade each step does other arithmetic.
        kind = (growth, penalized) if growth.is_integer() else None
        values = self.graphs.run(kind, lambda: self._step_both(penalized))
        self._average()
        self.step_number += 1
        return values

    def _step_both(self, penalized: bool) -> Tensor:
        draw = self.graphs.draw
        real = draw(lambda: self.rows(torch.randint(self.n_rows, (self.batch_size,))))
        real = augment(self.critic.at_growth(real), self.augmentations, draw)
        return torch.stack([self._step_critic(real, penalized), self._step_generator()])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp)

    def _fake(self) -> Tensor:
        shape = self.batch_size, self.generator.latent_dim
        latents = self.graphs.draw(lambda: torch.randn(shape))
        with self._autocast():
            images = self.generator.draw(latents)
        return augment(images, self.augmentations, self.graphs.draw)

    def _step_critic(self, real: Tensor, penalized: bool) -> Tensor:
        with torch.no_grad():
            fake = self._fake()
        with self._autocast():
            scores = self.critic(real)
            estimate = scores.mean() - self.critic(fake).mean()
            loss = -estimate + self.drift * scores.square().mean()
            if penalized:
                weight = self.penalty * self.penalty_interval
                penalty = gradient_penalty(self.critic, real, fake, self.graphs.draw)
                loss = loss + weight * penalty
        self._descend(0, loss)
        return estimate.detach()

    def _step_generator(self) -> Tensor:
        self.critic.requires_grad_(False)  # saves computing its gradients
        try:
            fake = self._fake()
            with self._autocast():
                score = self.critic(fake).mean()
            self._descend(1, -score)
        finally:  # a graph may fail to be captured
            self.critic.requires_grad_(True)
        return score.detach()

    def _descend(self, net: int, loss: Tensor) -> None:
        self.optimizers[net].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[net].step()

    def _average(self) -> None:
        decay = 0.5 ** (self.batch_size / self.average_images)
        decay = min(decay, (1 + self.step_number) / (10 + self.step_number))
        means, now = (tuple(net.parameters()) for net in (self.average, self.generator))
        with torch.no_grad():
            torch._foreach_lerp_(means, now, 1 - decay)

    @property
    def stage(self) -> int:
        """The highest stage in use."""
        return stage_of(self.generator.growth)[0]

    # -- states -------------------------------------------------------------------

    def is_finite(self) -> bool:
        """Whether every weight is finite."""
        nets = (self.generator, self.critic)
        return all(bool(p.isfinite().all()) for net in nets for p in net.parameters())

    def state(self) -> dict[str, Any]:
        """All that is needed to resume with the same bits."""
        return {
            "step": self.step_number,
            "growth": self.generator.growth,
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "random": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self.step_number = state["step"]
        for name in ("generator", "critic", "average"):
            net = getattr(self, name)
            net.load_state_dict(state[name])
            net.growth = state["growth"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            settings = {"fused": self.fused or None, "capturable": self.fused}
            groups = [{**group, **settings} for group in saved["param_groups"]]
            optimizer.load_state_dict({**saved, "param_groups": groups})
        self.graphs.clear()  # they hold the moments that were replaced
        torch.set_rng_state(state["random"])

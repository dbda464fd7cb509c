"""Net against critic: one epoch of adversarial fine-tuning after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fairvision.nn import ProcessGroup
from fairvision_intra._algorithm import SOFT_BIASES, Critic, actor_loss, soft_bias
from fairvision_intra._forward import Forward

__all__ = ["Duel", "Settings", "batch_bias", "draw_batch"]

# Of the net, its targets and its groups: the bias of a batch, with gradients if it has any.
BatchBias = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """See `AdversarialFineTuning`."""

    critic_steps: int
    actor_steps: int
    batch_size: int
    lr: float
    critic_lr: float
    penalty: float
    critic: str | None
    balanced: bool
    epsilon: float
    margin: float


def batch_bias(name: str | None, n_groups: int, counted: Callable[..., float]) -> BatchBias:
    """Bias of a batch: on probabilities if its name allows, else on predictions."""
    if name in SOFT_BIASES:
        return lambda p, y, g: soft_bias(p, y, g, n_groups, str(name))

    def hard(p: Tensor, y: Tensor, g: Tensor) -> Tensor:
        value = counted(*(part.detach().cpu().numpy() for part in (p, y, g)))
        return torch.tensor(value, dtype=p.dtype, device=p.device)

    return hard


def draw_batch(cells: list[Tensor], size: int, balanced: bool) -> Tensor:
    """Row numbers with every cell among them, alike or in proportion to its rows."""
    n_rows = sum(len(cell) for cell in cells)
    parts = []
    for cell in cells:
        n = size // len(cells) if balanced else round(size * len(cell) / n_rows)
        n = max(n, 1)
        # Without repetition, as far as the cell has rows.
        enough = n <= len(cell)
        place = torch.randperm(len(cell))[:n] if enough else torch.randint(len(cell), (n,))
        parts.append(cell[place])
    return torch.cat(parts)


class Duel:
    """A private copy of a net, fine-tuned against a critic that is trained in turn with it.

    Batch normalisation and dropout stay in evaluation mode: the net is tuned
    as it will predict.

    Parameters
    ----------
    forward : Forward
        The net and its tuning images.
    targets, groups : ndarray of shape (n,)
    bias : callable
    settings : Settings
    process_group : ProcessGroup
        The processes that share the images of a batch; the critic is trained
        alike in each.
    """

    def __init__(
        self,
        forward: Forward,
        targets: NDArray[np.int64],
        groups: NDArray[np.int64],
        bias: BatchBias,
        settings: Settings,
        process_group: ProcessGroup | None = None,
    ) -> None:
        # A Forward of its own: what it scores with is what the optimiser moves.
        self.forward = Forward(forward.module, forward.images, batch_size=forward.batch_size)
        self.module, self.bias, self.settings = self.forward.module, bias, settings
        self.process_group = process_group or ProcessGroup()
        if not any(p.requires_grad for p in self.module.parameters()):
            self.module.requires_grad_()  # somebody froze all of it, for predicting
        trained = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=settings.lr)
        device, dtype = self.forward.device, self.forward.dtype
        self.y, self.g = (torch.from_numpy(codes).to(device) for codes in (targets, groups))
        cell = targets + 2 * groups
        self.cells = [torch.from_numpy(np.flatnonzero(cell == code)) for code in np.unique(cell)]
        self.n_groups = int(groups.max()) + 1
        n_codes = 2 + self.n_groups if settings.critic == "labels" else 0
        n_features = self._head.in_features
        self.critic = Critic(n_features, n_codes).to(device, dtype)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=settings.critic_lr)

    @property
    def _head(self) -> nn.Linear:
        head = self.module.head
        assert isinstance(head, nn.Linear)
        return head

    def epoch(self) -> dict[str, float]:
        """Train the critic on the net as it is, then the net against the critic."""
        loss = self._train_critic() if self.settings.critic else float("nan")
        return {"critic_loss": loss, **self._train_actor()}

    def run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Activations that enter the head, and logits, of one pass; of all processes' shares."""
        seen: list[Tensor] = []
        handle = self._head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        try:
            logits = self.module(x)
        finally:
            handle.remove()
        gather = self.process_group.all_gather
        return gather(seen[-1].flatten(1)), gather(logits)

    def judged(self, h: Tensor, rows: Tensor) -> Tensor:
        """The critic's word on a batch."""
        if self.settings.critic == "features":
            return self.critic(h)
        codes = (F.one_hot(self.y[rows], 2), F.one_hot(self.g[rows], self.n_groups))
        return self.critic(h, torch.cat(codes, dim=1))

    def _draw(self) -> Tensor:
        return draw_batch(self.cells, self.settings.batch_size, self.settings.balanced)

    def _images(self, rows: Tensor) -> Tensor:
        """This process's share of the images of a batch."""
        return self.forward.batch(rows[self.process_group.shard(len(rows))].numpy())

    def _train_critic(self) -> float:
        # The net stands still here, so its activations are computed once.
        with torch.no_grad():
            everything = torch.arange(len(self.forward))
            batches = everything.split(self.forward.batch_size)
            passes = [self.run(self._images(rows)) for rows in batches]
        h, logits = (torch.cat(parts) for parts in zip(*passes, strict=True))
        p = logits.softmax(1)[:, 1]
        self.critic.standardize(h)
        self.critic.train()
        total = 0.0
        for _ in range(self.settings.critic_steps):
            rows = self._draw()
            truth = self.bias(p[rows], self.y[rows], self.g[rows])
            loss = (self.judged(h[rows], rows) - truth) ** 2
            self.critic_optimizer.zero_grad()
            loss.backward()
            self.critic_optimizer.step()
            total += loss.item()
        self.critic.eval()
        return total / self.settings.critic_steps

    def _train_actor(self) -> dict[str, float]:
        settings, sums = self.settings, np.zeros(3)
        for _ in range(settings.actor_steps):
            rows = self._draw()
            h, logits = self.run(self._images(rows))
            truth = self.bias(logits.softmax(1)[:, 1], self.y[rows], self.g[rows])
            bias = self.judged(h, rows) if settings.critic else truth
            error = F.cross_entropy(logits, self.y[rows])
            loss = actor_loss(
                error,
                bias,
                penalty=settings.penalty,
                epsilon=settings.epsilon,
                margin=settings.margin,
            )
            self.optimizer.zero_grad()
            loss.backward()
            self.process_group.average_gradients(self.module.parameters())
            self.optimizer.step()
            sums += [error.item(), abs(bias.item()), abs(truth.item())]
        names = ("cross_entropy", "judged_bias", "batch_bias")
        return dict(zip(names, (sums / settings.actor_steps).tolist(), strict=True))

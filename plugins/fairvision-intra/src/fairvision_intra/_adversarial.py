"""Adversarial fine-tuning: the net and a critic of its bias are trained in turn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn import ProcessGroup, Rows, find_prefix
from fairvision_intra._algorithm import BiasCritic, actor_loss, soft_bias
from fairvision_intra._base import DebiasRows, IntraProcessor, check_at_least, check_one_of
from fairvision_intra._bounded_performance import BoundedPerformance
from fairvision_intra._forward import Forward
from fairvision_intra._search import Trial, Trials

__all__ = ["AdversarialFineTuning", "AdversarialTraining", "batch_bias", "draw_batch"]

# From probabilities, targets and groups to the bias of a batch, with gradients if it has any.
BatchBias = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(eq=False, repr=False, kw_only=True)
class AdversarialFineTuning(IntraProcessor):
    """Fine-tune a trained net against a critic that predicts its bias (Savani et al. 2020).

    The critic learns the bias of a batch from the net's penultimate
    activations, by squared error; the net minimises
    ``BCE * max(1, penalty * (|critic| - epsilon + margin) + 1)``; they take
    turns. Each epoch is a trial, as in the other methods, and the best epoch is
    kept.

    Parameters
    ----------
    estimator : classifier or None, default=None
        As in `RandomPerturbation`, like every parameter that is not listed here.
    max_epochs : int, default=8
        Of fine-tuning.
    critic_steps, actor_steps : int, default=60, 25
        In each epoch. Published, for CelebA: 10 epochs of 301 and 401, and lr=1e-4.
    batch_size : int, default=128
    lr, critic_lr : float, default=2e-4, 1e-3
        Of Adam.
    penalty : float, default=20.0
        Lambda. 0 is plain fine-tuning.
    critic : {"features", "labels", None}, default="features"
        The critic's input for each row: activations alone, as published, or
        class and group as well. With None there is no critic, and the bias of the
        batch itself is differentiated; so it is where the head alone is trained (a
        linear probe), to which a critic of the activations says nothing.
    sampling : {"balanced", "natural"}, default="balanced"
        A batch has as many rows of every class and group, or numbers in proportion
        to the rows (and at least one of each).
    selection_fraction : float, default=0.25
        Share of the debiasing rows that the net is not trained on. The epoch and
        the threshold are chosen on them, since the net overfits the others. 0, as
        published, uses all rows for both.

    Attributes
    ----------
    n_steps_ : int
        Steps of the net taken until the search ended.
    objective_path_ : DataFrame
        As in `RandomPerturbation`, a row an epoch, the given net first; with
        the means over the epoch of critic_loss, cross_entropy, critic_bias (the
        critic's prediction) and batch_bias (the true one).

    References
    ----------
    Y. Savani, C. White, N. S. Govindarajulu: Intra-Processing Methods for
    Debiasing Neural Networks. NeurIPS 2020, arXiv:2006.08564.

    Examples
    --------
    >>> from fairvision_intra import AdversarialFineTuning
    >>> AdversarialFineTuning(penalty=0.0, critic=None)  # the control: plain fine-tuning
    AdversarialFineTuning(critic=None, penalty=0.0)
    """

    max_epochs: int = 8
    critic_steps: int = 60
    actor_steps: int = 25
    batch_size: int = 128
    lr: float = 2e-4
    critic_lr: float = 1e-3
    penalty: float = 20.0
    critic: str | None = "features"
    sampling: str = "balanced"
    selection_fraction: float = 0.25

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_one_of(self, "critic", "features", "labels", None)
        check_one_of(self, "sampling", "balanced", "natural")
        check_at_least(self, 1, "max_epochs", "critic_steps", "actor_steps", "batch_size")
        check_at_least(self, 0, "penalty")
        if not 0 <= self.selection_fraction < 1:
            raise InputError(
                f"selection_fraction is {self.selection_fraction!r}; pass 0, or a share below 1."
            )

    def _n_trials(self, judging: DebiasRows) -> int:
        return 1 + self.max_epochs

    def _trials(
        self, tuning: DebiasRows, judging: DebiasRows, objective: BoundedPerformance, seed: int
    ) -> Trials:
        self.n_steps_, group = 0, tuning.net.process_group
        yield Trial(group.broadcast(judging.forward.scores()), columns={"epoch": 0})
        method = self if _trains_features(tuning.net.module) else replace(self, critic=None)
        training = AdversarialTraining(method, tuning, batch_bias(method, objective), group)
        for epoch in range(1, self.max_epochs + 1):
            means = training.epoch()
            self.n_steps_ += self.actor_steps
            changed = training.forward.weights()
            scores = group.broadcast(judging.forward.scores(changed))
            yield Trial(scores, changed, {"epoch": epoch, **means})


def _trains_features(module: nn.Module) -> bool:
    """Whether weights in front of the head are trained; if all are frozen, all will be."""
    head = set(module.head.parameters())  # type: ignore[union-attr]
    trained = [p for p in module.parameters() if p.requires_grad]
    return not trained or any(p not in head for p in trained)


def batch_bias(method: AdversarialFineTuning, objective: BoundedPerformance) -> BatchBias:
    """Bias of a batch: of probabilities if it has a formula, else of predictions."""
    name = objective.bias
    if isinstance(name, str):
        return lambda p, y, g: soft_bias(p, y, g, len(objective.labels), name)
    if method.critic is None:
        raise InputError(
            f"critic=None differentiates the bias, and {method.bias!r} has no gradient. "
            "Pass critic='features', which learns it."
        )

    def hard_bias(p: Tensor, y: Tensor, g: Tensor) -> Tensor:
        scores, targets, groups = (values.detach().cpu().numpy() for values in (p, y, g))
        batch = replace(
            objective,
            targets=targets,
            groups=groups,
            performance="balanced_accuracy",
            n_bootstrap=0,
        )
        bias = batch.measure(scores.astype(np.float64), np.array([0.5]))[1]
        return torch.tensor(float(np.nan_to_num(bias[0, 0])), dtype=p.dtype, device=p.device)

    return hard_bias


def draw_batch(cells: list[Tensor], size: int, balanced: bool) -> Tensor:
    """Row numbers with every cell among them, alike or in proportion to its rows."""
    n_rows = sum(len(cell) for cell in cells)
    drawn = []
    for cell in cells:
        n = size // len(cells) if balanced else round(size * len(cell) / n_rows)
        n = max(n, 1)
        # Without repetition if the cell has enough rows.
        enough = n <= len(cell)
        place = torch.randperm(len(cell))[:n] if enough else torch.randint(len(cell), (n,))
        drawn.append(cell[place])
    return torch.cat(drawn)


class AdversarialTraining:
    """Trains a copy of a net (the actor) and a critic of its bias in turn.

    Batch normalisation and dropout stay in evaluation mode: the net is tuned
    as it will predict.

    Parameters
    ----------
    method : AdversarialFineTuning
        Its parameters.
    rows : DebiasRows
        The net and its tuning rows.
    bias : callable
    group : ProcessGroup
        The processes that share the images of a batch; each of them trains the
        same critic.
    """

    def __init__(
        self, method: AdversarialFineTuning, rows: DebiasRows, bias: BatchBias, group: ProcessGroup
    ) -> None:
        self.method, self.bias, self.group = method, bias, group
        # A copy: the optimiser changes the weights of this one.
        given = rows.forward
        self.forward = Forward(given.module, given.images, batch_size=given.batch_size)
        self.module = self.forward.module
        if not any(p.requires_grad for p in self.module.parameters()):
            self.module.requires_grad_()  # a net that was frozen for predicting
        self._leave_out_frozen(rows)
        trained = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=method.lr)
        device, dtype = self.forward.device, self.forward.dtype
        self.y, self.g = (torch.from_numpy(c).to(device) for c in (rows.targets, rows.groups))
        cell = rows.targets + 2 * rows.groups
        self.cells = [torch.from_numpy(np.flatnonzero(cell == code)) for code in np.unique(cell)]
        self.n_groups = int(rows.groups.max()) + 1
        n_codes = 2 + self.n_groups if method.critic == "labels" else 0
        self.critic = BiasCritic(self._head.in_features, n_codes).to(device, dtype)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=method.critic_lr)

    def _leave_out_frozen(self, rows: DebiasRows) -> None:
        """Compute the layers once that stand in front of the trained ones."""
        if self.group.size > 1 or all(p.requires_grad for p in self.module.parameters()):
            return
        prefix = find_prefix(self.module, self.forward.batch(slice(0, 2)))
        if prefix is not None:
            images = Rows(self.forward.images, rows.targets, dtype=self.forward.dtype)
            self.forward.images = prefix.store(images).images
            self._stack = ExitStack()  # never closed: the module is this object's own
            self._stack.enter_context(prefix.left_out())

    @property
    def _head(self) -> nn.Linear:
        head = self.module.head
        assert isinstance(head, nn.Linear)
        return head

    def epoch(self) -> dict[str, float]:
        """Train the critic on the net as it is, then the net against the critic."""
        loss = self.train_critic() if self.method.critic else float("nan")
        return {"critic_loss": loss, **self.train_actor()}

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of the head, and logits, for the images of all processes."""
        inputs: list[Tensor] = []
        handle = self._head.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        try:
            logits = self.module(x)
        finally:
            handle.remove()
        return self.group.all_gather(inputs[-1].flatten(1)), self.group.all_gather(logits)

    def critic_bias(self, h: Tensor, rows: Tensor) -> Tensor:
        """The bias that the critic predicts for a batch."""
        if self.method.critic == "features":
            return self.critic(h)
        codes = (F.one_hot(self.y[rows], 2), F.one_hot(self.g[rows], self.n_groups))
        return self.critic(h, torch.cat(codes, dim=1))

    def _draw(self) -> Tensor:
        return draw_batch(self.cells, self.method.batch_size, self.method.sampling == "balanced")

    def _images(self, rows: Tensor) -> Tensor:
        """This process's share of the images of a batch."""
        return self.forward.batch(rows[self.group.shard(len(rows))].numpy())

    def train_critic(self) -> float:
        """Return the mean loss over the steps."""
        # The net is fixed here, so its activations are computed once.
        with torch.no_grad():
            batches = torch.arange(len(self.forward)).split(self.forward.batch_size)
            outputs = [self.features_and_logits(self._images(rows)) for rows in batches]
        h, logits = (torch.cat(tensors) for tensors in zip(*outputs, strict=True))
        p = logits.softmax(1)[:, 1]
        self.critic.standardize(h)
        self.critic.train()
        total = 0.0
        for _ in range(self.method.critic_steps):
            rows = self._draw()
            truth = self.bias(p[rows], self.y[rows], self.g[rows])
            loss = (self.critic_bias(h[rows], rows) - truth) ** 2
            self.critic_optimizer.zero_grad()
            loss.backward()
            self.critic_optimizer.step()
            total += loss.item()
        self.critic.eval()
        return total / self.method.critic_steps

    def train_actor(self) -> dict[str, float]:
        """Return means over the steps."""
        method, sums = self.method, np.zeros(3)
        bound = {"penalty": method.penalty, "epsilon": method.epsilon, "margin": method.margin}
        for _ in range(method.actor_steps):
            rows = self._draw()
            h, logits = self.features_and_logits(self._images(rows))
            truth = self.bias(logits.softmax(1)[:, 1], self.y[rows], self.g[rows])
            bias = self.critic_bias(h, rows) if method.critic else truth
            error = F.cross_entropy(logits, self.y[rows])
            loss = actor_loss(error, bias, **bound)
            self.optimizer.zero_grad()
            loss.backward()
            self.group.average_gradients(self.module.parameters())
            self.optimizer.step()
            sums += [error.item(), abs(bias.item()), abs(truth.item())]
        names = ("cross_entropy", "critic_bias", "batch_bias")
        return dict(zip(names, (sums / method.actor_steps).tolist(), strict=True))

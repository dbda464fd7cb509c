"""Adversarial fine-tuning: the net and a critic of its bias are trained in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fairvision.base import check_choices, check_numbers, stratified_folds
from fairvision.exceptions import InputError
from fairvision.nn import Batch, as_double, check_loss, features_and_logits, to_device
from fairvision_intra._algorithm import BiasCritic, actor_loss, soft_bias
from fairvision_intra._base import DebiasRows, IntraProcessor
from fairvision_intra._bounded_performance import BoundedPerformance
from fairvision_intra._rates import cells_of
from fairvision_intra._search import Trial, Trials

__all__ = ["AdversarialFineTuning", "AdversarialTraining", "batch_bias", "draw_batch"]

# From probabilities, targets and groups to the bias of a batch, with gradients if it has any.
BatchBias = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(eq=False, repr=False, kw_only=True)
class AdversarialFineTuning(IntraProcessor):
    """Fine-tune a trained net against its bias (Savani et al. 2020).

    The net minimises ``BCE * max(1, penalty * (|bias| - epsilon + margin) + 1)`` over
    batches with as many rows of every cell; without epsilon the bound is 0. By default
    the bias is the batch's own, which did best in our measurements. As published, a critic
    predicts the bias; it is trained on the net's penultimate activations by squared error, in
    turns with the net. Each epoch is a trial, and the best epoch is kept.

    Parameters
    ----------
    estimator : classifier or None, default=None
        As in `RandomPerturbation`, like every parameter that is not listed here.
    max_epochs : int, default=6
        Of fine-tuning.
    critic_steps, actor_steps : int, default=60, 25
        In each epoch. Published, for CelebA: 10 epochs of 301 and 401, and lr=1e-4.
    batch_size : int, default=128
        256 measures a batch's gap better where there are many rows; with 160 it does not pay.
    lr, critic_lr : float, default=1e-3
        Of Adam.
    penalty : float, default=5.0
        Lambda; 20 is published. 0 is plain fine-tuning.
    critic : {"features", "labels", None}, default=None
        With None there is no critic, and the bias of the batch itself is
        differentiated. Else the critic's input for each row: activations alone, as
        published, or class and group as well. If only the head is trained, as on a linear probe,
        None is always used: a critic of the activations gives the head no gradient.
    sampling : {"balanced", "natural"}, default="balanced"
        A batch has as many rows of every class and group, or numbers in proportion
        to the rows (and at least one of each).
    n_folds : int, default=4
        The epoch and the threshold are chosen by cross-fitted scores: each fold is scored by a
        net that was tuned on the other folds, since a net overfits its own rows. The final net is
        tuned on all rows, so its threshold is kept within .2 to .8. 1, as published, scores it on
        the rows it was tuned on.
    n_layers : int or None, default=None
        Tune only the last layers; those before them are computed once. None tunes all.

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
    >>> AdversarialFineTuning(penalty=0.0)  # the control: plain fine-tuning
    AdversarialFineTuning(penalty=0.0)
    """

    max_epochs: int = 6
    critic_steps: int = 60
    actor_steps: int = 25
    batch_size: int = 128
    lr: float = 1e-3
    critic_lr: float = 1e-3
    penalty: float = 5.0
    critic: str | None = None
    sampling: str = "balanced"
    n_folds: int = 4
    n_layers: int | None = None

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choices(self, critic=("features", "labels", None), sampling=("balanced", "natural"))
        counts = ("max_epochs", "critic_steps", "actor_steps", "batch_size", "n_folds")
        check_numbers(self, *counts, low=1, whole=True)
        check_numbers(self, "n_layers", low=1, whole=True, optional=True)
        check_numbers(self, "penalty")

    def _n_trials(self, rows: DebiasRows) -> int:
        return 1 + self.max_epochs

    def _trials(self, rows: DebiasRows, objective: BoundedPerformance, seed: int) -> Trials:
        self.n_steps_, group = 0, rows.net.process_group
        yield Trial(group.broadcast(rows.forward.scores()), columns={"epoch": 0})
        method = self if self._trains_features(rows) else replace(self, critic=None)
        bias, everything = batch_bias(method, objective), np.arange(len(rows.targets))
        folds: list[NDArray[np.intp]] = []
        if self.n_folds > 1:
            cells = rows.targets + 2 * rows.groups
            folds = stratified_folds(cells, self.n_folds, np.random.default_rng(seed))
        parts = [everything, *(np.setdiff1d(everything, fold) for fold in folds)]
        trainings = [AdversarialTraining(method, rows, fold, bias) for fold in parts]
        for epoch in range(1, self.max_epochs + 1):
            means, *_ = [training.epoch() for training in trainings]
            self.n_steps_ += self.actor_steps
            scores = np.empty(len(everything))
            # Rows in no fold are scored by the net that was trained on all.
            held = [np.setdiff1d(everything, np.concatenate([*folds, []])), *folds]
            for training, fold in zip(trainings, held, strict=True):
                if len(fold):
                    scores[fold] = training.forward.scores(rows=fold.astype(np.intp))
            changed = trainings[0].forward.weights()
            yield Trial(group.broadcast(scores), changed, {"epoch": epoch, **means})

    def _span(self, own: float) -> tuple[float, float]:
        # Nets of the folds give the scores, and the final net is another: on new rows it is
        # less sure than they are, and an extreme threshold would put all rows into one class.
        if self.n_folds == 1 or self.allow_worse:
            return 0.0, 1.0
        return min(0.2, own), max(0.8, own)

    def _trains_features(self, rows: DebiasRows) -> bool:
        """Whether it trains weights in front of the head."""
        forward, trained = rows.trained_from(self.n_layers)
        head = set(forward.module.head.parameters())  # type: ignore[union-attr]
        weights = forward.module.named_parameters()
        return any(name in trained and weight not in head for name, weight in weights)


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
        The net and its rows. The processes of the net's group share the images of a
        batch; each of them trains the same critic.
    part : ndarray of shape (n,)
        Numbers of the rows to train on.
    bias : callable
    """

    def __init__(
        self,
        method: AdversarialFineTuning,
        rows: DebiasRows,
        part: NDArray[np.intp],
        bias: BatchBias,
    ) -> None:
        self.method, self.bias, self.group = method, bias, rows.net.process_group
        forward, trained = rows.trained_from(method.n_layers)
        self.forward = forward.copy()  # the optimiser changes the weights of this one
        self.module = self.forward.module
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(name in trained)
        weights = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(weights, lr=method.lr)
        device, dtype = self.forward.device, self.forward.dtype
        # On the CPU, where the rows of a batch are drawn.
        self.y, self.g = torch.from_numpy(rows.targets), torch.from_numpy(rows.groups)
        self.part = torch.from_numpy(part)
        cells = cells_of(rows.targets[part], rows.groups[part])
        self.cells = [self.part[torch.from_numpy(cell)] for cell in cells]
        self.n_groups = int(rows.groups.max()) + 1
        n_codes = 2 + self.n_groups if method.critic == "labels" else 0
        head: Any = self.module.head
        self.critic = BiasCritic(head.in_features, n_codes).to(device, dtype)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=method.critic_lr)
        self.n_epochs = 0

    def epoch(self) -> dict[str, float]:
        """Train the critic on the net as it is, then the net against the critic."""
        self.n_epochs += 1
        loss = self.train_critic() if self.method.critic else float("nan")
        return {"critic_loss": loss, **self.train_actor()}

    def features_and_logits(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of the head, and logits, of a batch, for the images of all processes."""
        images = self.forward.inputs(rows[self.group.shard(len(rows))].numpy())
        batch = Batch(images, self._column(self.y, rows), None, None, rows, self.group)
        with self.forward.resumed():
            features, logits = features_and_logits(self.module, batch)
        return features, self.group.all_gather(logits)

    def critic_bias(self, h: Tensor, rows: Tensor) -> Tensor:
        """The bias that the critic predicts for a batch."""
        if self.method.critic == "features":
            return self.critic(h)
        codes = (F.one_hot(self.y[rows], 2), F.one_hot(self.g[rows], self.n_groups))
        return self.critic(h, to_device(torch.cat(codes, dim=1), h.device))

    def _column(self, values: Tensor, rows: Tensor) -> Tensor:
        """Some rows of a column of the CPU, on the net's device."""
        return to_device(values[rows], self.forward.device)

    def _draw(self) -> Tensor:
        return draw_batch(self.cells, self.method.batch_size, self.method.sampling == "balanced")

    def train_critic(self) -> float:
        """Return the mean loss over the steps."""
        # The net is fixed here, so its activations are computed once.
        with torch.no_grad():
            batches = self.part.split(self.forward.batch_size)
            outputs = [self.features_and_logits(rows) for rows in batches]
        h, logits = (torch.cat(tensors) for tensors in zip(*outputs, strict=True))
        p = logits.softmax(1)[:, 1]
        place = torch.empty(len(self.y), dtype=torch.int64)
        place[self.part] = torch.arange(len(self.part))
        self.critic.standardize(h)
        self.critic.train()
        steps = []
        for _ in range(self.method.critic_steps):
            rows = self._draw()
            at = self._column(place, rows)
            truth = self.bias(p[at], self._column(self.y, rows), self._column(self.g, rows))
            loss = (self.critic_bias(h[at], rows) - truth) ** 2
            self.critic_optimizer.zero_grad()
            loss.backward()
            self.critic_optimizer.step()
            steps.append(loss.detach()[None])
        self.critic.eval()
        return self._means(steps, "the critic's loss")[0]

    def train_actor(self) -> dict[str, float]:
        """Return means over the steps."""
        method, steps = self.method, []
        # Without a bound the penalty begins at the first gap.
        epsilon = method.margin if method.epsilon is None else method.epsilon
        bound = {"penalty": method.penalty, "epsilon": epsilon, "margin": method.margin}
        for _ in range(method.actor_steps):
            rows = self._draw()
            h, logits = self.features_and_logits(rows)
            y, g = self._column(self.y, rows), self._column(self.g, rows)
            truth = self.bias(logits.softmax(1)[:, 1], y, g)
            bias = self.critic_bias(h, rows) if method.critic else truth
            error = F.cross_entropy(logits, y)
            loss = actor_loss(error, bias, **bound)
            self.optimizer.zero_grad()
            loss.backward()
            self.group.average_gradients(self.module.parameters())
            self.optimizer.step()
            steps.append(torch.stack([loss, error, bias.abs(), truth.abs()]).detach())
        names = ("cross_entropy", "critic_bias", "batch_bias")
        return dict(zip(names, self._means(steps, "the loss of fine-tuning")[1:], strict=True))

    def _means(self, steps: list[Tensor], name: str) -> list[float]:
        """Means over an epoch's steps of some numbers, a loss first; no step waits for a GPU."""
        values = as_double(torch.stack(steps)).cpu()
        for loss in values[:, 0]:
            check_loss(loss, self.n_epochs, name)
        return [sum(column) / len(steps) for column in values.T.tolist()]

"""`AdversarialFineTuning` as a scikit-learn meta-estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fairvision.exceptions import InputError
from fairvision_intra._base import IntraProcessor, Rows
from fairvision_intra._duel import BatchBias, Duel, Settings, batch_bias
from fairvision_intra._objective import Metric, Objective
from fairvision_intra._search import Trial, Trials

__all__ = ["AdversarialFineTuning"]


class AdversarialFineTuning(IntraProcessor):
    """Fine-tune a trained net against a critic that predicts its bias (Savani et al. 2020).

    The critic learns the bias of a batch from the net's penultimate
    activations, by squared error; the net minimises
    ``BCE * max(1, penalty * (|critic| - epsilon + margin) + 1)``; they take
    turns. After each epoch the net and its best threshold are judged like the
    trials of the other methods, and the best epoch is kept.

    Parameters
    ----------
    estimator : classifier or None, default=None
        As in `RandomPerturbation`, like every parameter that is not listed here.
    n_epochs : int, default=8
    critic_steps, actor_steps : int, default=60, 25
        In each epoch. Published, for CelebA: 10 epochs of 301 and 401, and lr=1e-4.
    batch_size : int, default=128
    lr, critic_lr : float, default=2e-4, 1e-3
        Of Adam.
    penalty : float, default=20.0
        Lambda. 0 is plain fine-tuning.
    critic : {"features", "labels", None}, default="features"
        What the critic reads of each row: activations alone, as published, or
        the class and the group beside them. None does without a critic and
        differentiates the bias of the batch itself.
    sampling : {"balanced", "natural"}, default="balanced"
        A batch has as many rows of every class and group, or in proportion to
        the rows (and one at least).
    selection_fraction : float, default=0.25
        Share of the debiasing rows that the net is not tuned on: they judge
        the epochs and choose the threshold, which rows that the net has
        learned by heart cannot. 0, as published, uses all for both.

    Attributes
    ----------
    n_steps_ : int
        Steps of the net taken until the search ended.
    objective_path_ : DataFrame
        As in `RandomPerturbation`, a row an epoch, the given net first; with
        the means over the epoch of critic_loss, cross_entropy, judged_bias (the
        critic's) and batch_bias (the true one).

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

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_epochs: int = 8,
        critic_steps: int = 60,
        actor_steps: int = 25,
        batch_size: int = 128,
        lr: float = 2e-4,
        critic_lr: float = 1e-3,
        penalty: float = 20.0,
        critic: str | None = "features",
        sampling: str = "balanced",
        selection_fraction: float = 0.25,
        bias: Metric = "average_odds_difference",
        performance: Metric = "group_balanced_accuracy",
        epsilon: float = 0.05,
        margin: float = 0.01,
        min_performance: float | None = None,
        n_thresholds: int = 501,
        n_bootstrap: int = 5,
        validation_fraction: float = 0.4,
        random_state: Any = None,
        progress: bool | None = None,
        callback: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_epochs = n_epochs
        self.critic_steps = critic_steps
        self.actor_steps = actor_steps
        self.batch_size = batch_size
        self.lr = lr
        self.critic_lr = critic_lr
        self.penalty = penalty
        self.critic = critic
        self.sampling = sampling
        self.selection_fraction = selection_fraction
        self.bias = bias
        self.performance = performance
        self.epsilon = epsilon
        self.margin = margin
        self.min_performance = min_performance
        self.n_thresholds = n_thresholds
        self.n_bootstrap = n_bootstrap
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress
        self.callback = callback

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name, known in (
            ("critic", ("features", "labels", None)),
            ("sampling", ("balanced", "natural")),
        ):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass one of {known}.")
        for name, low in (
            ("n_epochs", 1),
            ("critic_steps", 1),
            ("actor_steps", 1),
            ("batch_size", 1),
            ("penalty", 0),
        ):
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass {low} or more.")
        if not 0 <= self.selection_fraction < 1:
            raise InputError(
                f"selection_fraction is {self.selection_fraction!r}; pass a share from 0 up to 1."
            )

    def _selection_fraction(self) -> float:
        return self.selection_fraction

    def _n_trials(self, judging: Rows) -> int:
        return 1 + self.n_epochs

    def _trials(self, tuning: Rows, judging: Rows, objective: Objective, seed: int) -> Trials:
        self.n_steps_, process_group = 0, tuning.inner.process_group
        yield Trial(process_group.broadcast(judging.forward.scores()), where={"epoch": 0})
        bias = self._batch_bias(objective)
        duel = Duel(
            tuning.forward, tuning.targets, tuning.groups, bias, self._settings(), process_group
        )
        for epoch in range(1, self.n_epochs + 1):
            parts = duel.epoch()
            self.n_steps_ += self.actor_steps
            changed = duel.forward.weights()
            scores = process_group.broadcast(judging.forward.scores(changed))
            yield Trial(scores, changed, {"epoch": epoch, **parts})

    def _settings(self) -> Settings:
        return Settings(
            critic_steps=self.critic_steps,
            actor_steps=self.actor_steps,
            batch_size=self.batch_size,
            lr=self.lr,
            critic_lr=self.critic_lr,
            penalty=self.penalty,
            critic=self.critic,
            balanced=self.sampling == "balanced",
            epsilon=self.epsilon,
            margin=self.margin,
        )

    def _batch_bias(self, objective: Objective) -> BatchBias:
        def counted(p: Any, y: Any, g: Any) -> float:
            batch = Objective(
                y,
                g,
                classes=objective.classes,
                labels=objective.labels,
                bias=self.bias,
                n_bootstrap=0,
                rng=np.random.default_rng(0),
            )
            bias = batch.measure(p.astype(np.float64), np.array([0.5]))[1]
            return float(np.nan_to_num(bias[0, 0]))

        name = objective.bias if isinstance(objective.bias, str) else None
        if name is None and self.critic is None:
            raise InputError(
                f"critic=None differentiates the bias, and {self.bias!r} has no gradient. "
                "Pass critic='features', which learns it."
            )
        return batch_bias(name, len(objective.labels), counted)

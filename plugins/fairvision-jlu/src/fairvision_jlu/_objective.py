"""One training step of joint learning and unlearning."""

from __future__ import annotations

import warnings
from itertools import cycle

import torch
import torch.nn.functional as F
from fairvision.exceptions import CollapseWarning
from fairvision.nn import Batch, Batches, Objective, Rows, Step, cross_entropy
from torch import Tensor, nn

from fairvision_jlu._algorithm import (
    FeatureMemory,
    confusion_excess,
    decorrelating_weights,
    weighted_mean,
)

__all__ = ["JLUObjective"]


class JLUObjective(Objective):
    """Alternate (a) fitting the spurious heads with (b) learning features that confuse them.

    Parameters
    ----------
    alpha : float
        Weight of the confusion losses once fully on.
    warmup, ramp : float
        Shares of the training steps: without confusion, and rising linearly to `alpha`.
    head_steps : int
        Most steps of (a) for each step of (b).
    head_tol : float
        (a) stops early once a step lowers the heads' loss by less than this share.
    head_lr : float
    head_memory : int
        Batches whose features (a) sees.
    head_hidden : int
        Hidden units of a spurious head; 0 is a linear head.
    decorrelate : bool
        Weight (a) and the confusion by P(y) P(a) / P(y, a).
    n_values : tuple of int
        Values of each spurious attribute.
    secondary : Rows or None
        Images with spurious labels of their own, in ``groups``; None reads them
        from the primary batch.
    batch_size : int
        For `secondary`.
    """

    parts = ("primary_loss", "confusion_excess", "head_loss", "head_steps")

    def __init__(
        self,
        *,
        alpha: float,
        warmup: float,
        ramp: float,
        head_steps: int,
        head_tol: float,
        head_lr: float,
        head_memory: int,
        head_hidden: int,
        decorrelate: bool,
        n_values: tuple[int, ...],
        secondary: Rows | None = None,
        batch_size: int = 64,
    ) -> None:
        self.alpha = alpha
        self.warmup = warmup
        self.ramp = ramp
        self.head_steps = head_steps
        self.head_tol = head_tol
        self.head_lr = head_lr
        self.head_memory = head_memory
        self.head_hidden = head_hidden
        self.decorrelate = decorrelate
        self.n_values = n_values
        self.secondary = secondary
        self.batch_size = batch_size

    def start(self, module: nn.Module, rows: Rows, device: torch.device, max_epochs: int) -> None:
        # The heads draw from a fork of the generator, so that alpha = 0 shuffles and
        # drops out exactly as plain training does and gives the same bits.
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            self.heads = nn.ModuleList(self._head(module, n) for n in self.n_values).to(device)
            self._seed = int(torch.randint(2**31, ()))
        dtype = next(module.parameters()).dtype
        self.heads.to(dtype)
        self.optimizer = torch.optim.Adam(self.heads.parameters(), lr=self.head_lr)
        self.memory = FeatureMemory(self.head_memory)
        self.balance = self._balance(rows).to(device, dtype)
        self._secondary_batches = self._endless_secondary(device)
        self.n_steps = max_epochs * -(-len(rows) // self.batch_size)
        self.n_done = 0
        self._counts = torch.zeros(module.head.out_features, dtype=torch.long)

    def _head(self, module: nn.Module, n_values: int) -> nn.Module:
        n_features = module.head.in_features
        if not self.head_hidden:
            return nn.Linear(n_features, n_values)
        return nn.Sequential(
            nn.Linear(n_features, self.head_hidden),
            nn.ReLU(),
            nn.Linear(self.head_hidden, n_values),
        )

    def _balance(self, rows: Rows) -> Tensor:
        """Weight of each row in each attribute's losses, shape (n_rows, n_attributes)."""
        source = self.secondary if self.secondary is not None else rows
        assert source.groups is not None
        if self.secondary is not None or not self.decorrelate:
            return torch.ones(source.groups.shape)
        columns = [decorrelating_weights(rows.targets, a) for a in source.groups.T]
        return torch.stack(columns, dim=1)

    def _endless_secondary(self, device: torch.device):
        if self.secondary is None:
            return None
        generator = torch.Generator().manual_seed(self._seed)
        n = len(self.secondary)
        batches = Batches(
            self.secondary,
            self.batch_size,
            device,
            lambda: torch.randperm(n, generator=generator),
        )
        return (batch for epoch in cycle([batches]) for batch, _ in epoch)

    def current_alpha(self) -> float:
        """Alpha of the step to come: 0 in the warm-up, then a ramp, then `alpha`."""
        done = self.n_done / max(self.n_steps, 1)
        if done < self.warmup:
            return 0.0
        if self.ramp == 0:
            return self.alpha
        return self.alpha * min((done - self.warmup) / self.ramp, 1.0)

    def order(self, module: nn.Module, rows: Rows) -> Tensor:
        self._counts.zero_()
        return super().order(module, rows)

    def step(self, module: nn.Module, batch: Batch) -> Step:
        features = module.features(batch.images)
        logits = module.head(features)
        primary = cross_entropy(logits, batch.targets, batch.weights)
        second = batch
        spurious_features = features
        if self._secondary_batches is not None:
            second = next(self._secondary_batches)
            spurious_features = module.features(second.images)
        weights = self.balance[second.rows.to(self.balance.device)]
        head_loss, steps = self._fit_heads(spurious_features, second.groups, weights)
        excesses = [
            confusion_excess(head(spurious_features), weights[:, m])
            for m, head in enumerate(self.heads)
        ]
        excess = torch.stack(excesses).sum()
        alpha = self.current_alpha()
        self.n_done += 1
        self._counts += torch.bincount(logits.detach().argmax(1).cpu(), minlength=logits.shape[1])
        return Step(
            primary + alpha * excess if alpha else primary,
            logits,
            {
                "primary_loss": primary.item(),
                "confusion_excess": excess.item(),
                "head_loss": head_loss,
                "head_steps": float(steps),
            },
        )

    def _fit_heads(self, features: Tensor, groups: Tensor, weights: Tensor) -> tuple[float, int]:
        """(a): fit the heads alone, features fixed, until they stop improving."""
        features, groups, weights = self.memory.add(features, groups, weights)
        before, value, taken = float("inf"), float("inf"), 0
        while taken < self.head_steps and (taken < 2 or value < before * (1 - self.head_tol)):
            before = value
            losses = [
                weighted_mean(
                    F.cross_entropy(head(features), groups[:, m], reduction="none"), weights[:, m]
                )
                for m, head in enumerate(self.heads)
            ]
            loss = torch.stack(losses).sum()
            # (b) left gradients in the heads: they belong to the features alone.
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            value, taken = loss.item(), taken + 1
        return value, taken

    def finish(self, module: nn.Module) -> None:
        self._secondary_batches = None
        self.memory = FeatureMemory(self.head_memory)
        share = self._counts.max() / self._counts.sum().clamp_min(1)
        if self.alpha and share > 0.99:
            warnings.warn(
                f"In its last epoch the model put {share:.1%} of the training rows into one class: "
                "the features have collapsed. Lower alpha, lengthen warmup and ramp, or keep "
                "decorrelate=True.",
                CollapseWarning,
                stacklevel=2,
            )

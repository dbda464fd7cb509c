"""The spurious heads and the inner loop that fits them while the features stand still."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairvision_jlu._algorithm import (
    FeatureMemory,
    confusion_excess,
    curvature_solver,
    standardize,
    weighted_mean,
)

__all__ = ["SpuriousHeads"]


class SpuriousHeads:
    """A linear head for each spurious attribute, and "while L_s is not optimised".

    Parameters
    ----------
    n_features : int
    n_values : tuple of int
        Values of each attribute.
    solver : {"newton", "adam"}
    steps : int
        Most steps for each call of `fit`.
    tol : float
        Stop sooner, once a step lowers the loss by less than this share.
    lr : float
        For Adam.
    ridge : float
        For Newton.
    memory : int
        Batches of features to fit.
    standardized : bool
        Whether to read standardised features.
    """

    def __init__(
        self,
        n_features: int,
        n_values: tuple[int, ...],
        *,
        solver: str,
        steps: int,
        tol: float,
        lr: float,
        ridge: float,
        memory: int,
        standardized: bool,
    ) -> None:
        self.linears = [nn.Linear(n_features, n) for n in n_values]
        self.modules = nn.ModuleList(self.linears)
        self.solver = solver
        self.steps = steps
        self.tol = tol
        self.lr = lr
        self.ridge = ridge
        self.standardized = standardized
        self.memory = FeatureMemory(memory)

    def start(self, like: Tensor) -> None:
        """Move to where the features are computed."""
        self.modules.to(like.device, like.dtype)
        self._optimizer = torch.optim.Adam(self.modules.parameters(), lr=self.lr)

    def state_dict(self) -> dict[str, Any]:
        """Weights, Adam's moments and the features that are remembered."""
        return {
            "linears": self.modules.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "memory": self.memory.batches(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them up, after `start`."""
        self.modules.load_state_dict(state["linears"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.memory.clear()
        device = self.linears[0].weight.device
        for batch in state["memory"]:
            self.memory.add(*(column.to(device) for column in batch))

    def read(self, features: Tensor, weights: Tensor | None = None) -> Tensor:
        """What the heads see of the features, shape (n, n_features)."""
        return standardize(features, weights) if self.standardized else features

    def excess(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Sum of the attributes' confusion losses, each above its minimum.

        Parameters
        ----------
        inputs : Tensor of shape (n, n_features)
            From `read`.
        weights : Tensor of shape (n, n_attributes)
        """
        # The gradient is the features' alone; the heads learn in `fit`.
        losses = [
            confusion_excess(
                F.linear(inputs, head.weight.detach(), head.bias.detach()), weights[:, m]
            )
            for m, head in enumerate(self.linears)
        ]
        return torch.stack(losses).sum()

    def fit(self, inputs: Tensor, groups: Tensor, weights: Tensor) -> tuple[float, int]:
        """Lower the heads' cross-entropy until it stops falling; return it and the steps taken.

        Parameters
        ----------
        inputs : Tensor of shape (n, n_features)
            From `read`; no gradient reaches them.
        groups : Tensor of shape (n, n_attributes), int64
        weights : Tensor of shape (n, n_attributes)
        """
        inputs, groups, weights = self.memory.add(inputs, groups, weights)
        step = (self._newton if self.solver == "newton" else self._adam)(inputs, groups, weights)
        before = step()  # each step returns the loss that it started from
        value = before
        for taken in range(2, self.steps + 1):
            value = step()
            if value > before * (1 - self.tol):
                return value, taken
            before = value
        return value, self.steps

    def _adam(self, inputs: Tensor, groups: Tensor, weights: Tensor) -> Callable[[], float]:
        def step() -> float:
            losses = [
                weighted_mean(
                    F.cross_entropy(head(inputs), groups[:, m], reduction="none"), weights[:, m]
                )
                for m, head in enumerate(self.linears)
            ]
            loss = torch.stack(losses).sum()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            return loss.item()

        return step

    @torch.no_grad()
    def _newton(self, inputs: Tensor, groups: Tensor, weights: Tensor) -> Callable[[], float]:
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
        shares = weights / weights.sum(0).clamp_min(1e-12)
        solvers = [curvature_solver(inputs, w, self.ridge) for w in shares.T]
        labels = [
            F.one_hot(groups[:, m], head.out_features).to(inputs.dtype)
            for m, head in enumerate(self.linears)
        ]

        @torch.no_grad()
        def step() -> float:
            loss = inputs.new_zeros(())
            for m, head in enumerate(self.linears):
                table = torch.cat([head.weight, head.bias[:, None]], dim=1).T
                log_p = (inputs @ table).log_softmax(1)
                loss -= ((log_p * labels[m]).sum(1) * shares[:, m]).sum()
                residual = (log_p.exp() - labels[m]) * shares[:, m, None]
                table = table - solvers[m](inputs.T @ residual + self.ridge * table)
                head.weight.copy_(table[:-1].T)
                head.bias.copy_(table[-1])
            return loss.item()

        return step

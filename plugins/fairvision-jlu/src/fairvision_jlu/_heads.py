"""The spurious heads and the inner loop that fits them while the features stand still."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairvision_jlu._algorithm import (
    FeatureMemory,
    confusion_excess,
    curvature,
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
        self.n_batches = memory
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

    def learn(
        self, features: Tensor, groups: Tensor, weights: Tensor, row_weights: Tensor | None
    ) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """Fit the heads to a batch, then say how far they are from knowing nothing.

        Parameters
        ----------
        features : Tensor of shape (n, n_features)
        groups, weights
            As in `fit`.
        row_weights : Tensor of shape (n,) or None
            Sample weights.

        Returns
        -------
        excess : Tensor of shape ()
        loss, steps
            From `fit`.
        """
        inputs = self.read(features, row_weights)
        loss, steps = self.fit(inputs, groups, weights)
        return self.excess(inputs, weights), loss, steps

    def fit(
        self, inputs: Tensor, groups: Tensor, weights: Tensor
    ) -> tuple[float, int] | tuple[Tensor, Tensor]:
        """Lower the heads' cross-entropy until it stops falling; return it and the steps taken.

        On a device these are tensors: nothing waits for it.

        Parameters
        ----------
        inputs : Tensor of shape (n, n_features)
            From `read`; no gradient reaches them.
        groups : Tensor of shape (n, n_attributes), int64
        weights : Tensor of shape (n, n_attributes)
        """
        inputs, groups, weights = self.memory.add(inputs, groups, weights)
        step: Callable[[], float]
        if self.solver == "adam":
            step = self._adam(inputs, groups, weights)
        else:
            system = self.system(inputs, weights)
            if inputs.device.type != "cpu":
                return self.newton(system, groups, inverses(system.grams))
            factors = [torch.linalg.cholesky(gram) for gram in system.grams]
            newton = self._newton(system, groups, [partial(_solve, f) for f in factors])
            step = lambda: newton().item()  # noqa: E731
        before = step()  # each step returns the loss that it started from
        value = before
        for taken in range(2, self.steps + 1):
            value = step()
            if value > before * (1 - self.tol):
                return value, taken
            before = value
        return value, self.steps

    @torch.no_grad()
    def system(self, inputs: Tensor, weights: Tensor) -> _System:
        """What all Newton steps on these rows share."""
        rows = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)  # one for the bias
        shares = weights / weights.sum(0).clamp_min(1e-12)
        scaled, grams = zip(*(curvature(rows, w, self.ridge) for w in shares.T), strict=True)
        return _System(rows, shares, scaled, grams)

    def newton(
        self, system: _System, groups: Tensor, inverse: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Newton steps without a look at the loss: those after the last change nothing.

        Parameters
        ----------
        system
            From `system`.
        groups : Tensor of shape (n, n_attributes), int64
        inverse : sequence of Tensor, one for each attribute
            Of ``system.grams``.

        Returns
        -------
        loss, steps : Tensor of shape ()
        """
        step = self._newton(system, groups, [inverted.matmul for inverted in inverse])
        value = before = step()
        going, taken = torch.ones_like(value, dtype=torch.bool), torch.ones_like(value)
        for _ in range(self.steps - 1):
            taken = taken + going
            value = torch.where(going, step(going), value)
            going = going & (value <= before * (1 - self.tol))
            before = value
        return value, taken

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
    def _newton(
        self, system: _System, groups: Tensor, divide: Sequence[Callable[[Tensor], Tensor]]
    ) -> Callable[..., Tensor]:
        inputs, shares = system.rows, system.shares
        labels, solvers = [], []
        for m, head in enumerate(self.linears):
            values = torch.arange(head.out_features, device=groups.device)
            labels.append((groups[:, m, None] == values).to(inputs.dtype))
            solvers.append(curvature_solver(system.scaled[m], self.ridge, divide[m]))

        @torch.no_grad()
        def step(going: Tensor | None = None) -> Tensor:
            loss = inputs.new_zeros(())
            for m, head in enumerate(self.linears):
                table = torch.cat([head.weight, head.bias[:, None]], dim=1).T
                log_p = (inputs @ table).log_softmax(1)
                loss -= ((log_p * labels[m]).sum(1) * shares[:, m]).sum()
                residual = (log_p.exp() - labels[m]) * shares[:, m, None]
                change = solvers[m](inputs.T @ residual + self.ridge * table)
                table = table - (change if going is None else torch.where(going, change, 0))
                head.weight.copy_(table[:-1].T)
                head.bias.copy_(table[-1])
            return loss

        return step


class _System(NamedTuple):
    """Rows with a one for the bias, their shares, and what `curvature` gives for each attribute."""

    rows: Tensor
    shares: Tensor
    scaled: Sequence[Tensor]
    grams: Sequence[Tensor]


def inverses(grams: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Inverses of positive definite matrices, without waiting for the GPU."""
    stacked = torch.stack(list(grams))
    factors = torch.linalg.cholesky_ex(stacked).L
    one = torch.eye(stacked.shape[-1], dtype=stacked.dtype, device=stacked.device)
    halves = torch.linalg.solve_triangular(factors, one.expand_as(stacked), upper=False)
    return (halves.mT @ halves).unbind()


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right, factor)

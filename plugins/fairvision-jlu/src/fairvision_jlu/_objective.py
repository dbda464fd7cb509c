"""One training step of joint learning and unlearning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fairvision.exceptions import CollapseWarning
from fairvision.nn import Batch, Batches, Objective, Rows, Step, cross_entropy
from fairvision_jlu._algorithm import decorrelating_weights
from fairvision_jlu._heads import SpuriousHeads

__all__ = ["JLUObjective"]


class JLUObjective(Objective):
    """Alternate (a) fitting the spurious heads with (b) learning features that confuse them.

    Parameters
    ----------
    make_heads : callable (n_features) -> SpuriousHeads
    alpha : float
        Weight of the confusion losses once fully on.
    warmup, ramp : float
        Shares of the training steps: without confusion, and rising linearly to `alpha`.
    decorrelate : bool
        Whether to weight rows in (a) and in the confusion so that target and
        attribute are independent.
    secondary : Rows or None
        Images with spurious labels of their own, in ``groups``; None reads them
        from the primary batch.
    batch_size : int
    train_transform : callable or None
        For `secondary`.
    """

    parts = ("primary_loss", "confusion_excess", "head_loss", "head_steps")

    def __init__(
        self,
        make_heads: Callable[[int], SpuriousHeads],
        *,
        alpha: float,
        warmup: float,
        ramp: float,
        decorrelate: bool,
        batch_size: int,
        secondary: Rows | None = None,
        train_transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.make_heads = make_heads
        self.alpha = alpha
        self.warmup = warmup
        self.ramp = ramp
        self.decorrelate = decorrelate
        self.batch_size = batch_size
        self.secondary = secondary
        self.train_transform = train_transform

    def start(self, module: nn.Module, rows: Rows, device: torch.device, max_epochs: int) -> None:
        self._devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=self._devices):
            self.heads = self.make_heads(int(module.head.in_features))  # type: ignore[arg-type, union-attr]
            seed = int(torch.randint(2**31, ()))
        self.heads.start(next(module.parameters()))
        self._weights = self._row_weights(rows).to(device, rows.dtype)
        self._generator = torch.Generator().manual_seed(seed)
        self._left = torch.empty(0, dtype=torch.int64)
        self._secondary = None
        if self.secondary is not None:
            self.secondary.process_group = rows.process_group
            self._secondary = self._endless_secondary(device)
        self.n_steps = max_epochs * -(-len(rows) // self.batch_size)
        self.n_done = 0
        self._rows: Rows | None = rows
        self._device = device

    def _row_weights(self, rows: Rows) -> Tensor:
        """Weight of each row in each attribute's losses, shape (n_rows, n_attributes)."""
        source = rows if self.secondary is None else self.secondary
        assert source.groups is not None
        if self.secondary is not None or not self.decorrelate:
            return torch.ones(source.groups.shape)
        columns = [decorrelating_weights(rows.targets, a, rows.weights) for a in source.groups.T]
        return torch.stack(columns, dim=1)

    def _endless_secondary(self, device: torch.device) -> Iterator[Batch]:
        """Secondary batches, pass after pass; `_left` are the rows that this one still has."""
        assert self.secondary is not None
        while True:
            if not len(self._left):
                self._left = torch.randperm(len(self.secondary), generator=self._generator)
            batches = Batches(
                self.secondary, self.batch_size, device, lambda: self._left, self.train_transform
            )
            for batch, _ in batches:
                self._left = self._left[len(batch.rows) :]
                yield batch

    def current_alpha(self) -> float:
        """Alpha of the step to come: 0 in the warm-up, then a ramp, then `alpha`."""
        done = self.n_done / max(self.n_steps, 1)
        if done < self.warmup:
            return 0.0
        if self.ramp == 0:
            return self.alpha
        return self.alpha * min((done - self.warmup) / self.ramp, 1.0)

    def step(self, module: nn.Module, batch: Batch) -> Step:
        features, logits = _features_and_logits(module, batch)
        primary = cross_entropy(logits, batch.targets, batch.weights)
        alpha = self.current_alpha()
        if self._secondary is not None:
            batch, features = self._secondary_features(module, self._secondary, bool(alpha))
        inputs = self.heads.read(features if alpha else features.detach(), batch.weights)
        weights = self._weights[batch.rows.to(self._weights.device)]
        if batch.weights is not None:
            weights = weights * batch.weights[:, None]
        assert batch.groups is not None
        head_loss, head_steps = self.heads.fit(inputs, batch.groups, weights)
        excess = self.heads.excess(inputs, weights)
        self.n_done += 1
        return Step(
            primary + alpha * excess if alpha else primary,
            logits,
            {
                "primary_loss": primary.item(),
                "confusion_excess": excess.item(),
                "head_loss": head_loss,
                "head_steps": float(head_steps),
            },
        )

    def _secondary_features(
        self, module: nn.Module, batches: Iterator[Batch], learn: bool
    ) -> tuple[Batch, Tensor]:
        """The next batch that carries spurious labels, and its features."""
        if learn:
            batch = next(batches)
            return batch, module.features(batch.images)  # type: ignore[operator]
        # Without confusion the heads look on: running statistics and the random stream stay
        # as plain training has them, so that alpha = 0 gives the same bits.
        with torch.random.fork_rng(devices=self._devices), torch.no_grad(), _evaluating(module):
            batch = next(batches)
            return batch, module.features(batch.images)  # type: ignore[operator]

    def state_dict(self) -> dict[str, Any]:
        return {
            "heads": self.heads.state_dict(),
            "n_done": self.n_done,
            "left": self._left,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.heads.load_state_dict(state["heads"])
        self.n_done, self._left = state["n_done"], state["left"]
        self._generator.set_state(state["generator"])

    def finish(self, module: nn.Module) -> None:
        rows, self._rows = self._rows, None
        self._secondary = self.secondary = None
        del self._generator, self._left  # of training, and not every torch pickles a generator
        self.heads.memory.clear()
        if self.alpha and self.warmup < 1 and rows is not None:
            self._warn_if_collapsed(module, rows)

    def _warn_if_collapsed(self, module: nn.Module, rows: Rows) -> None:
        """Ask the model as its user gets it: running statistics can fail where batches do not."""
        size = max(self.batch_size, 256)
        some = torch.linspace(0, len(rows) - 1, min(len(rows), 2048)).long()
        with torch.no_grad(), _evaluating(module):
            images = (rows.batch(part, self._device).images for part in some.split(size))
            guesses = torch.cat([module(batch).argmax(1) for batch in images])
        share = float(torch.bincount(guesses).max()) / len(some)
        largest = float(torch.bincount(rows.targets[some]).max()) / len(some)
        if share > max(0.99, largest + 0.05):
            warnings.warn(
                f"The trained model puts {share:.1%} of the training rows into one class, which "
                f"has {largest:.1%} of them at most: the features have collapsed, or training was "
                "too short. Lower alpha, lengthen warmup and ramp, keep decorrelate=True, or pass "
                "spurious_data in which the attribute goes with no class.",
                CollapseWarning,
                stacklevel=2,
            )


def _features_and_logits(module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Both in one pass, and the logits just as the module's own `forward` gives them."""
    seen: list[Tensor] = []
    handle = module.head.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _, inputs: seen.append(inputs[0])
    )
    try:
        logits = module(batch.images)
    finally:
        handle.remove()
    # The hook saw those of this process's images only.
    return batch.process_group.all_gather(seen[-1].flatten(1)), logits


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    module.eval()
    try:
        yield
    finally:
        module.train()

"""One training step of joint learning and unlearning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fairvision.base import Groups, check_groups, check_numbers, is_images
from fairvision.exceptions import CollapseWarning, InputError
from fairvision.nn import (
    Batch,
    Batches,
    FeatureClassifier,
    Objective,
    Rows,
    Step,
    TrainingContext,
    check_inputs,
    cross_entropy,
    evaluation_mode,
    features_and_logits,
    to_device,
)
from fairvision_jlu._algorithm import decorrelating_weights
from fairvision_jlu._graphs import HeadGraphs
from fairvision_jlu._heads import SpuriousHeads

__all__ = ["JLUObjective"]

#: Units of the layer that is put behind features which are not trained.
_N_HIDDEN = 128


@dataclass(eq=False, repr=False)
class JLUObjective(Objective):
    """Alternate (a) fitting the spurious heads with (b) learning features that confuse them.

    Parameters
    ----------
    alpha, warmup, ramp, head_solver, head_steps, head_tol, head_memory, head_ridge, head_lr, \
standardize, decorrelate, use_spurious_data
        As in `JLUClassifier`.

    Attributes
    ----------
    spurious_data : tuple (X, sensitive_features) or None
        Other images that carry the spurious labels. None takes the training rows' groups.
    """

    logged: ClassVar = ("primary_loss", "confusion_excess", "head_loss", "head_steps")

    alpha: float = 1.0
    warmup: float = 0.25
    ramp: float = 0.25
    head_solver: str = "newton"
    head_steps: int = 4
    head_tol: float = 0.01
    head_memory: int = 1
    head_ridge: float = 0.01
    head_lr: float = 0.01
    standardize: bool = True
    decorrelate: bool = True
    use_spurious_data: bool = True
    spurious_data: Any = field(default=None, init=False)
    secondary: Rows | None = field(default=None, init=False)

    @property
    def needs_groups(self) -> bool:  # type: ignore[override]
        """Whether the training rows carry the spurious labels."""
        return self.spurious_data is None or not self.use_spurious_data

    def check(self, context: TrainingContext) -> None:
        """Check the parameters, and read the spurious data."""
        check_numbers(self, "alpha", "warmup", "ramp", "head_tol")
        for name in ("head_ridge", "head_lr"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass more than 0.")
        if self.warmup + self.ramp > 1:
            raise InputError(
                f"warmup={self.warmup} and ramp={self.ramp} are shares of the training steps; "
                "together they must not exceed 1."
            )
        check_numbers(self, "head_steps", "head_memory", low=1, whole=True)
        if self.head_solver not in ("newton", "adam"):
            raise InputError(
                f"head_solver is {self.head_solver!r}; pass 'newton', or 'adam' as published."
            )
        if self.needs_groups:
            assert context.groups is not None  # needs_groups
            self._spurious: Groups = context.groups
        else:
            self._read_spurious_data(context)

    def _read_spurious_data(self, context: TrainingContext) -> None:
        if not isinstance(self.spurious_data, (tuple, list)) or len(self.spurious_data) != 2:
            raise InputError(
                f"spurious_data is a {type(self.spurious_data).__name__}; pass a pair "
                "(X, sensitive_features)."
            )
        X, labels = self.spurious_data
        if is_images(X):
            backbone, shape = context.params["backbone"], context.input_shape
            X = check_inputs(X, backbone=backbone, fitted_shape=shape)
        else:
            X = np.asarray(X)
        if tuple(X.shape[1:]) != context.input_shape:
            raise InputError(
                f"spurious_data has rows of shape {tuple(X.shape[1:])}; X has rows of shape "
                f"{context.input_shape}. Pass the same columns."
            )
        groups = check_groups(labels, len(X), required_by="spurious_data", min_groups=2)
        assert groups is not None  # None raises where groups are required
        no_targets = np.zeros(len(X), dtype=np.int64)
        self._spurious, self.spurious_data = groups, None
        self.secondary = Rows(X, no_targets, groups.codes, dtype=context.dtype)

    def make_module(self, build: Callable[[], nn.Module], context: TrainingContext) -> nn.Module:
        """The backbone; with a linear layer if nothing in front of its head is trained.

        Features that stay as they are cannot unlearn anything.
        """
        module = build()
        head = set(module.head.parameters())  # type: ignore[union-attr]
        if not self.alpha or any(p.requires_grad for p in module.parameters() if p not in head):
            return module
        if not isinstance(module, FeatureClassifier):
            raise InputError(
                f"Only the head of the {type(module).__name__} is trained, so its features cannot "
                "unlearn anything. Pass trainable='last:1' or more, or alpha=0."
            )
        module.add_hidden(_N_HIDDEN)
        return module

    def start(self, module: nn.Module, rows: Rows, context: TrainingContext) -> None:
        """Make the heads and the rows' weights."""
        device = context.device
        self._devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=self._devices):
            self.heads = SpuriousHeads(
                int(module.head.in_features),  # type: ignore[arg-type, union-attr]
                tuple(len(values) for values in self._spurious.categories),
                solver=self.head_solver,
                steps=self.head_steps,
                tol=self.head_tol,
                lr=self.head_lr,
                ridge=self.head_ridge,
                memory=self.head_memory,
                standardized=self.standardize,
            )
            seed = int(torch.randint(2**31, ()))
        self.heads.start(next(module.parameters()))
        self._weights = self._row_weights(rows).to(device, rows.dtype)
        self._generator = torch.Generator().manual_seed(seed)
        self._left = torch.empty(0, dtype=torch.int64)
        self._secondary = None
        if self.secondary is not None:
            self.secondary.process_group = rows.process_group
            self.secondary.keep_on(device)
            self._secondary = self._endless_secondary(context)
        # While a graph is captured, no other thread may use the device to read images.
        alone = (rows if self.secondary is None else self.secondary).is_kept and rows.is_kept
        self._learn = HeadGraphs(self.heads).learn if alone else self.heads.learn
        self.n_steps = context.n_steps(len(rows))
        self.n_done = 0
        self._rows, self._context = rows, context

    def _row_weights(self, rows: Rows) -> Tensor:
        """Weight of each row in each attribute's losses, shape (n_rows, n_attributes)."""
        source = rows if self.secondary is None else self.secondary
        assert source.groups is not None
        if self.secondary is not None or not self.decorrelate:
            return torch.ones(source.groups.shape)
        columns = [decorrelating_weights(rows.targets, a, rows.weights) for a in source.groups.T]
        return torch.stack(columns, dim=1)

    def _endless_secondary(self, context: TrainingContext) -> Iterator[Batch]:
        """Secondary batches, pass after pass; `_left` are the rows that this one still has."""
        assert self.secondary is not None
        while True:
            if not len(self._left):
                self._left = torch.randperm(len(self.secondary), generator=self._generator)
            batches = Batches(
                self.secondary,
                context.batch_size,
                context.device,
                lambda: self._left,
                context.train_transform,
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
        features, logits = features_and_logits(module, batch)
        primary = cross_entropy(logits, batch.targets, batch.weights)
        alpha = self.current_alpha()
        if self._secondary is not None:
            batch, features = self._secondary_features(module, self._secondary, bool(alpha))
        weights = self._weights[to_device(batch.rows, self._weights.device)]
        if batch.weights is not None:
            weights = weights * batch.weights[:, None]
        assert batch.groups is not None
        excess, head_loss, head_steps = self._learn(
            features if alpha else features.detach(), batch.groups, weights, batch.weights
        )
        self.n_done += 1
        return Step(
            primary + alpha * excess if alpha else primary,
            logits,
            {
                "primary_loss": primary,
                "confusion_excess": excess.detach().clone(),
                "head_loss": head_loss,
                "head_steps": head_steps,
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
        with torch.random.fork_rng(devices=self._devices), torch.no_grad(), evaluation_mode(module):
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

    def fitted_attributes(self, module: nn.Module, rows: Rows) -> dict[str, Any]:
        """The heads and their labels; warns if the features collapsed."""
        if self.alpha and self.warmup < 1:
            self._warn_if_collapsed(module, self._rows)
        # These are used in training only, and some torch versions cannot pickle a generator.
        del self._generator, self._left, self._rows, self._context
        self._secondary = self.secondary = None
        self._learn = self.heads.learn
        self.heads.memory.clear()
        return {
            "spurious_heads_": self.heads.modules,
            "sensitive_names_": self._spurious.names,
            "sensitive_categories_": self._spurious.categories,
        }

    def _warn_if_collapsed(self, module: nn.Module, rows: Rows) -> None:
        """Check the model in evaluation mode: running statistics can fail where batches do not."""
        size = max(self._context.batch_size, 256)
        some = torch.linspace(0, len(rows) - 1, min(len(rows), 2048)).long()
        with torch.no_grad(), evaluation_mode(module):
            images = (rows.batch(chunk, self._context.device).images for chunk in some.split(size))
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

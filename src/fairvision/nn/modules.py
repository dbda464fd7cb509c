"""Modules with `.features(x)` and `.head`, which every estimator here uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn.rows import Batch

__all__ = [
    "FeatureClassifier",
    "PretrainedClassifier",
    "evaluation_mode",
    "features_and_logits",
    "last_linear",
    "with_features",
]


class FeatureClassifier(nn.Module):
    """A trunk that computes features, and a linear head that computes logits.

    Parameters
    ----------
    trunk : nn.Module
        Maps images to features of any shape after the first dimension.
    n_features : int
        Features per image once flattened.
    n_classes : int
    mean, std : sequence of float, one per channel or one for all
        The trunk gets ``(images - mean) / std``, for images in 0..1.
    n_channels : int or None
        Channels that the trunk takes; a grey image is repeated to fill them.
    """

    # Buffers, whose type torch does not declare.
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        trunk: nn.Module,
        n_features: int,
        n_classes: int,
        *,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        n_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.hidden: nn.Module | None = None
        self.head = nn.Linear(n_features, n_classes)
        self.n_channels = n_channels
        self.normalized = any(mean) or any(value != 1 for value in std)
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1), persistent=False)

    def features(self, x: Tensor) -> Tensor:
        """Images in 0..1 to features of shape (n, n_features)."""
        if self.n_channels is not None and x.shape[1] != self.n_channels:
            x = x.expand(-1, self.n_channels, -1, -1)
        if self.normalized:
            x = (x - self.mean) / self.std
        h = self.trunk(x).flatten(1)
        return h if self.hidden is None else self.hidden(h)

    def add_hidden(self, n_hidden: int) -> None:
        """Put a layer of `n_hidden` units and a new head behind the trunk.

        For methods that change features, where the trunk has nothing to train.
        """
        n_features, n_classes = self.head.in_features, self.head.out_features
        self.hidden = nn.Sequential(nn.Linear(n_features, n_hidden), nn.ReLU())
        self.head = nn.Linear(n_hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class PretrainedClassifier(nn.Module):
    """A wrapper that gives any model `.features(x)` and `.head`; the model stays as it is.

    The features are the input of the model's last linear layer, read with a hook.
    `forward` is the model's own.

    Parameters
    ----------
    model : nn.Module
    head : str
        Name of its last linear layer in ``model.named_modules()``.
    """

    def __init__(self, model: nn.Module, head: str) -> None:
        super().__init__()
        self.model = model
        self.head_name = head

    @property
    def head(self) -> nn.Linear:
        return cast(nn.Linear, self.model.get_submodule(self.head_name))

    def features(self, x: Tensor) -> Tensor:
        """Images to what enters the last linear layer, shape (n, n_features)."""
        return _head_input(self.head, self.model, x)[0]

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x)
        # x.shape[0], not len(x), which an exporter would make a constant.
        if logits.numel() == x.shape[0]:  # one logit: the positive class against 0
            logits = logits.reshape(-1, 1)
            return torch.cat([torch.zeros_like(logits), logits], dim=1)
        return logits


def _head_input(head: nn.Module, model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What enters the head, shape (n, n_features), and what the model gives."""
    inputs: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        outputs = model(x)
    finally:
        handle.remove()
    return inputs[-1].flatten(1), outputs


def features_and_logits(module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Both in one pass, the logits just as the module's own `forward` gives them.

    Parameters
    ----------
    module : nn.Module
        With a linear ``head``.
    batch : Batch

    Returns
    -------
    features : Tensor of shape (n, n_features)
        What enters the head.
    logits : Tensor of shape (n, n_classes)
    """
    features, logits = _head_input(cast(nn.Module, module.head), module, batch.images)
    # The hook saw this process's images only; the logits are those of all processes already.
    return batch.process_group.all_gather(features), logits


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Set a module to evaluation mode in this block.

    Afterwards every submodule has its own mode again, so that a frozen one stays frozen.
    Gradients are not touched: combine it with `torch.no_grad` where none are needed.

    Parameters
    ----------
    module : nn.Module
    """
    training = [(submodule, submodule.training) for submodule in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for submodule, mode in training:
            submodule.training = mode


def with_features(model: nn.Module) -> nn.Module:
    """The model, wrapped in `PretrainedClassifier` unless it has `.features` and `.head`.

    `.features` must be a method: a *submodule* of that name, as many torchvision models
    have, may not compute the input of the head.
    """
    features, head = getattr(model, "features", None), getattr(model, "head", None)
    own = callable(features) and not isinstance(features, nn.Module)
    if own and isinstance(head, nn.Linear):
        return model
    return PretrainedClassifier(model, last_linear(model)[0])


def last_linear(model: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer and its name."""
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise InputError(
            f"{type(model).__name__} has no linear layer, so no features to read. Wrap it in a "
            "module with .features(x) and .head and pass that."
        )
    return linear[-1]

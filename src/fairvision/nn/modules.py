"""Modules with `.features(x)` and `.head`, which every estimator here uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn.rows import Batch

__all__ = [
    "DeterministicAvgPool2d",
    "FeatureClassifier",
    "PretrainedClassifier",
    "evaluation_mode",
    "features_and_logits",
    "last_linear",
    "pick_output",
]


class DeterministicAvgPool2d(nn.AdaptiveAvgPool2d):
    """`torch.nn.AdaptiveAvgPool2d` whose gradient has the same bits each time on CUDA, too.

    There, torch's own adds what overlapping windows share in any order.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_cuda:
            return super().forward(x)
        size: Any = self.output_size
        height, width = (size, size) if isinstance(size, int) else size
        n_rows, n_columns = x.shape[-2:]
        if n_rows % height == 0 and n_columns % width == 0:
            return nn.functional.avg_pool2d(x, (n_rows // height, n_columns // width))
        return _window_means(n_rows, height, x) @ x @ _window_means(n_columns, width, x).T


def _window_means(n: int, n_windows: int, like: Tensor) -> Tensor:
    """The matrix of shape (n_windows, n) that takes the mean of each window of adaptive pooling."""
    window = torch.arange(n_windows, device=like.device)[:, None]
    place = torch.arange(n, device=like.device)
    start, end = window * n // n_windows, -(-(window + 1) * n // n_windows)
    return ((place >= start) & (place < end)).to(like.dtype) / (end - start)


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
        h = pick_output(self.trunk(x), None).flatten(1)
        return h if self.hidden is None else self.hidden(h)

    def add_hidden(self, n_hidden: int) -> None:
        """Put a linear layer of `n_hidden` units and a new head behind the trunk.

        For methods that change features, where the trunk has nothing to train. With a ReLU
        behind it, plain training of a few hundred rows fails the smallest cell more often.
        """
        n_features, n_classes = self.head.in_features, self.head.out_features
        self.hidden = nn.Linear(n_features, n_hidden)
        self.head = nn.Linear(n_hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class PretrainedClassifier(nn.Module):
    """A wrapper that gives any model `.features(x)` and `.head`; the model stays as it is.

    The features are the input of the model's last linear layer, read with a hook.
    `forward` gives the model's logits, one column a class.

    Parameters
    ----------
    model : nn.Module
    head : str or None
        Name of its last linear layer in ``model.named_modules()``. A last convolution has
        features, averaged over the image, but does not serve as a head; None has neither.
    output : str, int or None, default=None
        Which of its outputs to take, where the model gives a dict, a dataclass or a tuple.
    gives : {"logits", "probabilities"}, default="logits"
        What the model gives; the logarithm of probabilities serves as logits.
    """

    def __init__(
        self,
        model: nn.Module,
        head: str | None,
        *,
        output: str | int | None = None,
        gives: str = "logits",
    ) -> None:
        super().__init__()
        self.model = model
        self.head_name = head
        self.output = output
        self.gives = gives

    @property
    def head(self) -> nn.Linear:
        layer = self._last_layer()
        if not isinstance(layer, nn.Linear):
            raise InputError(
                f"{type(self.model).__name__} ends in {type(layer).__name__} "
                f"{self.head_name!r}, and this needs a last layer that is linear. Predictions, "
                "audits and thresholds work without one."
            )
        return layer

    def _last_layer(self) -> nn.Module:
        if self.head_name is None:
            raise InputError(
                f"{type(self.model).__name__} has no linear layer that gives its outputs, and "
                "therefore no features. Wrap it in a module with .features(x) and a linear "
                ".head. Predictions, audits and thresholds work without one."
            )
        return self.model.get_submodule(self.head_name)

    def features(self, x: Tensor) -> Tensor:
        """Images to what enters the last layer, shape (n, n_features)."""
        return _head_input(self._last_layer(), self.model, x)[0]

    def forward(self, x: Tensor) -> Tensor:
        scores = pick_output(self.model(x), self.output)
        # x.shape[0], not len(x), which an exporter would make a constant.
        one = scores.numel() == x.shape[0]  # one score: of the second of two classes
        scores = scores.reshape(-1, 1) if one else scores.flatten(1)
        if self.gives == "probabilities":
            scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
            scores = torch.cat([1 - scores, scores], dim=1) if one else scores
            return scores.clamp_min(torch.finfo(scores.dtype).tiny).log()
        return torch.cat([torch.zeros_like(scores), scores], dim=1) if one else scores


def pick_output(outputs: Any, name: str | int | None) -> Tensor:
    """The tensor of scores among what a model gives.

    Raises
    ------
    InputError
        If there are several, and `name` is none of them.
    """
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping):
        choices: dict[Any, Any] = dict(outputs)
    elif isinstance(outputs, (tuple, list)):
        choices = {**dict(enumerate(outputs)), **getattr(outputs, "_asdict", dict)()}
    else:
        choices = dict(getattr(outputs, "__dict__", {}))
    tensors = {key: value for key, value in choices.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(
            f"The net returns a {type(outputs).__name__} without a tensor of scores. Wrap it in a "
            "module that returns a row of logits for each image."
        )
    if name not in tensors:
        raise InputError(
            f"The net gives a {type(outputs).__name__}, and output is {name!r}. Pass the logits to "
            f"TorchClassifier.from_module(net, classes=..., output=...): one of {list(tensors)}."
        )
    return tensors[name]


def _head_input(head: nn.Module, model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What enters the head, shape (n, n_features), and what the model gives."""
    inputs: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        outputs = model(x)
    finally:
        handle.remove()
    features = inputs[-1]
    if isinstance(head, nn.Conv2d):
        features = features.mean((2, 3))
    return features.flatten(1), outputs


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
    features = features.to(logits.dtype)  # under autocast the hook saw half precision
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


def last_linear(model: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer and its name."""
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise InputError(
            f"{type(model).__name__} has no linear layer, so no features to read. Wrap it in a "
            "module with .features(x) and .head and pass that."
        )
    return linear[-1]

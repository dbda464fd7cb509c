"""The linear probe: a head on features that were computed before."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairvision.base import are_maps, check_images, take
from fairvision.nn.modules import FeatureClassifier, evaluation_mode
from fairvision.nn.rows import Rows, scale

__all__ = ["LINEAR", "Standardize", "check_inputs", "linear", "set_statistics", "start_at_shares"]

#: The backbone's name.
LINEAR = "linear"
#: Rows that the statistics are computed from at a time.
_ROWS = 1024


class Standardize(nn.Module):
    """Features minus their mean, divided by their standard deviation.

    Both are buffers, taken from the training rows by `set_statistics`: they are saved and
    exported with the module. A feature that never varies becomes 0.

    Parameters
    ----------
    n_features : int
    """

    mean: Tensor
    std: Tensor
    n_rows: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("std", torch.ones(n_features))
        self.register_buffer("n_rows", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def update(self, x: Tensor) -> None:
        """Add rows to the statistics (Chan, Golub, LeVeque 1979: no sums of large squares)."""
        n, before = len(x), int(self.n_rows)
        total = n + before
        shift = x.mean(0) - self.mean
        variance = before * self.std.square() + n * x.var(0, correction=0)
        variance = variance / total + shift.square() * (before * n / total**2)
        self.mean += shift * (n / total)
        self.std.copy_(variance.sqrt())
        self.n_rows += n

    def finish(self) -> None:
        """Divide by 1 where all that varies is rounding."""
        rounding = 8 * torch.finfo(self.std.dtype).eps * self.mean.abs()
        self.std[self.std <= rounding] = 1.0


def linear(input_shape: tuple[int, ...]) -> nn.Module:
    """The features standardised; maps are averaged over height and width before."""
    layers: list[nn.Module] = [Standardize(input_shape[0])]
    if len(input_shape) == 3:
        layers = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers]
    return nn.Sequential(*layers)


def check_inputs(X: Any, *, backbone: Any, fitted_shape: tuple[int, ...] | None = None) -> Any:
    """Check images, or the maps of an inner layer, which may have any channels and values.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_channels, height, width)
    backbone : str, nn.Module or callable
        ``"linear"`` takes everything as maps.
    fitted_shape : tuple or None
        As in `fairvision.base.check_images`.
    """
    linear = isinstance(backbone, str) and backbone == LINEAR
    return check_images(X, fitted_shape=fitted_shape, maps=linear or are_maps(X))


def set_statistics(module: nn.Module, rows: Rows, device: torch.device | str) -> bool:
    """Give each new `Standardize` of a module the mean and deviation of its inputs.

    Parameters
    ----------
    module : nn.Module
        With ``features(x)``, on the device.
    rows : Rows
        The training rows.
    device : torch device

    Returns
    -------
    bool
        Whether there was one.
    """
    layers = [m for m in module.modules() if isinstance(m, Standardize) and not m.n_rows]
    if not layers:
        return False
    with ExitStack() as stack, torch.no_grad(), evaluation_mode(module):
        for layer in layers:
            hook = layer.register_forward_pre_hook(lambda layer, args: layer.update(args[0]))
            stack.enter_context(hook)
        for chunk in np.array_split(np.arange(len(rows)), range(_ROWS, len(rows), _ROWS)):
            module.features(scale(take(rows.images, chunk), device, rows.dtype))  # type: ignore[operator]
    for layer in layers:
        layer.finish()
    return True


@torch.no_grad()
def start_at_shares(module: nn.Module, rows: Rows) -> None:
    """Let the head of a new probe begin with the shares of the classes.

    Of features with mean 0 only the head's bias can tell how rare a class is, and it moves by a
    learning rate a step. Heads of somebody else's net stay as they are.

    Parameters
    ----------
    module : nn.Module
        With ``features(x)`` and ``head``, on the device.
    rows : Rows
        The training rows, drawn as often as they stand there.
    """
    head = module.head
    is_new_head = any(isinstance(m, FeatureClassifier) and m.head is head for m in module.modules())
    if not is_new_head or not isinstance(head, nn.Linear) or head.bias is None:
        return
    shares = np.bincount(rows.targets, rows.weights)
    if len(shares) > head.out_features:
        return  # not an output for each class
    shares = np.pad(shares.astype(np.float64), (0, head.out_features - len(shares)))
    # A class without rows may get some later: it counts as the rarest of the others.
    logits = np.log(np.where(shares > 0, shares, shares[shares > 0].min()))
    head.bias.add_(torch.from_numpy(logits - logits.mean()).to(head.bias))

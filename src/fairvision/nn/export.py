"""A fitted estimator as a plain `nn.Module`."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from fairvision.base import Resampled
from fairvision.exceptions import InputError
from fairvision.nn.device import as_double

__all__ = ["Probabilities", "as_module", "input_shape_of"]

# Attributes in which an estimator keeps the one that takes the images.
_INNER = ("classifier_", "debiased_", "estimator_")


class Probabilities(nn.Module):
    """A module that maps images to the probabilities of `predict_proba`.

    Parameters
    ----------
    module : nn.Module
        Maps images in 0..1 to logits.
    threshold : float or None, default=None
        For two classes: rescale the odds so that this probability of the second
        class becomes 1/2. The likelier class is then what the threshold predicts.
    """

    def __init__(self, module: nn.Module, *, threshold: float | None = None) -> None:
        super().__init__()
        self.module = module
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities, float64 of shape (n, n_classes)."""
        # In double precision: rows sum to 1, and extreme scores keep their order.
        probabilities = as_double(self.module(images)).softmax(1)
        if self.threshold is None:
            return probabilities
        score, t = probabilities[:, 1], self.threshold
        above, below = score * (1 - t), (1 - score) * t
        # If threshold and score are both 0 or both 1, 0 / 0 counts as below.
        positive = above / (above + below).clamp_min(torch.finfo(torch.float64).tiny)
        return torch.stack([1 - positive, positive], dim=1)


class Chain(nn.Sequential):
    """Modules one after another, each in its own precision."""

    def forward(self, images: Tensor) -> Tensor:
        for module in self:
            weight = next(module.parameters(), images)
            images = module(images.to(weight.dtype))
        return images


def as_module(estimator: Any) -> nn.Module:
    """The module that computes the probabilities of an estimator, including its threshold.

    Parameters
    ----------
    estimator : estimator
        Fitted: a `TorchClassifier` or a method built on it, alone, inside
        `FrozenEstimator` or `Resampled`, or in a `Pipeline` behind a `FeatureExtractor`. Your
        own class can have a method ``__fairvision_module__(self)`` that returns the module.

    Returns
    -------
    module : nn.Module
        Maps images in 0..1, on its device, to probabilities of shape (n, n_classes);
        `predict` returns the likeliest class. It shares its weights with the estimator.

    Raises
    ------
    InputError
        If no single module computes the predictions of the estimator.
    """
    while isinstance(estimator, (FrozenEstimator, Resampled)):
        frozen = isinstance(estimator, FrozenEstimator)
        estimator = estimator.estimator if frozen else estimator.classifier_
    if isinstance(estimator, Pipeline):
        return Chain(*(as_module(step) for _, step in estimator.steps)).eval()
    method = getattr(type(estimator), "__fairvision_module__", None)
    if method is None:
        raise InputError(
            f"{type(estimator).__name__} has no __fairvision_module__. Pass the inner "
            "TorchClassifier, or the method built on it."
        )
    return method(estimator).eval()


def input_shape_of(estimator: Any) -> tuple[int, ...] | None:
    """The shape of one row that a fitted estimator takes; None if nothing inside knows it.

    Parameters
    ----------
    estimator : estimator
        Fitted, also inside others or in a `Pipeline`.
    """
    while estimator is not None:
        if (shape := getattr(estimator, "input_shape_", None)) is not None:
            return tuple(map(int, shape))
        inner = [getattr(estimator, name) for name in _INNER if hasattr(estimator, name)]
        if isinstance(estimator, Pipeline):
            inner = [estimator[0]]
        elif isinstance(estimator, FrozenEstimator):
            inner = [estimator.estimator]
        estimator = next(iter(inner), None)
    return None

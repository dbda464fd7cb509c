"""An estimator as a plain module, to be used and deployed without it."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.frozen import FrozenEstimator
from torch import Tensor, nn

from fairvision.base import Resampled
from fairvision.exceptions import InputError

__all__ = ["Probabilities", "as_module"]


class Probabilities(nn.Module):
    """Images to probabilities, as `predict_proba` gives them.

    Parameters
    ----------
    module : nn.Module
        Images in 0..1 to logits.
    threshold : float or None, default=None
        For two classes: shift the odds so that this probability of the second
        becomes 1/2, and the likelier class is the one beyond the threshold.
    """

    def __init__(self, module: nn.Module, *, threshold: float | None = None) -> None:
        super().__init__()
        self.module = module
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities, float64 of shape (n, n_classes)."""
        # In double precision: rows sum to 1, and extreme scores keep their order.
        probabilities = self.module(images).double().softmax(1)
        if self.threshold is None:
            return probabilities
        score, t = probabilities[:, 1], self.threshold
        above, below = score * (1 - t), (1 - score) * t
        # A threshold of 0 or 1 and a score of the same: 0 / 0 is below it.
        positive = above / (above + below).clamp_min(torch.finfo(torch.float64).tiny)
        return torch.stack([1 - positive, positive], dim=1)


def as_module(estimator: Any) -> nn.Module:
    """The module that gives an estimator's probabilities, its threshold included.

    Parameters
    ----------
    estimator : estimator
        Fitted: a `TorchClassifier` or what is built on it, alone or in
        `FrozenEstimator` or `Resampled`. A class of your own says so by a method
        ``__fairvision_module__(self)`` that returns the module.

    Returns
    -------
    module : nn.Module
        Images in 0..1, on its device, to probabilities of shape (n, n_classes); the
        likeliest is what `predict` gives. It shares its weights with the estimator.

    Raises
    ------
    InputError
        If the estimator's prediction is no single module.
    """
    while isinstance(estimator, (FrozenEstimator, Resampled)):
        frozen = isinstance(estimator, FrozenEstimator)
        estimator = estimator.estimator if frozen else estimator.classifier_
    own = getattr(type(estimator), "__fairvision_module__", None)
    if own is None:
        raise InputError(
            f"{type(estimator).__name__} does not say which module gives its probabilities. Pass "
            "the TorchClassifier, or the method built on it, that is inside."
        )
    return own(estimator).eval()

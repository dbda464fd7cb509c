"""The net inside a fitted estimator, and the same estimator with another net."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from torch import nn

from fairvision.exceptions import InputError
from fairvision.nn import ProcessGroup, process_group_of

__all__ = ["FittedNet", "find_net"]

# Attributes in which wrappers that pass X on unchanged keep their fitted estimator.
_FITTED = ("debiased_", "best_estimator_", "classifier_", "final_estimator_", "estimator_")


@dataclass(frozen=True, eq=False)
class FittedNet:
    """A fitted estimator that holds a torch net.

    Attributes
    ----------
    outer : estimator
        As the user gave it; never changed.
    holder : estimator
        `outer`, or the estimator inside it that has the net as ``module_``.
    threshold : float
        `outer` predicts the second class above this score of the net.
    """

    outer: Any
    holder: Any
    threshold: float = 0.5

    @property
    def module(self) -> nn.Module:
        return self.holder.module_

    @property
    def classes(self) -> NDArray[Any]:
        return np.asarray(self.holder.classes_)

    @property
    def process_group(self) -> ProcessGroup:
        """The processes that the holder trains in."""
        return process_group_of(getattr(self.holder, "accelerator", None))

    def prepare(self, X: Any) -> Any:
        """X as the holder receives it: after the transformers of every Pipeline around it."""
        step = self.outer
        while step is not self.holder:
            if isinstance(step, Pipeline):
                X = step[:-1].transform(X) if len(step) > 1 else X
            step = _inner(step)
        return X

    def with_module(self, module: nn.Module) -> Any:
        """A copy of `outer` that computes with another net."""
        return _with_module(self.outer, module)


def find_net(estimator: Any, owner: str) -> FittedNet:
    """Find the net in a fitted estimator.

    Looks through `FrozenEstimator`, the last step of a `Pipeline`, `Resampled`
    and searches, for an estimator with ``module_`` and ``classes_``.

    Raises
    ------
    InputError
        If there is none.
    """
    step, names, threshold = estimator, [], None
    while step is not None:
        if threshold is None:  # the outermost decides
            threshold = getattr(step, "threshold_", getattr(step, "best_threshold_", None))
        if _holds_a_net(step):
            return FittedNet(estimator, step, 0.5 if threshold is None else float(threshold))
        names.append(type(step).__name__)
        step = _inner(step)
    raise InputError(
        f"{owner} needs a fitted torch net, and there is none in {' > '.join(names)}. Pass a "
        "TorchClassifier or a method built on it; for a bare module, "
        "FrozenEstimator(TorchClassifier.from_module(module, classes=...))."
    )


def _holds_a_net(step: Any) -> bool:
    """Whether the net is the step's own: a debiased one stands in the estimator inside."""
    has_net = isinstance(getattr(step, "module_", None), nn.Module) and hasattr(step, "classes_")
    return has_net and not hasattr(step, "debiased_")


def _inner(step: Any) -> Any:
    """The estimator inside a wrapper, None if `step` is no wrapper."""
    if isinstance(step, FrozenEstimator):
        return step.estimator
    if isinstance(step, Pipeline):
        return step[-1]
    return next((getattr(step, name) for name in _FITTED if hasattr(step, name)), None)


def _with_module(step: Any, module: nn.Module) -> Any:
    if isinstance(step, FrozenEstimator):
        return _with_module(step.estimator, module)
    rebuilt = copy.copy(step)
    if isinstance(step, Pipeline):
        name, last = step.steps[-1]
        rebuilt.steps = [*step.steps[:-1], (name, _with_module(last, module))]
    elif _holds_a_net(step):
        rebuilt.module_ = module
        vars(rebuilt).pop("net_", None)  # it holds the old weights
    else:
        name = next(name for name in _FITTED if hasattr(step, name))
        setattr(rebuilt, name, _with_module(getattr(step, name), module))
        if name == "debiased_":  # an earlier method's threshold would shift the scores
            rebuilt.module_, rebuilt.threshold_ = module, 0.5
    return rebuilt

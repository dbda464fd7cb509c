"""The net inside a fitted estimator, and the same estimator around another net."""

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

__all__ = ["Inner", "find_net"]

# Wrappers that hand X on unchanged, and where they keep what they fitted.
_KEEPS = ("best_estimator_", "classifier_", "final_estimator_", "estimator_")


@dataclass(frozen=True, eq=False)
class Inner:
    """A fitted estimator with a torch net somewhere inside.

    Attributes
    ----------
    outer : estimator
        As it was found; never changed.
    holder : estimator
        The one within that has the net as ``module_``.
    """

    outer: Any
    holder: Any

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
        """X as the holder gets it: through the transformers of every Pipeline on the way."""
        step = self.outer
        while step is not self.holder:
            if isinstance(step, Pipeline):
                X = step[:-1].transform(X) if len(step) > 1 else X
            step = _into(step)
        return X

    def around(self, module: nn.Module) -> Any:
        """A copy of the outer estimator that computes with another net."""
        return _around(self.outer, module)


def find_net(estimator: Any, owner: str) -> Inner:
    """Find the net in a fitted estimator.

    Looks through `FrozenEstimator`, the last step of a `Pipeline`, `Resampled`
    and searches, down to whatever has ``module_`` with ``features`` and ``head``.

    Raises
    ------
    InputError
        If there is none.
    """
    step, seen = estimator, []
    while step is not None:
        module = getattr(step, "module_", None)
        if isinstance(module, nn.Module) and hasattr(step, "classes_"):
            return Inner(estimator, step)
        seen.append(type(step).__name__)
        step = _into(step)
    raise InputError(
        f"{owner} needs a fitted torch net and found none in {' > '.join(seen)}. Pass a "
        "TorchClassifier or a method built on it; for a bare module, "
        "FrozenEstimator(TorchClassifier.from_module(module, classes=...))."
    )


def _into(step: Any) -> Any:
    """What a wrapper holds, None if it is no wrapper."""
    if isinstance(step, FrozenEstimator):
        return step.estimator
    if isinstance(step, Pipeline):
        return step[-1]
    return next((getattr(step, name) for name in _KEEPS if hasattr(step, name)), None)


def _around(step: Any, module: nn.Module) -> Any:
    rebuilt = copy.copy(step)
    if isinstance(step, FrozenEstimator):
        return _around(step.estimator, module)
    if isinstance(step, Pipeline):
        name, last = step.steps[-1]
        rebuilt.steps = [*step.steps[:-1], (name, _around(last, module))]
        return rebuilt
    if hasattr(step, "module_"):
        rebuilt.module_ = module
        vars(rebuilt).pop("net_", None)  # it would still hold the weights of before
        return rebuilt
    name = next(name for name in _KEEPS if hasattr(step, name))
    setattr(rebuilt, name, _around(getattr(step, name), module))
    return rebuilt

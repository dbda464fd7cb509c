"""Whether an interrupted training ends as an undisturbed one does."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from fairvision.nn import TorchClassifier, TrainingCheckpoint
from fairvision.testing._result import ConformanceError

__all__ = ["check_resumes"]


def check_resumes(
    model: TorchClassifier, X: Any, y: Any, *, every: int = 2, stop_after: int = 3, **metadata: Any
) -> int:
    """Interrupt a training, resume it from its checkpoint, and compare it to an undisturbed one.

    It shows whether the `Objective` of a method keeps all its state in `state_dict`.

    Parameters
    ----------
    model : TorchClassifier
        Unfitted, with an int as `random_state`; trained with ``deterministic=True``.
    X, y, **metadata
        For `fit`.
    every : int, default=2
        As in `TrainingCheckpoint`.
    stop_after : int, default=3
        Epochs before the interrupt, at least `every` and fewer than `max_epochs`.

    Returns
    -------
    int
        Epochs that the resumed training read from the checkpoint.

    Raises
    ------
    ConformanceError
        Naming what differs: a weight, the optimizer's state, the history, the steps.
    """
    model = clone(model).set_params(deterministic=True)
    undisturbed = clone(model).fit(X, y, **metadata)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = TrainingCheckpoint(folder, every=every)
        try:
            _with(model, checkpoint, _Interrupt(stop_after)).fit(X, y, **metadata)
        except KeyboardInterrupt:
            pass
        else:
            raise ConformanceError(
                f"the training ended before epoch {stop_after}; pass a smaller stop_after."
            )
        resumed = _with(model, checkpoint).fit(X, y, **metadata)
    n_restored = int(resumed.net_.n_restored_)
    if not n_restored:
        raise ConformanceError("after an interrupt the training began anew.")
    for name, expected in _state(undisturbed).items():
        try:
            torch.testing.assert_close(_state(resumed)[name], expected, rtol=0, atol=0)
        except AssertionError as error:
            raise ConformanceError(f"after an interrupt the {name} differ: {error}") from error
    return n_restored


class _Interrupt(Callback):
    """An interrupt in the epoch after `after` epochs."""

    only_watches = True

    def __init__(self, after: int) -> None:
        self.after = after

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) > self.after:
            raise KeyboardInterrupt


def _with(model: TorchClassifier, *callbacks: Callback) -> TorchClassifier:
    return clone(model).set_params(callbacks=[*callbacks, *(model.callbacks or ())])


def _state(model: TorchClassifier) -> dict[str, Any]:
    return {
        "weights": dict(model.module_.state_dict()),
        "optimizer's states": model.net_.optimizer_.state_dict()["state"],
        "histories": [{k: v for k, v in epoch.items() if k != "dur"} for epoch in model.history_],
        "numbers of steps": model.n_steps_,
    }

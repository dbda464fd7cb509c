"""Does a training that was stopped end as it would have ended?"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from fairvision.nn import TorchClassifier, TrainingCheckpoint
from fairvision.testing._run import ConformanceError

__all__ = ["check_resumes"]


def check_resumes(
    model: TorchClassifier, X: Any, y: Any, *, every: int = 2, stop_after: int = 3, **metadata: Any
) -> int:
    """Train undisturbed, train and stop, go on from the checkpoint: the ends must be the same.

    For a method with an `Objective` of its own: it shows that `Objective.state_dict` holds
    what it must.

    Parameters
    ----------
    model : TorchClassifier
        Unfitted, with an int as `random_state`.
    X, y, **metadata
        For `fit`.
    every : int, default=2
        As in `TrainingCheckpoint`.
    stop_after : int, default=3
        Epochs before the interrupt, at least `every` and fewer than `max_epochs`.

    Returns
    -------
    int
        Epochs that the second training did not do again.

    Raises
    ------
    ConformanceError
        Naming what differs: a weight, the optimiser, the history, the steps.
    """
    whole = clone(model).fit(X, y, **metadata)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = TrainingCheckpoint(folder, every=every)
        try:
            _with(model, checkpoint, _Stop(stop_after)).fit(X, y, **metadata)
        except KeyboardInterrupt:
            pass
        else:
            raise ConformanceError(
                f"the training was over before epoch {stop_after}; stop it earlier."
            )
        resumed = _with(model, checkpoint).fit(X, y, **metadata)
    _require(resumed.net_.n_restored_ > 0, "it did not go on from its checkpoint")
    _same_tensors("weight", whole.module_.state_dict(), resumed.module_.state_dict())
    one, two = (m.net_.optimizer_.state_dict()["state"] for m in (whole, resumed))
    _require(one.keys() == two.keys(), "the optimiser knows other parameters")
    for key in one:
        _same_tensors(f"optimiser's state of parameter {key},", one[key], two[key])
    _require(_timeless(whole) == _timeless(resumed), "the histories differ")
    _require(whole.n_steps_ == resumed.n_steps_, "the numbers of steps differ")
    return int(resumed.net_.n_restored_)


class _Stop(Callback):
    """An interrupt in the epoch after so many."""

    only_watches = True

    def __init__(self, after: int) -> None:
        self.after = after

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) > self.after:
            raise KeyboardInterrupt


def _with(model: TorchClassifier, *callbacks: Callback) -> TorchClassifier:
    return clone(model).set_params(callbacks=[*callbacks, *(model.callbacks or ())])


def _timeless(model: TorchClassifier) -> list[dict[str, Any]]:
    return [{k: v for k, v in epoch.items() if k != "dur"} for epoch in model.history_]


def _same_tensors(what: str, one: Any, two: Any) -> None:
    for name, value in one.items():
        same = torch.equal(value, two[name]) if torch.is_tensor(value) else value == two[name]
        _require(same, f"the {what} {name} differs")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConformanceError(f"after an interrupt {message}.")

"""Checkpoints of the trainings inside a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fairvision.nn import TorchClassifier, TrainingCheckpoint

__all__ = ["add_callbacks", "checkpoints", "restored_seconds", "trains_nets"]


def checkpoints(folder: Path | None, every: int | None, tag: str) -> list[TrainingCheckpoint]:
    """The callback that keeps the trainings of a run in a folder; none without a folder.

    Checkpoints of finished trainings are kept until the run is stored, because a run may train
    several nets and be killed between them.
    """
    if every is None or folder is None:
        return []
    return [TrainingCheckpoint(folder, every=every, keep=True, strict=False, tag=tag)]


def trains_nets(estimator: Any) -> bool:
    """Whether it is a `TorchClassifier`, which takes skorch callbacks."""
    return isinstance(estimator, TorchClassifier)


def add_callbacks(estimator: Any, callbacks: Sequence[Any]) -> None:
    """Add the callbacks to those of an estimator that takes some.

    An estimator with a ``cache`` keeps there what it trains without callbacks.
    """
    params = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    if callbacks and "callbacks" in params:
        estimator.set_params(callbacks=[*(params["callbacks"] or ()), *callbacks])
    folders = [str(cb.folder) for cb in callbacks if isinstance(cb, TrainingCheckpoint)]
    if folders and params.get("cache", "") is None:
        estimator.set_params(cache=folders[0])


def restored_seconds(estimators: Iterable[Any]) -> float:
    """Seconds of the epochs that an earlier process trained."""
    nets = [net for estimator in estimators for net in _nets(estimator)]
    epochs = [epoch for net in nets for epoch in net.history[: getattr(net, "n_restored_", 0)]]
    return float(sum(epoch.get("dur", 0.0) for epoch in epochs))


def _nets(estimator: Any) -> list[Any]:
    several = getattr(estimator, "estimators_", ())  # of an ensemble
    inner = [estimator, *(several if isinstance(several, (list, tuple)) else ())]
    return [item.net_ for item in inner if hasattr(item, "net_")]

"""Checkpoints of the trainings inside a run: where they lie, and what they saved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fairvision.comparison.plan import MethodPlan, Plan
from fairvision.nn import TrainingCheckpoint

if TYPE_CHECKING:
    from fairvision.comparison.store import Store

__all__ = ["checkpoints", "kept_in", "restored_seconds"]


def checkpoints(
    plan: Plan, store: Store | None, every: int | None, method: MethodPlan, seed: int
) -> list[TrainingCheckpoint]:
    """The callback that keeps the trainings of a run; none where none is wanted.

    Finished trainings are kept too, until the run is stored: one of several may be over
    when the process dies.
    """
    if every is None or store is None:
        return []
    folder, identity = store.checkpoint(method.label, seed), plan.identity(method, seed)
    return [TrainingCheckpoint(folder, every=every, keep=True, strict=False, tag=identity)]


def kept_in(callbacks: Iterable[Any]) -> str | None:
    """The folder of these trainings, for what a method trains that takes no callbacks."""
    return next((str(cb.folder) for cb in callbacks if isinstance(cb, TrainingCheckpoint)), None)


def restored_seconds(estimators: Iterable[Any]) -> float:
    """What the epochs took that an earlier process trained, of the nets that are still there."""
    nets = [net for estimator in estimators for net in _nets(estimator)]
    epochs = [epoch for net in nets for epoch in net.history[: getattr(net, "n_restored_", 0)]]
    return float(sum(epoch.get("dur", 0.0) for epoch in epochs))


def _nets(estimator: Any) -> list[Any]:
    several = getattr(estimator, "estimators_", ())  # of an ensemble
    inner = [estimator, *(several if isinstance(several, (list, tuple)) else ())]
    return [part.net_ for part in inner if hasattr(part, "net_")]

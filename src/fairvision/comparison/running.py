"""All runs of a plan: read from disk, done here or in workers, stored as they end."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from threading import Lock
from typing import Any

import torch
from sklearn.utils import Bunch

from fairvision.comparison.checkpoints import checkpoints
from fairvision.comparison.plan import MethodPlan, Plan, versions
from fairvision.comparison.progress import EpochCallback, Progress
from fairvision.comparison.run import Run
from fairvision.comparison.run_method import build, run_method
from fairvision.comparison.split import split_rows
from fairvision.comparison.store import Store
from fairvision.comparison.where import DIED, Where
from fairvision.comparison.workers import spread
from fairvision.exceptions import DatasetError, FairvisionError, InputError, RunError
from fairvision.plugins import clean, describe

__all__ = ["rehearse", "run_all"]

Task = tuple[MethodPlan, int]
#: A run, or the message and the traceback of what stopped it.
Outcome = Run | tuple[str, str]


_DEATH = (
    "every worker process that was given it died of it, mostly for want of memory; run the same "
    "command again with fewer jobs"
)
#: Runs share the global generators and the number of threads of their process.
_ALONE = Lock()


def rehearse(plan: Plan, data: Bunch) -> None:
    """Meet the errors of bad input before the first run, not in the middle of the night.

    A plugin that cannot be made as it comes is not among them: it costs its own runs only.
    """
    if plan.device != "auto":
        try:
            torch.empty(0, device=plan.device)
        except Exception as error:  # torch raises one of three kinds
            raise InputError(
                f"device {plan.device!r} cannot be used here ({_message(error)}). Pass 'auto'."
            ) from error
    for seed in plan.seeds:
        split_rows(data, plan.split, seed)
    for method in plan.methods:
        try:
            build(method, plan, plan.seeds[0])
        except Exception as error:
            if method.params and isinstance(error, FairvisionError):
                raise
            if method.params:
                raise InputError(f"{method.label} cannot be made: {_message(error)}") from error


def run_all(
    plan: Plan,
    data: Bunch,
    store: Store | None,
    where: Where,
    progress: Progress,
    checkpoint_every: int | None = None,
) -> tuple[list[Run], dict[tuple[str, int], str], int]:
    """Do every run that is not stored yet.

    Returns
    -------
    runs : list of Run
        In the order of the plan.
    failures : dict of (label, seed) to str
    reused : int
        Runs found on disk.
    """
    runs: dict[tuple[str, int], Run] = {}
    failures: dict[tuple[str, int], str] = {}
    todo: list[Task] = []
    for method, seed in _in_order(plan, where):
        found = store and store.read(method.label, seed, plan.request(method, seed))
        if found and found.rows.max(initial=0) < len(data.target):
            runs[method.label, seed] = found
            if store:  # a kill just after the run was stored leaves them
                store.drop_checkpoint(method.label, seed)
            progress.finish(method.label, seed, "already done")
        else:
            todo.append((method, seed))
    reused = len(runs)

    def keepers(method: MethodPlan, seed: int) -> list[Any]:
        folder = None if store is None else store.checkpoint(method.label, seed)
        return checkpoints(folder, checkpoint_every, plan.identity(method, seed))

    # Closed whatever happens here: workers that were started are stopped.
    with closing(_outcomes(plan, data, todo, where, progress, keepers)) as outcomes:
        for (method, seed), outcome in outcomes:
            if isinstance(outcome, Run):
                runs[method.label, seed] = outcome
                if store:
                    store.write(outcome)
                progress.finish(method.label, seed, f"trained in {outcome.train_seconds:.1f} s")
            else:
                failures[method.label, seed], trace = outcome
                if store:
                    store.write_error(method.label, seed, trace)
                progress.finish(method.label, seed, f"failed: {outcome[0]}")
    keys = [(method.label, seed) for method in plan.methods for seed in plan.seeds]
    return [runs[key] for key in keys if key in runs], failures, reused


def _in_order(plan: Plan, where: Where) -> Iterator[Task]:
    """Seed by seed, as many seeds together as there are runs at a time.

    Runs that go on at the same time are then of several seeds: what the methods of one
    seed share, a net in a cache, is trained by the first of them and found by the others.
    """
    width = len(plan.seeds) if where.address else where.local_jobs
    for start in range(0, len(plan.seeds), width):
        for method in plan.methods:
            for seed in plan.seeds[start : start + width]:
                yield method, seed


def _outcomes(
    plan: Plan,
    data: Bunch,
    todo: list[Task],
    where: Where,
    progress: Progress,
    keepers: Callable[[MethodPlan, int], list[Any]],
) -> Generator[tuple[Task, Outcome]]:
    if not todo:
        return
    if where.here(len(todo)):
        for task in todo:
            tell = progress.teller(task[0].label, task[1])
            yield task, _attempt(plan, data, task, [EpochCallback(tell), *keepers(*task)])
        return
    keys = [(method.label, seed) for method, seed in todo]
    with progress.tellers(keys, where.address) as tellers:
        items = [
            (task, [*([EpochCallback(tell)] if tell else []), *keepers(*task)])
            for task, tell in zip(todo, tellers, strict=True)
        ]
        for i, outcome in spread(_work, (plan, data), items, where):
            if isinstance(outcome, FairvisionError):
                raise outcome
            yield todo[i], (_DEATH, _DEATH) if outcome is DIED else outcome


def _work(
    shared: tuple[Plan, Bunch], i: int, item: tuple[Task, list[Any]]
) -> tuple[int, Outcome | FairvisionError]:
    """A run in a worker; an error stops the comparison."""
    (plan, data), (task, callbacks) = shared, item
    for name, here in versions().items():
        if here != plan.versions[name]:
            return i, RunError(
                f"a worker has {name} {here}, this process {plan.versions[name]}. Install the same "
                "versions for both."
            )
    try:
        with _ALONE:  # a worker with several threads may have joined a cluster meanwhile
            return i, _attempt(plan, data, task, callbacks)
    except DatasetError as error:
        return i, error


def _attempt(plan: Plan, data: Bunch, task: Task, callbacks: Sequence[Any]) -> Outcome:
    """A run, or what stopped it: the others go on."""
    try:
        return run_method(plan, data, *task, callbacks=callbacks)
    except DatasetError:  # an image that cannot be read stops every method alike
        raise
    except Exception as error:
        return _message(error), traceback.format_exc()


def _message(error: Exception) -> str:
    return clean(error) if isinstance(error, FairvisionError) else describe(error)

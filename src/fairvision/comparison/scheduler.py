"""All runs of a plan: read from disk, or executed here or by workers, and stored as they finish."""

from __future__ import annotations

import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from sklearn.utils import Bunch

from fairvision.comparison.backends import MAX_TRIES, Backend, Lost, map_unordered
from fairvision.comparison.budget import Budget
from fairvision.comparison.checkpoints import checkpoints
from fairvision.comparison.features import Features
from fairvision.comparison.plan import MethodPlan, Plan, versions
from fairvision.comparison.progress import Progress
from fairvision.comparison.run import Run
from fairvision.comparison.run_method import build, check_device, run_method
from fairvision.comparison.split import split_rows
from fairvision.comparison.store import Store
from fairvision.comparison.worker_device import device_of_worker
from fairvision.exceptions import DatasetError, FairvisionError, InputError, RunError
from fairvision.plugins import clean, default_registry, describe

__all__ = ["dry_run", "run_all"]

Task = tuple[MethodPlan, int]
#: A task, when it no longer begins, and the callbacks that keep its training.
Item = tuple[Task, float, list[Any]]
#: A run, or the message and traceback of the error that ended it; None if the budget was spent.
Outcome = Run | tuple[str, str] | None

_UNLIMITED = Budget(None)


def dry_run(plan: Plan, data: Bunch) -> None:
    """Raise the errors of bad input before the first run.

    A plugin method that cannot be built with its own defaults raises nothing here; only its runs
    fail.
    """
    check_device(plan.device)
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
    backend: Backend,
    progress: Progress,
    checkpoint_every: int | None = None,
    features: Features | None = None,
    budget: Budget = _UNLIMITED,
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
    for method, seed in _in_order(plan, backend):
        stored = store and store.read(method.label, seed, plan.request(method, seed))
        if stored and stored.rows.max(initial=0) < len(data.target):
            runs[method.label, seed] = stored
            if store:  # a kill just after the run was stored leaves them
                store.drop_checkpoint(method.label, seed)
            progress.finish(method.label, seed, "already done")
        else:
            todo.append((method, seed))
    reused = len(runs)
    if todo and features is not None:
        progress.say(f"computing the features of {len(data.target)} images")
        data = features.extract(data)

    def keepers(method: MethodPlan, seed: int) -> list[Any]:
        folder = None if store is None else store.checkpoint(method.label, seed)
        return checkpoints(folder, checkpoint_every, plan.identity(method, seed))

    for tasks in budget.rounds(plan, todo, runs, data.sensitive_features):
        items = [(task, budget.deadline_of(plan, task), keepers(*task)) for task in tasks]
        # Closed whatever happens here, which stops the workers that were started.
        with closing(_outcomes(plan, data, items, backend, progress)) as outcomes:
            for (method, seed), outcome in outcomes:
                if isinstance(outcome, Run):
                    runs[method.label, seed] = outcome
                    if store:
                        store.write(outcome)
                    progress.finish(method.label, seed, f"trained in {outcome.train_seconds:.1f} s")
                elif outcome is not None:
                    failures[method.label, seed], trace = outcome
                    if store:
                        store.write_error(method.label, seed, trace)
                    progress.finish(method.label, seed, f"failed: {outcome[0]}")
    keys = [(method.label, seed) for method in plan.methods for seed in plan.seeds]
    return [runs[key] for key in keys if key in runs], failures, reused


def _in_order(plan: Plan, backend: Backend) -> Iterator[Task]:
    """Yield the runs so that concurrent runs have different seeds.

    Methods may share a cached net of the same seed: the first method trains it for the others.
    """
    width = len(plan.seeds) if backend.remote else backend.local_jobs
    for start in range(0, len(plan.seeds), width):
        for method in plan.methods:
            for seed in plan.seeds[start : start + width]:
                yield method, seed


def _outcomes(
    plan: Plan, data: Bunch, items: list[Item], backend: Backend, progress: Progress
) -> Generator[tuple[Task, Outcome]]:
    if not items:
        return
    if backend.in_process(len(items)):
        for task, deadline, keepers in items:
            callbacks = progress.callbacks(task[0].label, task[1])
            yield task, _attempt(plan, data, task, deadline, [*callbacks, *keepers])
        return
    registered = default_registry().registered()
    for i, outcome in map_unordered(
        partial(_work, plan, registered=registered), data, items, backend
    ):
        if isinstance(outcome, FairvisionError):
            raise outcome
        yield items[i][0], _lost(outcome) if isinstance(outcome, Lost) else outcome


def _lost(outcome: Lost) -> Outcome:
    message = (
        f"each of the {MAX_TRIES} workers that tried it died, most often because memory runs out "
        f"({describe(outcome.error)}). Run the same command again with fewer jobs."
    )
    return message, message


def _work(
    plan: Plan, data: Bunch, item: Item, registered: Sequence[tuple[object, str]] = ()
) -> Outcome | FairvisionError:
    """Do a run in a worker. Return an error that stops the comparison.

    `registered` are the plugins without a distribution, which the worker may not know.
    """
    known = {name for _, name in default_registry().registered()}
    for plugin, name in registered:
        if name not in known:
            default_registry().register(plugin, name)
    for name, installed in versions().items():
        if installed != plan.versions[name]:
            return RunError(
                f"a worker has {name} {installed}, this process {plan.versions[name]}. Install "
                "the same version in both."
            )
    plan = replace(plan, device=device_of_worker(plan.device))
    try:
        return _attempt(plan, data, *item)
    except DatasetError as error:
        return error
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # an idle worker would keep it from the others


def _attempt(
    plan: Plan, data: Bunch, task: Task, deadline: float, callbacks: Sequence[Any]
) -> Outcome:
    """Execute a run. Return it, or the error that ended it, so that the other runs continue."""
    if time.time() > deadline:
        return None
    try:
        return run_method(plan, data, *task, callbacks=callbacks)
    except DatasetError:  # an image that cannot be read stops every method alike
        raise
    except Exception as error:
        return _message(error), traceback.format_exc()


def _message(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return f"{describe(error)}. Run fewer jobs at a time, or pass a smaller batch_size."
    return clean(error) if isinstance(error, FairvisionError) else describe(error)

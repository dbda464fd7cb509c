"""`compare`: methods by seeds on one data set, resumable."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
from sklearn.utils import Bunch

from fairvision.comparison.execute import Run, build, execute
from fairvision.comparison.plan import MethodPlan, Plan, plan_methods, versions
from fairvision.comparison.progress import EpochCallback, Progress
from fairvision.comparison.result import Comparison
from fairvision.comparison.split import split_rows
from fairvision.comparison.store import Store
from fairvision.comparison.summary import differences, summarize
from fairvision.datasets import load
from fairvision.exceptions import FairvisionError, InputError, RunError

__all__ = ["compare"]

Task = tuple[MethodPlan, int]


def compare(
    dataset: str | Bunch,
    methods: str | Sequence[str] | Mapping[str, Any] = "all",
    *,
    seeds: int | Sequence[int] = 3,
    n_jobs: int = 1,
    out: str | Path | None = None,
    overwrite: bool = False,
    dataset_params: Mapping[str, Any] | None = None,
    confounding: float | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    test_size: float = 0.3,
    max_epochs: int = 10,
    preset: str | None = "quick",
    params: Mapping[str, Mapping[str, Any]] | None = None,
    baseline: str = "erm",
    device: str = "auto",
    n_boot: int = 1000,
    progress: bool = True,
) -> Comparison:
    """Train every method with every seed, and set them beside each other.

    All methods of a seed share the training and test rows, and train for the
    same number of epochs; where the number of optimisation steps differs all
    the same, the table says so.

    Parameters
    ----------
    dataset : str or Bunch
        A registered data set (`fairvision.datasets.load`), or one already loaded.
    methods : "all", sequence of str, or mapping
        Names of methods, or a mapping from the table's labels to names or to
        pairs (name, parameters).
    seeds : int or sequence of int, default=3
        How many, or which. A seed decides the split and the method's randomness.
    n_jobs : int, default=1
        Runs at a time, each in a process of its own.
    out : str, Path or None
        Folder for the results. Runs that it already holds are not done again.
    overwrite : bool, default=False
        Replace what a different comparison left in `out`.
    dataset_params : mapping or None
        For the loader, if `dataset` is a name.
    confounding : float or None
        Train on rows balanced in the target where the second group fills this
        share of the last class (and its counterpart of the first), test on rows
        balanced over target x group: `fairvision.datasets.biased_split`. None
        splits at random, or by the data's own column.
    n_train, n_test : int or None
        Rows, with `confounding`.
    test_size : float, default=0.3
        Share of test rows in a random split.
    max_epochs : int, default=10
    preset : str or None, default="quick"
        For each method that has it.
    params : mapping of method to mapping, or None
        Parameters on top of the preset.
    baseline : str, default="erm"
        Label that `differences` compares to.
    device : str, default="auto"
    n_boot : int, default=1000
        Bootstrap draws of each interval.
    progress : bool, default=True
        A bar on a terminal, a line a run elsewhere.

    Returns
    -------
    Comparison

    Raises
    ------
    FairvisionError
        For an unknown name, an unusable parameter or data that cannot be split
        as asked: before anything runs.

    Examples
    --------
    >>> import fairvision as fv
    >>> faces = fv.datasets.load("faces", n_samples=600, image_size=24, target="eyeglasses",
    ...                          sensitive="hat", random_state=0)
    >>> found = fv.compare(faces, ["erm"], seeds=1, confounding=0.9, max_epochs=1, progress=False)
    >>> found.results.shape[0]
    1
    """
    chosen = plan_methods(methods, preset=preset, params=params)
    data, description = _data(dataset, dict(dataset_params or {}))
    plan = Plan(
        dataset=description,
        split={
            "confounding": confounding,
            "n_train": n_train,
            "n_test": n_test,
            "test_size": test_size,
        },
        methods=chosen,
        seeds=_seeds(seeds),
        max_epochs=max_epochs,
        device=device,
        n_boot=n_boot,
        versions=versions(),
    )
    _rehearse(plan, data)
    store = None
    if out is not None:
        store = Store(out)
        store.open(plan, overwrite=overwrite)
    runs, failures, reused = _run_all(plan, data, store, n_jobs, progress)
    ordered = sorted(runs, key=lambda run: _position(plan, run))
    result = Comparison(
        plan=plan,
        runs=tuple(ordered),
        failures=failures,
        summary=summarize(ordered),
        differences=differences(ordered, data.sensitive_features, baseline, n_boot),
        out=None if store is None else store.out,
        reused=reused,
    )
    if store is not None:
        _write_results(store, result)
    return result


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(s) for s in seeds)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise InputError(f"seeds is {seeds!r}; pass how many (1 or more), or distinct ints from 0.")
    return chosen


def _data(dataset: str | Bunch, params: dict[str, Any]) -> tuple[Bunch, dict[str, Any]]:
    """The data, and what identifies them in a plan."""
    if isinstance(dataset, str):
        data = load(dataset, **params)
        description: dict[str, Any] = {"name": dataset, "params": params}
    elif params:
        raise InputError("dataset_params are for a data set given by name.")
    else:
        data, description = dataset, {"name": "given"}
    labels = joblib.hash((data.target, data.sensitive_features.to_numpy().astype(str)))
    # A folder's photographs may change between two calls of the same command.
    return data, {**description, "n": len(data.target), "labels": labels}


def _rehearse(plan: Plan, data: Bunch) -> None:
    """Meet the errors of bad input before the first run, not in the middle of the night."""
    for seed in plan.seeds:
        split_rows(data, plan.split, seed)
    for method in plan.methods:
        build(method, plan, plan.seeds[0])


def _position(plan: Plan, run: Run) -> tuple[int, int]:
    labels = [method.label for method in plan.methods]
    return labels.index(run.method), plan.seeds.index(run.seed)


def _run_all(
    plan: Plan, data: Bunch, store: Store | None, n_jobs: int, show: bool
) -> tuple[list[Run], dict[tuple[str, int], str], int]:
    tasks = [(method, seed) for seed in plan.seeds for method in plan.methods]
    runs: list[Run] = []
    todo = []
    failures: dict[tuple[str, int], str] = {}
    with Progress(len(tasks), plan.max_epochs, show=show) as progress:
        for method, seed in tasks:
            found = store and store.read(method.label, seed, plan.identity(method, seed))
            if found:
                runs.append(found)
                progress.finish(method.label, seed, "already done")
            else:
                todo.append((method, seed))
        for (method, seed), outcome in _outcomes(plan, data, todo, n_jobs, progress):
            if isinstance(outcome, Run):
                runs.append(outcome)
                if store:
                    store.write(outcome)
                progress.finish(method.label, seed, f"trained in {outcome.train_seconds:.1f} s")
                continue
            message, trace = outcome
            failures[method.label, seed] = message
            if store:
                store.write_error(method.label, seed, trace)
            progress.finish(method.label, seed, f"failed: {message}")
    return runs, failures, len(tasks) - len(todo)


def _outcomes(
    plan: Plan, data: Bunch, todo: list[Task], n_jobs: int, progress: Progress
) -> Iterator[tuple[Task, Run | tuple[str, str]]]:
    if n_jobs == 1:
        for task in todo:
            progress.start(task[0].label, task[1])
            yield task, _attempt(plan, data, task, [EpochCallback(progress)])
        return
    jobs = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    numbered = (joblib.delayed(_numbered)(i, plan, data, task) for i, task in enumerate(todo))
    for i, outcome in jobs(numbered):
        yield todo[i], outcome


def _numbered(i: int, plan: Plan, data: Bunch, task: Task) -> tuple[int, Run | tuple[str, str]]:
    return i, _attempt(plan, data, task, ())


def _attempt(
    plan: Plan, data: Bunch, task: Task, callbacks: Sequence[Any]
) -> Run | tuple[str, str]:
    """A run, or the message and traceback of what stopped it: the others go on."""
    try:
        return execute(plan, data, *task, callbacks=callbacks)
    except (RunError, MemoryError):
        raise
    except Exception as error:
        kind = "" if isinstance(error, FairvisionError) else f"{type(error).__name__}: "
        return kind + str(error).partition("\n")[0], traceback.format_exc()


def _write_results(store: Store, result: Comparison) -> None:
    store.write_text("results.csv", result.results.to_csv(index=False))
    text = json.dumps(result.to_dict(), indent=1, default=repr)
    store.write_text("comparison.json", text)

"""`compare`: methods by seeds on one data set, resumable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from fairvision.comparison.backends import Backend
from fairvision.comparison.control import with_control
from fairvision.comparison.data import data_notes, read_data
from fairvision.comparison.plain import dumps
from fairvision.comparison.plan import Plan, plan_methods, versions
from fairvision.comparison.progress import Progress
from fairvision.comparison.result import Comparison
from fairvision.comparison.scheduler import dry_run, run_all
from fairvision.comparison.split import plan_split
from fairvision.comparison.store import Store
from fairvision.comparison.summary import differences, summarize
from fairvision.exceptions import InputError
from fairvision.reports import comparison_page

__all__ = ["compare"]


def compare(
    dataset: str | Bunch,
    methods: str | Sequence[str] | Mapping[str, Any] = "all",
    *,
    seeds: int | Iterable[int] = 3,
    n_jobs: int = 1,
    n_threads: int = 1,
    backend: str = "loky",
    address: str | None = None,
    executor: Any = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    checkpoint_every: int | None = None,
    dataset_params: Mapping[str, Any] | None = None,
    confounding: float | None = None,
    counterexamples: float | None = None,
    control: bool | None = None,
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
    report: bool = True,
) -> Comparison:
    """Train every method with every seed, and set them beside each other.

    All methods of a seed share the training and test rows, and train for the
    same number of epochs; where the number of optimisation steps differs all
    the same, the notes say so. Methods that do not train by themselves are
    combined with plain training, with the parameters of ``erm`` beside them.

    Parameters
    ----------
    dataset : str or Bunch
        A registered data set (`fairvision.datasets.load`), or one already loaded. What a
        Bunch holds in ``fit_params``, a mapping, is passed to `fit` wherever it takes it
        by name, the same with every seed: ``spurious_data`` of other images, say.
    methods : "all", sequence of str, or mapping
        Names of methods, or a mapping from the table's labels to names or to
        pairs (name, parameters).
    seeds : int or iterable of int, default=3
        How many, or which. A seed decides the split and the method's randomness.
    n_jobs : int, default=1
        Runs at a time, each in a process of its own; -1 for one a core.
    n_threads : int, default=1
        CPU threads of each run. Sums are cut by threads, so the bits depend on
        it; they do not depend on `n_jobs`. For small nets more jobs are the
        faster use of cores, for large ones more threads.
    backend : {"loky", "dask", "ray"}, default="loky"
        Where runs are done: in processes of this machine, or by workers of Dask or Ray
        (``pip install 'fairvision[dask]'`` or ``'fairvision[ray]'``). The bits are the
        same. A run whose worker dies is tried three times.
    address : str or None
        Of a running Dask scheduler (``"tcp://host:8786"``) or Ray cluster (``"auto"``,
        ``"ray://host:10001"``); None starts `n_jobs` workers here. `n_jobs` still says how
        many runs at a time; -1 for as many as the cluster takes.
    executor : concurrent.futures.Executor or None
        Does the runs instead, as many at a time as it likes: one of mpi4py, submitit, ...
        Each run is submitted with the data. You shut it down. Threads are refused, since
        runs share the random generators of their process.
    out : str, Path or None
        Folder for the results. Runs that it already holds are not done again. While one
        comparison writes there, a second refuses to start.
    overwrite : bool, default=False
        Start anew: remove what an earlier comparison left in `out`.
    checkpoint_every : int or None, default=None
        Also keep each training in `out` every so many epochs (`TrainingCheckpoint`), so that a
        process that is killed in the middle of a run goes on there, and ends with
        the same numbers. Removed when the run is stored.
    dataset_params : mapping or None
        For the loader, if `dataset` is a name.
    confounding : float or None
        Train on rows balanced in the target where the second group fills this
        share of the last class (and its counterpart of the first), test on rows
        balanced over target x group: `fairvision.datasets.biased_split`; from the
        data's own parts train and test, where they have them. None splits by that
        column, or at random. Its rows ``valid``, where it has some, then set the calibrated
        threshold, and nothing else.
    counterexamples : float or None, default=None
        With `confounding`: the second group's share in the other classes; None takes
        ``1 - confounding``.
    control : bool or None, default=None
        Train ``erm`` on as many rows without the bias, too, and test it on the same
        rows: ``erm-balanced`` in the table. None does so with ``methods="all"`` and
        `confounding`, where the data have the rows.
    n_train, n_test : int or None
        Rows, with `confounding`.
    test_size : float, default=0.3
        Share of test rows in a random split.
    max_epochs : int, default=10
    preset : str or None, default="quick"
        For each method that has it.
    params : mapping of label to mapping, or None
        Parameters on top of the preset.
    baseline : str, default="erm"
        Label that `differences` compares to.
    device : str, default="auto"
        A torch device; ``"auto"`` takes CUDA if there is one.
    n_boot : int, default=1000
        Bootstrap draws of each interval.
    progress : bool, default=True
        A bar on a terminal, a line a run elsewhere, on stderr.
    report : bool, default=True
        Keep what a report shows of the first seed's estimators (a few seconds a
        method; some of the test pictures are among it), and write `out`/report.html.

    Returns
    -------
    Comparison

    Raises
    ------
    FairvisionError
        For an unknown name, an unusable parameter or data that cannot be split
        as asked: before anything runs. For an image that cannot be read or a
        folder that cannot be written: finished runs are kept.

    Examples
    --------
    >>> import fairvision as fv
    >>> faces = fv.datasets.load("faces", n_samples=600, image_size=24, target="eyeglasses",
    ...                          sensitive="hat", random_state=0)
    >>> found = fv.compare(faces, ["erm"], seeds=1, confounding=0.9, max_epochs=1, progress=False)
    >>> found.results.shape[0]
    1
    """
    _check_numbers(n_threads=(n_threads, 1), max_epochs=(max_epochs, 0), n_boot=(n_boot, 0))
    workers = Backend(n_jobs, backend, address, n_threads, device != "cpu", executor)
    chosen = plan_methods(methods, preset=preset, params=params)
    _check_checkpoints(checkpoint_every, out)
    data, description = read_data(dataset, dataset_params)
    split = plan_split(
        data,
        confounding=confounding,
        counterexamples=counterexamples,
        n_train=n_train,
        n_test=n_test,
        test_size=test_size,
    )
    numbers = _seeds(seeds)
    everything = methods == "all" or (not isinstance(methods, Mapping) and list(methods) == ["all"])
    chosen, notes = with_control(
        chosen, data, split, numbers, wanted=control if everything else bool(control)
    )
    plan = Plan(
        dataset=description,
        split=split,
        methods=chosen,
        seeds=numbers,
        max_epochs=max_epochs,
        device=device,
        n_threads=n_threads,
        n_boot=n_boot,
        versions=versions(),
        report=report,
    )
    dry_run(plan, data)
    store = None if out is None else Store(out)
    with store.open(plan, overwrite=overwrite) if store else nullcontext():
        with Progress(len(chosen) * len(plan.seeds), max_epochs, show=progress) as bar:
            runs, failures, reused = run_all(plan, data, store, workers, bar, checkpoint_every)
        result = Comparison(
            plan=plan,
            runs=tuple(runs),
            failures=failures,
            summary=summarize(runs),
            differences=differences(runs, data.sensitive_features, baseline, n_boot),
            sensitive_features=data.sensitive_features,
            data_notes=(*data_notes(data, split), *notes),
            baseline=baseline,
            out=None if store is None else store.out,
            reused=reused,
        )
        if store is not None:
            _write(store, result)
    return result


def _write(store: Store, result: Comparison) -> None:
    store.write_text("results.csv", result.results.to_csv(index=False))
    store.write_text("comparison.json", dumps(result.to_dict()))
    if result.plan.report:
        store.write_text("report.html", comparison_page(result.facts()))


def _check_checkpoints(every: Any, out: Any) -> None:
    if every is None:
        return
    if not isinstance(every, int) or every < 1:
        raise InputError(f"checkpoint_every is {every!r}; pass epochs, an int of 1 or more.")
    if out is None:
        raise InputError(
            f"checkpoint_every is {every}, and there is no folder to keep them. Pass out as well."
        )


def _check_numbers(**numbers: tuple[int, int]) -> None:
    for name, (number, low) in numbers.items():
        if number < low:
            raise InputError(f"{name} is {number}; pass {low} or more.")


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    try:
        chosen = tuple(int(s) for s in (range(seeds) if isinstance(seeds, int) else seeds))
    except (TypeError, ValueError):
        chosen = ()
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise InputError(f"seeds is {seeds!r}; pass how many (1 or more), or distinct ints from 0.")
    return chosen

"""`compare`: methods by seeds on one data set, resumable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sklearn.utils import Bunch

from fairvision.comparison.backends import Backend
from fairvision.comparison.balanced_baseline import with_balanced_baseline
from fairvision.comparison.budget import Budget, seconds_of
from fairvision.comparison.data import data_notes, read_data
from fairvision.comparison.estimators import check_sendable
from fairvision.comparison.features import Features, check_weights, has_features, suited_to_form
from fairvision.comparison.methods import Methods, names_all, plan_methods
from fairvision.comparison.plan import Plan, versions
from fairvision.comparison.progress import Progress
from fairvision.comparison.result import Comparison
from fairvision.comparison.run_method import check_suited
from fairvision.comparison.scheduler import dry_run, run_all
from fairvision.comparison.serialization import dumps
from fairvision.comparison.split import plan_split
from fairvision.comparison.store import GROUPS, Store
from fairvision.comparison.summary import differences, summarize
from fairvision.exceptions import InputError, RunError
from fairvision.reports import comparison_page

__all__ = ["compare"]


def compare(
    dataset: str | Bunch,
    methods: Methods = "all",
    *,
    seeds: int | Iterable[int] = 3,
    n_jobs: int = 1,
    n_threads: int = 1,
    backend: str = "loky",
    address: str | None = None,
    executor: Any = None,
    out: str | Path | None = None,
    rerun: bool = False,
    checkpoint_every: int | None = None,
    dataset_params: Mapping[str, Any] | None = None,
    confounding: float | None = None,
    counterexamples: float | None = None,
    balanced_baseline: bool | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    test_size: float = 0.3,
    validation_fraction: float | None = None,
    max_epochs: int = 10,
    preset: str | None = "quick",
    params: Mapping[str, Mapping[str, Any]] | None = None,
    shared_params: Mapping[str, Any] | None = None,
    features: Any = None,
    baseline: str = "erm",
    device: str = "auto",
    n_boot: int = 1000,
    progress: bool = True,
    report: bool = True,
    keep_models: bool = False,
    budget: float | str | None = None,
) -> Comparison:
    """Train every method with every seed, and report the results side by side.

    All methods of a seed share the training and test rows, and train for the
    same number of epochs. A note says so where the number of optimisation steps differs.
    Pre- and post-processing methods wrap the same ERM classifier that the table lists
    as ``erm``.

    Parameters
    ----------
    dataset : str or Bunch
        A registered data set (`fairvision.datasets.load`), or one already loaded: ``images``
        (or features of shape (n_samples, n_features), also named ``data``), ``target``,
        ``sensitive_features``. Its ``fit_params``, a mapping, are passed to every `fit` that
        names them, the same with every seed: ``spurious_data`` of other images, say.
    methods : "all", "auto", str, mapping, or sequence of str and mappings
        Names of methods ("auto" for those that did best on photographs, the cheapest first),
        or mappings from the table's labels to names, to pairs (name, parameters), or to
        unfitted estimators of your own. See Notes.
    seeds : int or iterable of int, default=3
        Number of seeds, or the seeds themselves. A seed decides the split and the method's
        randomness.
    n_jobs : int, default=1
        Number of runs at a time, each in its own process; -1 means one per core.
    n_threads : int, default=1
        CPU threads of each run. They change the order of sums, and so the last bits of the
        results; `n_jobs` does not. Small nets run faster with more jobs, large nets with more
        threads.
    backend : {"loky", "dask", "ray"}, default="loky"
        Where runs are executed: in processes on this machine, or on workers of Dask or Ray, which
        ``pip install 'fairvision[dask]'`` or ``'fairvision[ray]'`` installs. The results are the
        same bits. A run whose worker dies is tried three times.
    address : str or None
        Address of a running Dask scheduler (``"tcp://host:8786"``) or Ray cluster (``"auto"``,
        ``"ray://host:10001"``); None starts `n_jobs` workers on this machine. `n_jobs` still
        limits the number of runs at a time; -1 means as many as the cluster takes.
    executor : concurrent.futures.Executor or None
        Executes the runs in place of `backend`, and decides how many run at a time: mpi4py's,
        submitit's, ... Each run is submitted with the data. You must shut it down. Thread pools
        are refused, because runs share the random generators of their process.
    out : str, Path or None
        Folder for the results. Runs already in the folder are not repeated. While one comparison
        writes to it, a second one refuses to start.
    rerun : bool, default=False
        Repeat the runs in `out` that were made with other data, parameters, code or versions. If
        False, such runs raise an error that names each difference.
    checkpoint_every : int or None, default=None
        Write a checkpoint of each training to `out` every so many epochs (`TrainingCheckpoint`).
        A killed run resumes from it and ends with the same numbers. The checkpoint is removed
        when the run is stored.
    dataset_params : mapping or None
        Parameters of the loader, if `dataset` is a name.
    confounding : float or None
        Train on biased rows: all classes are equally large, and this share of the last class is
        in the second group. Test on rows balanced over target x group
        (`fairvision.datasets.biased_split`). Where the data have splits ``train`` and ``test``,
        rows are drawn from them. None uses the data's own split, or a random one. Rows of a split
        ``valid`` only choose methods and set the calibrated threshold.
    counterexamples : float or None, default=None
        With `confounding`: the second group's share in the other classes; None takes
        ``1 - confounding``.
    balanced_baseline : bool or None, default=None
        Also train ``erm`` on as many rows without the bias, and test it on the same rows:
        ``erm-balanced`` in the table. None does so if `methods` contains "all", `confounding` is
        given, and the data have enough rows.
    n_train, n_test : int or None
        Rows, with `confounding`.
    test_size : float, default=0.3
        Share of test rows, for a random split.
    validation_fraction : float or None, default=None
        Share of each seed's training rows, stratified by target x group, that no method is
        trained on. Their predictions are kept, for `Comparison.choose` and the calibrated
        threshold. Data with a split ``valid`` need no fraction: its rows are used.
    max_epochs : int, default=10
    preset : str or None, default="quick"
        Preset of each named method that has it, as in `fairvision.make`; None takes the defaults
        of the classes.
    params : mapping of label to mapping, or None
        Parameters that override those of the preset or the estimator.
    shared_params : mapping or None
        Parameters of every named method that has them, and of the ERM classifier inside the
        others: ``{"backbone": "mobilenet_v2", "weights": FILE}``. `params` takes precedence.
    features : FeatureExtractor or None, default=None
        Train every method on the features of this net instead of on images. The features are
        computed once for all runs, seeds and workers; the table shows how long that took. Methods
        without a given backbone then use a linear one. Methods that need pixels are refused, or
        left out if `methods` contains "all".
    baseline : str, default="erm"
        Label that `differences` compares to.
    device : str, default="auto"
        A torch device; ``"auto"`` takes CUDA if there is one.
    n_boot : int, default=1000
        Bootstrap draws of each interval.
    progress : bool, default=True
        Show progress on stderr: a bar on a terminal, one line per run elsewhere.
    report : bool, default=True
        Store the report's artifacts of the first seed's estimators, among them some test pictures
        (a few seconds per method), and write `out`/report.html.
    keep_models : bool, default=False
        Also store each run's fitted model, so that `Choice.model` need not train it again. A note
        names methods that cannot be saved.
    budget : float, str or None, default=None
        Seconds, or a text such as "20m", after which no run begins; the first run always begins.
        Runs go seed by seed, and methods that are worse than another on validation rows are
        dropped. With `out`, the same command with a larger budget resumes.

    Returns
    -------
    Comparison

    Raises
    ------
    FairvisionError
        Before anything runs: for an unknown name, an unusable estimator or parameter, data that
        cannot be split, or stored runs of another request. During the runs, which are kept once
        finished: for an image that cannot be read or a folder that cannot be written.

    Notes
    -----
    An estimator of your own is cloned for each run. It is a classifier (`fit`, `predict`), a
    sampler (`fit_resample`; plain training follows it) or a meta-estimator (a parameter
    ``estimator`` that is None, and a `fit` with ``sensitive_features``; it wraps plain
    training). In it and in the estimators inside it, a Pipeline's steps for instance, every
    ``random_state`` is set to the seed. ``max_epochs``, ``n_threads`` and ``device`` are set
    where they have the default of their class or of a preset. `fit` and `predict` receive
    ``sensitive_features`` if their signature names it. A stored run is identified by the
    class, its parameters, its source and the version of its distribution.

    Examples
    --------
    >>> import fairvision as fv
    >>> faces = fv.datasets.load("faces", n_samples=600, image_size=24, target="eyeglasses",
    ...                          sensitive="hat", random_state=0)
    >>> from sklearn.dummy import DummyClassifier
    >>> methods = {"erm": "erm", "mine": DummyClassifier()}
    >>> result = fv.compare(faces, methods, seeds=1, confounding=0.9, max_epochs=1, progress=False)
    >>> result.results.shape[0]
    2
    """
    return _compare(SimpleNamespace(**locals()))


def _compare(options: SimpleNamespace) -> Comparison:
    """Compare with the options of `compare`."""
    budget = Budget(seconds_of(options.budget))
    features = options.features
    _check(options)
    workers = Backend(
        options.n_jobs, options.backend, options.address, options.n_threads,
        options.device != "cpu", options.executor,
    )  # fmt: skip
    planned = plan_methods(
        options.methods,
        preset=options.preset,
        params=options.params,
        shared_params=options.shared_params,
        on_features=features is not None,
    )
    data, description = read_data(options.dataset, options.dataset_params)
    planned, notes = _suited(planned, data, options.methods, features)
    extracted = None if features is None else Features(features, data)
    plan, more = _plan(options, planned, data, description, extracted, budget)
    if workers != Backend(n_threads=options.n_threads, gpus=options.device != "cpu"):
        check_sendable(plan)
    dry_run(plan, data)
    store = None if options.out is None else Store(options.out)
    with store.open(plan, rerun=options.rerun) if store else nullcontext():
        total = len(plan.methods) * len(plan.seeds)
        with Progress(total, options.max_epochs, show=options.progress) as bar:
            done = run_all(
                plan, data, store, workers, bar, options.checkpoint_every, extracted, budget
            )
        warned = [*budget.notes(plan, *done[:2]), *(extracted.notes(data) if extracted else ())]
        notes = [*warned, *data_notes(data, plan.split), *notes, *more]
        return _result(plan, data, done, notes, options.baseline, store, extracted)


def _plan(
    options: SimpleNamespace,
    planned: Any,
    data: Bunch,
    description: dict[str, Any],
    features: Features | None,
    budget: Budget,
) -> tuple[Plan, list[str]]:
    """The plan, and notes on the balanced baseline."""
    if features is not None:
        description["features"] = features.extractor.identity_
    names = (
        "confounding", "counterexamples", "n_train", "n_test", "test_size", "validation_fraction",
    )  # fmt: skip
    split = plan_split(data, **{name: getattr(options, name) for name in names})
    wanted, seeds = options.balanced_baseline, _seeds(options.seeds)
    wanted = wanted if names_all(options.methods) else bool(wanted)
    planned, notes = with_balanced_baseline(planned, data, split, seeds, wanted=wanted)
    plan = Plan(
        description, split, planned, seeds, options.max_epochs, options.device,
        options.n_threads, options.n_boot, versions(), options.report,
        None if features is None else features.describe(), dict(options.shared_params or {}),
        options.keep_models, budget.seconds,
    )  # fmt: skip
    return plan, notes


def _suited(planned: Any, data: Bunch, methods: Methods, features: Any) -> Any:
    """The methods that can be run, and notes on those that cannot."""
    notes = []
    for method in planned if names_all(methods, "auto") else ():
        try:
            check_suited(method, data)
        except InputError as error:
            planned = tuple(other for other in planned if other is not method)
            notes.append(f"Left out: {error}")
    on_features = features is not None or has_features(data)
    planned, more = suited_to_form(planned, features=on_features, every=names_all(methods))
    if not on_features:
        check_weights(planned, data)
    return planned, notes + more


def _result(
    plan: Plan,
    data: Bunch,
    done: Any,
    notes: Iterable[str],
    baseline: str,
    store: Store | None,
    features: Features | None,
) -> Comparison:
    """The comparison of finished runs, written to its folder."""
    runs, failures, reused = done
    result = Comparison(
        plan=plan,
        runs=tuple(runs),
        failures=failures,
        summary=summarize(runs),
        differences=differences(runs, data.sensitive_features, baseline, plan.n_boot),
        sensitive_features=data.sensitive_features,
        data_notes=tuple(notes),
        baseline=baseline,
        out=None if store is None else store.out,
        reused=reused,
        features_seconds=None if features is None else features.seconds or _seconds(plan, store),
        extractor=None if features is None else features.extractor,
    )
    if store is not None:
        _write(store, result)
    return result


def _seconds(plan: Plan, store: Store | None) -> float | None:
    """What the same features took when the runs in the folder were made."""
    with suppress(RunError):
        before = {} if store is None else store.summary()
        if (before["plan"].get("features") or {}) == dict(plan.features or {}):
            return before.get("features_seconds")
    return None


def _write(store: Store, result: Comparison) -> None:
    store.write_text("results.csv", result.results.to_csv(index=False))
    store.write_text("comparison.json", dumps(result.to_dict()))
    if any(run.validation is not None for run in result.runs):
        store.write_text(GROUPS, result.sensitive_features.to_csv(index=False))
    if result.plan.report:
        store.write_text("report.html", comparison_page(result.report_data()))


def _check(options: SimpleNamespace) -> None:
    """Check what can be checked before the data are read."""
    for name, low in (("n_threads", 1), ("max_epochs", 0), ("n_boot", 0)):
        if getattr(options, name) < low:
            raise InputError(f"{name} is {getattr(options, name)}; pass {low} or more.")
    every, out = options.checkpoint_every, options.out
    if every is None:
        return
    if not isinstance(every, int) or every < 1:
        raise InputError(f"checkpoint_every is {every!r}; pass epochs, an int of 1 or more.")
    if out is None:
        raise InputError(
            f"checkpoint_every is {every}, but checkpoints need a folder. Pass out as well."
        )


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    try:
        chosen = tuple(int(s) for s in (range(seeds) if isinstance(seeds, int) else seeds))
    except (TypeError, ValueError):
        chosen = ()
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise InputError(f"seeds is {seeds!r}; pass how many (1 or more), or distinct ints from 0.")
    return chosen

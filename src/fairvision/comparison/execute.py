"""One run: build, fit, predict, evaluate."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from fairvision.base import accepts, compose, fit_with_groups
from fairvision.comparison.checkpoints import kept_in, restored_seconds
from fairvision.comparison.data import class_names
from fairvision.comparison.evidence import collect, worst_cell
from fairvision.comparison.plan import PLAIN_TRAINING, MethodPlan, Plan
from fairvision.comparison.split import split_rows, validation_rows
from fairvision.exceptions import InputError
from fairvision.metrics import Evaluation, calibrated_threshold, evaluate_predictions, leakage
from fairvision.plugins import default_registry, resolve

__all__ = ["Fitted", "Run", "build", "execute", "fit_run"]


@dataclass(frozen=True, eq=False)
class Run:
    """What one method did with one seed.

    Attributes
    ----------
    identity : str
        Hash of what was asked.
    method, seed : the label and the seed
    n_train, n_test : int
    n_steps : int or None
        Optimisation steps, where the method counts them.
    train_seconds : float
        Of `fit`.
    evaluation : dict
        `Evaluation.to_dict`.
    worst_group : dict or None
        The class and group in which the smallest share is right; None if some is empty.
    leakage : dict or None
        By sensitive attribute, a fresh probe's reading of it from the test features,
        or a ``note`` why there is none; None for a method without features.
    history : list of dict
        Training curves, an entry an epoch.
    rows, y_true, y_pred : ndarray of shape (n_test,)
        Row numbers in the data set, classes, predicted classes.
    y_score : ndarray of shape (n_test,) or (n_test, n_classes), or None
    threshold : float or None
        The calibrated one of validation rows, if the data set some aside; else the test
        rows' own is used.
    evidence : dict or None
        What a report shows of the fitted estimator, `fairvision.comparison.evidence`.
    """

    identity: str
    method: str
    seed: int
    n_train: int
    n_test: int
    n_steps: int | None
    train_seconds: float
    evaluation: dict[str, Any]
    worst_group: dict[str, Any] | None
    leakage: dict[str, Any] | None
    history: list[dict[str, Any]]
    rows: NDArray[np.int64]
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    y_score: NDArray[np.float64] | None
    threshold: float | None = None
    evidence: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """The estimator of a run, and what it was fitted on.

    Attributes
    ----------
    estimator : fitted
    train, test : ndarray of int
        Row numbers in the data set.
    seconds : float
        Of `fit`.
    """

    estimator: Any
    train: NDArray[Any]
    test: NDArray[Any]
    seconds: float


def build(method: MethodPlan, plan: Plan, seed: int, callbacks: Sequence[Any] = ()) -> Any:
    """Make the estimator of a method: composed with plain training unless it trains itself."""
    common = {"max_epochs": plan.max_epochs, "device": plan.device, "random_state": seed}

    def make(which: MethodPlan, **more: Any) -> Any:
        known = set(
            inspect.signature(resolve(default_registry().find("method", which.name))).parameters
        )
        if "estimator" in more:  # these are for the net inside, which has them already
            known -= {"max_epochs", "callbacks"}
        given = {name: value for name, value in common.items() if name in known}
        params = {**given, **more, **which.params}
        made = default_registry().make(which.name, which.preset, **params)
        if callbacks and "callbacks" in known:
            made.set_params(callbacks=[*(made.callbacks or ()), *callbacks])
        if "cache" in known and made.cache is None and (folder := kept_in(callbacks)):
            made.set_params(cache=folder)  # a generator, say, that is trained before the classifier
        return made

    if method.model is None:
        return make(method)
    model = make(method.model)
    if method.stage == "pre":
        return compose(pre=make(method), model=model)
    return make(method, estimator=model)


@cache
def _warm_up() -> None:
    """Train a net on eight images: torch imports a good deal at the first step of a process.

    The first method's seconds would otherwise hold those imports.
    """
    plain = default_registry().make(PLAIN_TRAINING, None, max_epochs=1, random_state=0)
    plain.fit(np.zeros((8, 1, 24, 24), dtype=np.uint8), np.arange(8) % 2)


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Compute on `n` CPU threads: sums are cut by threads, so their number decides the bits."""
    before = torch.get_num_threads()
    try:
        with threadpool_limits(n):
            torch.set_num_threads(n)
            yield
    finally:
        torch.set_num_threads(before)


def execute(
    plan: Plan,
    data: Bunch,
    method: MethodPlan,
    seed: int,
    *,
    callbacks: Sequence[Any] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Run:
    """Fit one method on one seed's training rows and measure it on its test rows."""
    with _threads(plan.n_threads):
        fitted = fit_run(plan, data, method, seed, callbacks=callbacks, clock=clock)
        return _measure(plan, data, method, seed, fitted)


def fit_run(
    plan: Plan,
    data: Bunch,
    method: MethodPlan,
    seed: int,
    *,
    callbacks: Sequence[Any] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Fitted:
    """Fit one method on one seed's training rows: the same bits wherever this is called.

    Parameters
    ----------
    plan : Plan
    data : Bunch
        As `read_data` gives it.
    method : MethodPlan
        Of the plan.
    seed : int
    callbacks : sequence
        For the nets of the method.
    clock : callable
    """
    with _threads(plan.n_threads):
        _warm_up()
        train, test = split_rows(data, plan.split, seed, balanced=method.balanced)
        estimator = build(method, plan, seed, callbacks)
        images, y, groups = _take(data, train)
        start = clock()
        shown = groups if method.groups_at_fit else None
        more = data.get("fit_params") or {}
        fit_with_groups(estimator, images, y, sensitive_features=shown, **more)
        seconds = clock() - start + restored_seconds(_inner(estimator))
        return Fitted(estimator, train, test, seconds)


def _take(data: Bunch, rows: Any) -> tuple[Any, Any, Any]:
    return data.images[rows], data.target[rows], data.sensitive_features.iloc[rows]


def _measure(
    plan: Plan,
    data: Bunch,
    method: MethodPlan,
    seed: int,
    fitted: Fitted,
) -> Run:
    estimator, train, test = fitted.estimator, fitted.train, fitted.test
    images, y_true, groups = _take(data, test)
    y_true = np.asarray(y_true)
    y_pred, y_score = _predict(estimator, images, groups, method.groups_at_predict)
    threshold = _threshold(plan, data, method, estimator)
    # The control's own rows have no bias, so they could not say which way one is amplified.
    biased = split_rows(data, plan.split, seed)[0] if method.balanced else train
    evaluation = evaluate_predictions(
        y_true,
        y_pred,
        sensitive_features=groups,
        y_score=y_score,
        labels=np.unique(data.target),
        n_boot=plan.n_boot,
        random_state=seed,
        # Bias amplification takes its directions from the training rows, and groups
        # that they lack are named.
        train=(data.target[biased], data.sensitive_features.iloc[biased]),
        threshold=threshold,
    )
    return Run(
        identity=plan.identity(method, seed),
        method=method.label,
        seed=seed,
        n_train=len(train),
        n_test=len(test),
        n_steps=_steps(estimator),
        train_seconds=fitted.seconds,
        evaluation=evaluation.to_dict(),
        worst_group=_worst_group(evaluation, class_names(data)),
        leakage=_leakage(estimator, images, y_true, groups, plan.n_boot, seed),
        history=_history(estimator),
        rows=np.asarray(test, dtype=np.int64),
        y_true=y_true,
        y_pred=y_pred,
        y_score=y_score,
        threshold=threshold,
        evidence=None
        if not plan.has_evidence(seed)
        else collect(
            method.name,
            estimator,
            images,
            y_true,
            groups,
            y_pred,
            evaluation=evaluation,
            classes=class_names(data),
            seed=seed,
        ),
    )


def _threshold(plan: Plan, data: Bunch, method: MethodPlan, estimator: Any) -> float | None:
    """Where as many validation rows are predicted positive as are (Ramaswamy et al. 2021)."""
    rows, classes = validation_rows(data, plan.split), np.unique(data.target)
    if len(classes) != 2 or not len(rows):
        return None
    images, y, groups = _take(data, rows)
    scores = _predict(estimator, images, groups, method.groups_at_predict)[1]
    if scores is None:
        return None
    cut = calibrated_threshold(y, scores, pos_label=classes[1])
    return min(cut, float(np.nextafter(scores.max(), np.inf)))  # a number, where nobody is positive


def _predict(
    estimator: Any, images: Any, groups: Any, groups_at_predict: bool
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Labels, and scores of the positive class (or of all classes, if more than two)."""

    def call(method: Any) -> NDArray[Any]:
        if groups_at_predict and accepts(method, "sensitive_features"):
            return np.asarray(method(images, sensitive_features=groups))
        return np.asarray(method(images))

    y_pred = call(estimator.predict)
    if y_pred.dtype == object:  # which would need pickle on disk
        y_pred = np.asarray(y_pred.tolist())
    if not hasattr(estimator, "predict_proba"):
        return y_pred, None
    scores = np.asarray(call(estimator.predict_proba), dtype=np.float64)
    return y_pred, scores[:, 1] if scores.shape[1] == 2 else scores


def _worst_group(evaluation: Evaluation, classes: Sequence[str]) -> dict[str, Any] | None:
    """The class and group in which the smallest share is predicted right."""
    cell = worst_cell(evaluation)
    if cell is None:
        return None
    group, code = cell
    label = evaluation.groups[group]
    return {
        "class": classes[code],
        "group": [str(part) for part in (label if isinstance(label, tuple) else (label,))],
        "n": int(evaluation.counts[group, code].sum()),
        "accuracy": float(
            evaluation.counts[group, code, code] / evaluation.counts[group, code].sum()
        ),
    }


def _leakage(
    estimator: Any, images: Any, y: Any, groups: Any, n_boot: int, seed: int
) -> dict[str, Any] | None:
    """How well a fresh probe reads each group column from the learned features."""
    if not hasattr(estimator, "transform"):
        return None
    features = np.asarray(estimator.transform(images), dtype=np.float64)
    found: dict[str, Any] = {}
    for name in groups.columns:
        column = groups[name].to_numpy()
        try:
            table = leakage(features, column, y=y, n_boot=n_boot, random_state=seed)
        except InputError as error:  # too few rows to probe are no fault of the method
            found[str(name)] = {"note": str(error)}
            continue
        found[str(name)] = table.to_dict(orient="index")
    return found


def _inner(estimator: Any) -> list[Any]:
    """The estimator and everything fitted inside it, outermost first."""
    chain: list[Any] = []
    while estimator is not None and len(chain) < 20:
        chain.append(estimator)
        names = ("estimator_", "classifier_", "final_estimator_")
        estimator = next((getattr(estimator, n) for n in names if hasattr(estimator, n)), None)
    return chain


def _steps(estimator: Any) -> int | None:
    counts = [part.n_steps_ for part in _inner(estimator) if hasattr(part, "n_steps_")]
    return int(sum(counts)) if counts else None


def _history(estimator: Any) -> list[dict[str, Any]]:
    """The training curves of the innermost net, numbers only."""
    for part in reversed(_inner(estimator)):
        if hasattr(part, "history_"):
            return [
                {k: float(v) for k, v in epoch.items() if isinstance(v, (int, float))}
                for epoch in part.history_
            ]
    return []

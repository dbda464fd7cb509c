"""One run: build, fit, predict, evaluate."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

from fairvision.base import (
    accepts,
    are_maps,
    compose,
    fit_with_groups,
    is_images,
    read_once,
    rows_for,
    rows_of,
)
from fairvision.comparison.artifacts import collect, group_words, worst_cell
from fairvision.comparison.checkpoints import add_callbacks, restored_seconds
from fairvision.comparison.data import class_names
from fairvision.comparison.estimators import set_up
from fairvision.comparison.kept import kept_model
from fairvision.comparison.plan import PLAIN_TRAINING, MethodPlan, Plan
from fairvision.comparison.run import Predictions, Run
from fairvision.comparison.split import split_rows, validation_rows
from fairvision.exceptions import InputError
from fairvision.metrics import Evaluation, calibrated_threshold, evaluate_predictions, leakage
from fairvision.nn import choose_device, seeded_rng
from fairvision.plugins import RegisteredMethod, default_registry, resolve

__all__ = [
    "Fitted",
    "build",
    "check_device",
    "check_suited",
    "fit_run",
    "predict_validation",
    "run_method",
]


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
    """Make the unfitted estimator of a method, its ERM classifier inside or behind it."""
    model = None if method.model is None else build(method.model, plan, seed, callbacks)
    inner = {} if model is None or method.stage == "pre" else {"estimator": model}
    if method.estimator is not None:
        made = set_up(method.estimator, plan, seed, callbacks)
        made = made.set_params(**inner) if inner else made
    else:
        common = {"max_epochs": plan.max_epochs, "device": plan.device, "random_state": seed}
        known = inspect.signature(resolve(default_registry().find("method", method.name)))
        if inner:  # it has the epochs and callbacks already
            common.pop("max_epochs")
            callbacks = ()
        accepted = {name: value for name, value in common.items() if name in known.parameters}
        params = {**accepted, **inner, **method.params}
        made = default_registry().make(method.name, method.preset, **params)
        add_callbacks(made, callbacks)
    return compose(pre=made, model=model) if method.stage == "pre" else made


def check_device(device: str) -> None:
    """Refuse a device that torch does not see."""
    choose_device(device)


def check_suited(method: MethodPlan, data: Bunch) -> None:
    """Check before training that the method takes the data's classes and groups.

    Raises
    ------
    InputError
        If it takes fewer classes or groups.
    """
    if not method.is_registered:
        return
    registered = cast(RegisteredMethod, default_registry().find("method", method.name))
    # A method for two groups takes several columns of two values one by one, or fails at fit.
    n_groups = data.sensitive_features.nunique().max()
    if refusal := registered.refusal(len(np.unique(data.target)), n_groups):
        raise InputError(f"{method.label} {refusal}.")


def _warm_up(device: str) -> None:
    """Train a net on eight images: torch imports a good deal at the first step of a process.

    Otherwise the first method's training time would include those imports.
    """
    with _ALONE:  # a training seeds the global generators, which another run may be reading
        _train_once(device)


@cache
def _train_once(device: str) -> None:
    params = {"max_epochs": 1, "device": device, "random_state": 0}
    plain = default_registry().make(PLAIN_TRAINING, None, **params)
    plain.fit(np.zeros((8, 1, 24, 24), dtype=np.uint8), np.arange(8) % 2)


#: One run at a time in a process: comparisons in threads, or a Dask worker of several threads.
#: It is not the lock of `isolated_rng`, for which threads that a run starts may wait.
_ALONE = threading.RLock()


@contextmanager
def _reproducible(n_threads: int, seed: int) -> Iterator[None]:
    """Limit the CPU threads, which decide the order of sums, and seed the global generators.

    Estimators of others may read the global generators; ours read `random_state` alone.
    """
    with _ALONE:
        before = torch.get_num_threads()
        try:
            with threadpool_limits(n_threads), seeded_rng(seed):
                torch.set_num_threads(n_threads)
                yield
        finally:
            torch.set_num_threads(before)


def run_method(
    plan: Plan,
    data: Bunch,
    method: MethodPlan,
    seed: int,
    *,
    callbacks: Sequence[Any] = (),
) -> Run:
    """Fit one method on one seed's training rows and measure it on its test rows."""
    check_suited(method, data)
    _warm_up(plan.device)
    with _reproducible(plan.n_threads, seed):
        fitted = fit_run(plan, data, method, seed, callbacks=callbacks)
        return _measure(plan, data, method, seed, fitted)


def fit_run(
    plan: Plan,
    data: Bunch,
    method: MethodPlan,
    seed: int,
    *,
    callbacks: Sequence[Any] = (),
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
    """
    _warm_up(plan.device)  # before the seed is set: only then is there a generator on the GPU
    with _reproducible(plan.n_threads, seed):
        train, test = split_rows(data, plan.split, seed, balanced=method.balanced)
        estimator = build(method, plan, seed, callbacks)
        images, y, groups = _take(data, train, estimator)
        start = time.perf_counter()
        fit_groups = groups if method.groups_at_fit else None
        more = data.get("fit_params") or {}
        fit_with_groups(estimator, images, y, sensitive_features=fit_groups, **more)
        seconds = time.perf_counter() - start + restored_seconds(_inner(estimator))
        return Fitted(estimator, train, test, seconds)


def _take(data: Bunch, rows: Any, reader: Any) -> tuple[Any, Any, Any]:
    images = rows_for(reader, data.images, rows)
    return images, data.target[rows], data.sensitive_features.iloc[rows]


def _measure(plan: Plan, data: Bunch, method: MethodPlan, seed: int, fitted: Fitted) -> Run:
    estimator, test = fitted.estimator, fitted.test
    images, y_true, groups = _take(data, test, estimator)
    images = read_once(images)
    y_true = np.asarray(y_true)
    y_pred, y_score = _predict(estimator, images, groups, method.groups_at_predict)
    validation = predict_validation(plan, data, method, seed, estimator)
    threshold = _threshold(data, validation)
    evaluation = evaluate_predictions(
        y_true,
        y_pred,
        sensitive_features=groups,
        y_score=y_score,
        labels=np.unique(data.target),
        n_boot=plan.n_boot,
        random_state=seed,
        train=_biased_rows(plan, data, method, seed, fitted),
        threshold=threshold,
    )
    classes, rows = class_names(data), (images, y_true, groups)

    def first_wrong() -> dict[str, Any]:
        pictures = _pictures(data, test, images)
        return collect(method.name, estimator, *rows, y_pred, evaluation, classes, seed, pictures)

    return Run(
        request=plan.request(method, seed),
        method=method.label,
        seed=seed,
        n_train=len(fitted.train),
        n_test=len(test),
        n_steps=_steps(estimator),
        train_seconds=fitted.seconds,
        evaluation=evaluation.to_dict(),
        worst_group=_worst_group(evaluation, classes),
        leakage=_leakage(estimator, *rows, plan.n_boot, seed),
        history=_history(estimator),
        rows=np.asarray(test, dtype=np.int64),
        y_true=y_true,
        y_pred=y_pred,
        y_score=y_score,
        threshold=threshold,
        validation=None if method.balanced else validation,
        **(kept_model(estimator, data) if plan.keep_models else {}),
        artifacts=first_wrong() if plan.has_artifacts(seed) else None,
    )


def _pictures(data: Bunch, rows: Any, X: Any) -> Any:
    """The images of the rows in `X`, also where the methods were given features; else None."""
    images = rows_of(data.pictures, rows) if "pictures" in data else X
    return images if is_images(images) and not are_maps(images) else None


def _biased_rows(plan: Plan, data: Bunch, method: MethodPlan, seed: int, fitted: Fitted) -> Any:
    """Targets and groups of the biased training rows, the balanced baseline's too.

    Bias amplification takes its directions from them, and groups that they lack are named.
    """
    rows = split_rows(data, plan.split, seed)[0] if method.balanced else fitted.train
    return data.target[rows], data.sensitive_features.iloc[rows]


def predict_validation(
    plan: Plan, data: Bunch, method: MethodPlan, seed: int, estimator: Any
) -> Predictions | None:
    """The predictions for the validation rows, if there are any."""
    rows = validation_rows(data, plan.split, seed, balanced=method.balanced)
    if not len(rows):
        return None
    images, y_true, groups = _take(data, rows, estimator)
    y_pred, y_score = _predict(estimator, read_once(images), groups, method.groups_at_predict)
    return Predictions(rows.astype(np.int64), np.asarray(y_true), y_pred, y_score)


def _threshold(data: Bunch, validation: Predictions | None) -> float | None:
    """Threshold that predicts as many validation rows positive as are (Ramaswamy et al. 2021)."""
    classes = np.unique(data.target)
    if validation is None or validation.y_score is None or len(classes) != 2:
        return None
    scores = validation.y_score
    cut = calibrated_threshold(validation.y_true, scores, pos_label=classes[1])
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
    """The class and group with the lowest accuracy."""
    cell = worst_cell(evaluation)
    if cell is None:
        return None
    group, code = cell
    counts = evaluation.counts[group, code]
    return {
        "class": classes[code],
        "group": group_words(evaluation.groups[group]),
        "n": int(counts.sum()),
        "accuracy": float(counts[code] / counts.sum()),
    }


def _leakage(
    estimator: Any, images: Any, y: Any, groups: Any, n_boot: int, seed: int
) -> dict[str, Any] | None:
    """How well a fresh probe reads each group column from the learned features."""
    if not hasattr(estimator, "transform"):
        return None
    features = np.asarray(estimator.transform(images), dtype=np.float64)
    numbers: dict[str, Any] = {}
    for name in groups.columns:
        column = groups[name].to_numpy()
        try:
            table = leakage(features, column, y=y, n_boot=n_boot, random_state=seed)
        except InputError as error:  # too few rows to probe are no fault of the method
            numbers[str(name)] = {"note": str(error)}
            continue
        numbers[str(name)] = table.to_dict(orient="index")
    return numbers


def _inner(estimator: Any) -> list[Any]:
    """The estimator and everything fitted inside it, outermost first."""
    chain: list[Any] = []
    while estimator is not None and len(chain) < 20:
        chain.append(estimator)
        names = ("estimator_", "classifier_", "final_estimator_", "_final_estimator")
        estimator = next((getattr(estimator, n) for n in names if hasattr(estimator, n)), None)
    return chain


def _steps(estimator: Any) -> int | None:
    counts = [step.n_steps_ for step in _inner(estimator) if hasattr(step, "n_steps_")]
    return int(sum(counts)) if counts else None


def _history(estimator: Any) -> list[dict[str, Any]]:
    """The training curves of the innermost net, numbers only."""
    for step in reversed(_inner(estimator)):
        if hasattr(step, "history_"):
            return [
                {k: float(v) for k, v in epoch.items() if isinstance(v, (int, float))}
                for epoch in step.history_
                if isinstance(epoch, Mapping)
            ]
    return []

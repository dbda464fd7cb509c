"""One run: build, fit, predict, evaluate."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.base import accepts, compose, fit_with_groups
from fairvision.comparison.plan import MethodPlan, Plan
from fairvision.comparison.split import split_rows
from fairvision.metrics import evaluate_predictions, leakage
from fairvision.plugins import RegisteredMethod, default_registry, resolve

__all__ = ["Run", "build", "execute"]


@dataclass(frozen=True, eq=False)
class Run:
    """What one method did with one seed.

    Attributes
    ----------
    identity : str
        Hash of what decided the numbers.
    method, seed : the label and the seed
    n_train, n_test : int
    n_steps : int or None
        Optimisation steps, where the method counts them.
    train_seconds : float
        Of `fit`.
    evaluation : dict
        `Evaluation.to_dict`.
    leakage : dict or None
        A fresh probe's reading of the group from the test features.
    history : list of dict
        Training curves, an entry an epoch.
    rows, y_true, y_pred : ndarray of shape (n_test,)
        Row numbers in the data set, class codes, predicted class codes.
    y_score : ndarray of shape (n_test,) or (n_test, n_classes), or None
    """

    identity: str
    method: str
    seed: int
    n_train: int
    n_test: int
    n_steps: int | None
    train_seconds: float
    evaluation: dict[str, Any]
    leakage: dict[str, Any] | None
    history: list[dict[str, Any]]
    rows: NDArray[np.int64]
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    y_score: NDArray[np.float64] | None


def build(method: MethodPlan, plan: Plan, seed: int, callbacks: Sequence[Any] = ()) -> Any:
    """Make the estimator of a method: composed with plain training unless it trains itself."""
    registry = default_registry()
    found = registry.find("method", method.name)
    common = {
        "max_epochs": plan.max_epochs,
        "device": plan.device,
        "random_state": seed,
        "callbacks": list(callbacks),
    }

    def make(which: RegisteredMethod, preset: str | None, params: dict[str, Any]) -> Any:
        known = inspect.signature(resolve(which)).parameters
        given = {name: value for name, value in common.items() if name in known}
        return registry.make(which.qualified_name, preset, **{**given, **params})

    own = dict(method.params)
    if method.stage == "in":
        return make(found, method.preset, own)
    plain = registry.find("method", "fairvision:erm")
    model = make(plain, "quick" if method.preset == "quick" else None, {})
    if method.stage == "pre":
        return compose(pre=make(found, method.preset, own), model=model)
    return make(found, method.preset, {"estimator": model, **own})


@cache
def _warm_up() -> None:
    """Train a net on eight images: torch imports a good deal at the first step of a process.

    The first method's seconds would otherwise hold those imports.
    """
    plain = default_registry().make("fairvision:erm", None, max_epochs=1, random_state=0)
    plain.fit(np.zeros((8, 1, 24, 24), dtype=np.uint8), np.arange(8) % 2)


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
    _warm_up()
    train, test = split_rows(data, plan.split, seed)
    estimator = build(method, plan, seed, callbacks)
    groups = data.sensitive_features
    start = clock()
    fit_with_groups(
        estimator, data.images[train], data.target[train], sensitive_features=groups.iloc[train]
    )
    seconds = clock() - start
    images, y_true, groups = data.images[test], data.target[test], groups.iloc[test]
    y_pred, y_score = _predict(estimator, images, groups, method.groups_at_predict)
    evaluation = evaluate_predictions(
        y_true,
        y_pred,
        sensitive_features=groups,
        y_score=y_score,
        labels=np.unique(data.target),
        n_boot=plan.n_boot,
        random_state=seed,
    )
    return Run(
        identity=plan.identity(method, seed),
        method=method.label,
        seed=seed,
        n_train=len(train),
        n_test=len(test),
        n_steps=_steps(estimator),
        train_seconds=seconds,
        evaluation=evaluation.to_dict(),
        leakage=_leakage(estimator, images, y_true, groups, plan.n_boot, seed),
        history=_history(estimator),
        rows=np.asarray(test, dtype=np.int64),
        y_true=np.asarray(y_true),
        y_pred=np.asarray(y_pred),
        y_score=y_score,
    )


def _predict(
    estimator: Any, images: Any, groups: Any, groups_at_predict: bool
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Labels, and scores of the positive class (or of all classes, if more than two)."""

    def call(method: Any) -> NDArray[Any]:
        if groups_at_predict and accepts(method, "sensitive_features"):
            return np.asarray(method(images, sensitive_features=groups))
        return np.asarray(method(images))

    y_pred = call(estimator.predict)
    if not hasattr(estimator, "predict_proba"):
        return y_pred, None
    scores = np.asarray(call(estimator.predict_proba), dtype=np.float64)
    return y_pred, scores[:, 1] if scores.shape[1] == 2 else scores


def _leakage(
    estimator: Any, images: Any, y: Any, groups: Any, n_boot: int, seed: int
) -> dict[str, Any] | None:
    """How well a fresh probe reads each group column from the learned features."""
    if not hasattr(estimator, "transform"):
        return None
    features = np.asarray(estimator.transform(images), dtype=np.float64)
    if not np.isfinite(features).all() or features.std() == 0:
        return None
    found = {}
    for name in groups.columns:
        table = leakage(features, groups[name].to_numpy(), y=y, n_boot=n_boot, random_state=seed)
        found[str(name)] = {
            str(row): {str(k): float(v) for k, v in values.items()}
            for row, values in table.to_dict(orient="index").items()
        }
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

"""`evaluate`: predict with a fitted estimator, and evaluate the predictions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fairvision.base import Groups, accepts, as_generator, check_meet, read_once
from fairvision.metrics.evaluation import Evaluation
from fairvision.metrics.inputs import read_groups, read_labels
from fairvision.metrics.predictions import evaluate_predictions, unseen_classes
from fairvision.metrics.selection import reads_scores

__all__ = ["evaluate"]


def evaluate(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    sensitive_features: Any,
    metrics: str | Iterable[str] = "default",
    n_boot: int = 1000,
    random_state: Any = None,
    train: Any = None,
    **options: Any,
) -> Evaluation:
    """Predict with a fitted estimator, and evaluate.

    Scores come from `predict_proba`, or else `decision_function`, where a
    metric reads them; lazy images are decoded once for both. Group labels are passed to `predict`
    if it takes them.

    Parameters
    ----------
    estimator : object
        Fitted classifier with `predict`.
    X : array-like
        What the estimator takes.
    y : array-like of shape (n_samples,)
    sensitive_features, metrics, n_boot, random_state
        As in :func:`evaluate_predictions`.
    train : tuple (y, sensitive_features), Groups, or None
        As in :func:`evaluate_predictions`; by default the estimator's ``groups_``, if it
        keeps the groups that its fit saw and they are of the same attributes.
    **options
        `sample_weight`, `level`, `interval`, `pos_label`, `labels`, `score_labels`,
        `privileged`, `min_support`, `missing` and `threshold`, as in
        :func:`evaluate_predictions`; `labels` and `score_labels` are the estimator's
        ``classes_`` unless given.

    Returns
    -------
    Evaluation
    """
    rng, X = as_generator(random_state), read_once(X)
    y_pred = _call(estimator.predict, X, sensitive_features, rng)
    score = _scores(estimator, X, sensitive_features, rng) if reads_scores(metrics) else None
    known = getattr(estimator, "classes_", None)
    if train is None:
        missing = options.get("missing", "raise")
        train = _seen_at_fit(estimator, sensitive_features, len(y_pred), missing)
    notes = []
    if known is not None:
        classes, present = np.asarray(known).tolist(), read_labels("y", y)[1]
        if "labels" not in options:
            check_meet(("y", "the estimator"), present, classes)
        notes = unseen_classes(present, classes)
        labels = [*classes, *(label for label in present if label not in set(classes))]
        options = {"labels": labels, "score_labels": known, **options}
    evaluation = evaluate_predictions(
        y,
        y_pred,
        sensitive_features=sensitive_features,
        y_score=score,
        metrics=metrics,
        n_boot=n_boot,
        random_state=rng,
        train=train,
        **options,
    )
    evaluation.notes += [note for note in notes if note not in evaluation.notes]
    return evaluation


def _seen_at_fit(
    estimator: Any, sensitive_features: Any, n_samples: int, missing: str
) -> Groups | None:
    """The groups of the training rows, if they are of the same attributes."""
    seen = getattr(estimator, "groups_", None)
    if not isinstance(seen, Groups):
        return None
    evaluated = read_groups(sensitive_features, n_samples, missing)
    return seen if seen.names == evaluated.names else None


def _scores(estimator: Any, X: Any, sensitive_features: Any, rng: np.random.Generator) -> Any:
    if hasattr(estimator, "predict_proba"):
        return _call(estimator.predict_proba, X, sensitive_features, rng)
    if hasattr(estimator, "decision_function"):
        score = np.asarray(_call(estimator.decision_function, X, sensitive_features, rng))
        return np.stack([-score, score], axis=1) if score.ndim == 1 else score
    return None


def _call(predict: Any, X: Any, sensitive_features: Any, rng: np.random.Generator) -> Any:
    """Pass the groups, and a seed from `rng`, where `predict` takes them."""
    options: dict[str, Any] = {}
    if accepts(predict, "sensitive_features"):
        options["sensitive_features"] = sensitive_features
    if accepts(predict, "random_state"):
        options["random_state"] = int(rng.integers(2**31 - 1))
    return predict(X, **options)

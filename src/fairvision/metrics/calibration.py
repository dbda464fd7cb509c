"""The calibrated threshold, predictions at a threshold, and reliability curves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fairvision.base import check_labels
from fairvision.exceptions import InputError
from fairvision.metrics.confusion import Floats, divide
from fairvision.metrics.grouping import Grouping
from fairvision.metrics.inputs import Predictions, as_floats, check_weight
from fairvision.metrics.scores import ECE_BINS

__all__ = ["at_thresholds", "calibrated_threshold", "reliability_curves"]


def calibrated_threshold(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: Any = 1,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Threshold at which as many rows are predicted positive as are truly positive.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels, best of validation data.
    y_score : array-like of shape (n_samples,)
        Higher for the positive class.
    pos_label : object
        Of the type of the labels.
    sample_weight : array-like of shape (n_samples,) or None

    Returns
    -------
    float
        Predict positive where ``score >= threshold``. With ties, the number of predicted
        positives is as near as possible to the true one. Infinity without positives.

    References
    ----------
    Ramaswamy, Kim, Russakovsky, "Fair Attribute Classification through Latent
    Space De-biasing", CVPR 2021.
    """
    score = as_floats("y_score", y_score)
    labels = check_labels(y_true, "y_true")
    kinds = {isinstance(label, str) for label in labels.tolist()}
    if kinds and isinstance(pos_label, str) not in kinds:
        raise InputError(
            f"pos_label is {pos_label!r}; y_true has labels such as {labels[0]!r}. Pass one."
        )
    positive = labels == pos_label
    if score.shape != positive.shape or score.ndim != 1:
        raise InputError(f"y_score has shape {score.shape}, y_true {positive.shape}; expected one.")
    weight = check_weight(sample_weight, len(score))
    weight = np.ones(len(score)) if weight is None else weight
    values, place = np.unique(score, return_inverse=True)
    at_least = np.cumsum(np.bincount(place, weights=weight)[::-1])[::-1]
    cuts, predicted = np.r_[values, np.inf], np.r_[at_least, 0.0]
    return float(cuts[np.argmin(np.abs(predicted - weight[positive].sum()))])


def at_thresholds(
    data: Predictions, scores: Iterable[Floats], thresholds: Iterable[float | None]
) -> Predictions:
    """The data as one class against the rest, each prediction made by a threshold on scores.

    Where a threshold is None, it is the calibrated one of this data.
    """
    assert data.positive is not None
    positive = data.y_true == data.positive
    predicted = []
    for score, threshold in zip(scores, thresholds, strict=True):
        if threshold is None:
            threshold = calibrated_threshold(
                positive, score, pos_label=True, sample_weight=data.weight
            )
        predicted.append((score >= threshold).astype(np.int64))
    label = data.classes[data.positive]
    rest = [c for c in data.classes.tolist() if c != label]
    classes = np.empty(2, dtype=object)
    classes[:] = [rest[0] if len(rest) == 1 else f"not {label}", label]
    return replace(
        data,
        classes=classes,
        y_true=positive.astype(np.int64),
        y_pred=tuple(predicted),
        positive=1,
    )


def reliability_curves(
    grouping: Grouping,
    group: NDArray[np.int64],
    target: NDArray[np.bool_],
    score: Floats,
    weight: Floats | None,
) -> pd.DataFrame | None:
    """By group and bin of scores: n rows, mean score, observed share.

    None if the scores are no probabilities.
    """
    if score.min() < 0 or score.max() > 1:
        return None
    weight = np.ones(len(score)) if weight is None else weight
    bins = np.minimum((score * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    place = grouping.merge[group] * ECE_BINS + bins
    size = len(grouping) * ECE_BINS
    total = np.bincount(place, weights=weight, minlength=size)
    table = grouping.columns().loc[np.repeat(np.arange(len(grouping)), ECE_BINS)]
    edges = np.arange(ECE_BINS) / ECE_BINS
    table = table.reset_index(drop=True).assign(
        low=np.tile(edges, len(grouping)),
        high=np.tile(edges + 1 / ECE_BINS, len(grouping)),
        n=np.bincount(place, minlength=size),
        mean_score=divide(np.bincount(place, weights=weight * score, minlength=size), total),
        observed=divide(np.bincount(place, weights=weight * target, minlength=size), total),
    )
    return table[table["n"] > 0].reset_index(drop=True)

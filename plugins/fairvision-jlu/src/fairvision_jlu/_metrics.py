"""Accuracy within Alvi et al.'s two extremes, read from a test set that has both."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fairvision.exceptions import UndefinedMetricError

__all__ = ["extreme_1_accuracy", "extreme_2_accuracy"]


def _accuracy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sensitive_features: Any,
    y_score: Any = None,
    sample_weight: ArrayLike | None = None,
    extreme: int,
) -> float:
    true, group = (
        np.unique(np.asarray(labels), return_inverse=True)
        for labels in (y_true, sensitive_features)
    )
    if np.ndim(sensitive_features) != 1 or (len(true[0]), len(group[0])) != (2, 2):
        raise UndefinedMetricError("it reads two classes and one attribute of two groups")
    rows = (true[1] != group[1]) == (extreme == 2)
    right = np.asarray(y_true) == np.asarray(y_pred)
    weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
    return float(np.average(right[rows], weights=weight))


#: Where the first class meets the first group, or the last the last, both in sorted order.
extreme_1_accuracy = partial(_accuracy, extreme=1)
#: Where the first class meets the last group, or the last the first.
extreme_2_accuracy = partial(_accuracy, extreme=2)

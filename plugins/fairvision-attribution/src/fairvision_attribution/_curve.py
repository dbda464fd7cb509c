"""Accuracy over the quantile: how much of the picture to hide, judged on validation data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from fairvision.base import Resampled, check_groups

__all__ = ["cell_accuracies", "quantile_curve"]


def quantile_curve(
    model: Resampled,
    X: Any,
    y: ArrayLike,
    *,
    sensitive_features: Any,
    validation: tuple[Any, ArrayLike, Any],
    quantiles: Sequence[float] = (0.6, 0.7, 0.8, 0.9, 0.95),
) -> pd.DataFrame:
    """Train at each quantile, and measure on validation data.

    The region classifier is fitted once. Choose by this table, and look at test
    data once, with the quantile that was chosen.

    Parameters
    ----------
    model : Resampled
        Of an `AttributionNoise` and a classifier, as `fairvision.compose` makes it.
        Cloned, not fitted.
    X, y, sensitive_features : training data
    validation : tuple (X, y, sensitive_features)
        Other pictures, best with as many of every class and group.
    quantiles : sequence of float

    Returns
    -------
    DataFrame
        A row a quantile: ``accuracy``; ``gap``, between the best and the worst class;
        ``worst``, the lowest accuracy of a class in a group.
    """
    sampler = clone(model.sampler)
    sampler.fit(X, y, sensitive_features=sensitive_features)
    frozen = FrozenEstimator(sampler.attribution_)
    rows = []
    for quantile in quantiles:
        one = clone(model).set_params(sampler__quantile=quantile, sampler__attribution=frozen)
        one.fit(X, y, sensitive_features=sensitive_features)
        cells = cell_accuracies(one.predict(validation[0]), validation[1], validation[2])
        by_class = cells.groupby(level="class").apply(_mean)
        rows.append(
            {
                "quantile": quantile,
                "accuracy": _mean(cells),
                "gap": by_class.max() - by_class.min(),
                "worst": cells["accuracy"].min(),
            }
        )
    return pd.DataFrame(rows).set_index("quantile")


def _mean(cells: pd.DataFrame) -> float:
    return float(np.average(cells["accuracy"], weights=cells["n"]))


def cell_accuracies(predicted: Any, y: ArrayLike, sensitive_features: Any) -> pd.DataFrame:
    """``accuracy`` and ``n`` of each class in each group."""
    targets = np.asarray(y)
    groups = check_groups(sensitive_features, len(targets), required_by="cell_accuracies")
    assert groups is not None
    codes, labels = groups.intersection()
    names = np.array([str(label) for label in labels], dtype=object)[codes]
    right = pd.DataFrame({"class": targets, "group": names, "right": predicted == targets})
    cells = right.groupby(["class", "group"])["right"]
    return pd.DataFrame({"accuracy": cells.mean(), "n": cells.size()})

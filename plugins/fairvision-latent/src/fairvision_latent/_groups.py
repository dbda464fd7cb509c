"""Targets and groups of the rows that a sampler returns."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.base import Groups
from fairvision.exceptions import InputError

__all__ = ["as_given", "check_cells", "check_protected", "count_rows"]


def as_given(sensitive_features: Any, groups: Groups) -> Any:
    """Group labels of the new rows in the form of those given."""
    columns = [groups.column(j) for j in range(len(groups.names))]
    if isinstance(sensitive_features, dict) or hasattr(sensitive_features, "columns"):
        named = dict(zip(groups.names, columns, strict=True))
        if isinstance(sensitive_features, dict):
            return named
        frame = pd.DataFrame(named)
        dtypes = getattr(sensitive_features, "dtypes", None)
        return frame.astype(dtypes.to_dict()) if isinstance(dtypes, pd.Series) else frame
    if np.ndim(sensitive_features) == 2:
        return np.column_stack(columns)
    if isinstance(sensitive_features, pd.Series):
        return pd.Series(columns[0], name=sensitive_features.name).astype(sensitive_features.dtype)
    return columns[0]


def count_rows(target: NDArray[Any], groups: Groups) -> pd.Series:
    """Rows of each (target, group)."""
    columns = {name: groups.column(j) for j, name in enumerate(groups.names)}
    frame = pd.DataFrame({"target": target, **columns})
    return frame.groupby(list(frame)).size()


def check_protected(groups: Groups) -> None:
    """Refuse an attribute without two values, or with the name of the target's hyperplane."""
    for name, categories in zip(groups.names, groups.categories, strict=True):
        if len(categories) != 2:
            raise InputError(
                f"sensitive feature {name!r} has {len(categories)} groups; LatentPairSampler "
                "flips attributes of two values. Merge groups, or pass several columns of two."
            )
    if "target" in groups.names:
        raise InputError(
            "a sensitive feature is called 'target', which in hyperplanes_ is the target's "
            "hyperplane. Rename the column."
        )


def check_cells(
    labels: NDArray[np.bool_], groups: Groups, classes: NDArray[Any], *, fewest: int
) -> None:
    """Refuse data with too few rows of a target in a group.

    Parameters
    ----------
    labels : ndarray of shape (n_samples, 1 + n_protected)
        The target, then the protected attributes.
    """
    for (j, name), code, target in product(enumerate(groups.names), (0, 1), (0, 1)):
        n = int(((labels[:, 0] == target) & (labels[:, 1 + j] == code)).sum())
        if n < fewest:
            group, label = groups.categories[j].tolist()[code], classes.tolist()[target]
            raise InputError(
                f"Target {label!r} has {n} row(s) with {name}={group!r}; LatentPairSampler "
                f"needs {fewest} or more in every group. Add rows, or use another attribute."
            )

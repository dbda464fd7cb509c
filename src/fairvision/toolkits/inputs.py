"""What every method here reads: targets and groups, one of each per image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

from fairvision.base import Groups, check_groups
from fairvision.exceptions import InputError

__all__ = ["read_binary", "read_rows"]


def read_rows(
    owner: Any, X: Any, y: ArrayLike, sensitive_features: Any
) -> tuple[NDArray[Any], Groups]:
    """Targets of shape (n_samples,), and groups, which are required."""
    targets = np.asarray(column_or_1d(y))
    if len(targets) != len(X):
        raise InputError(f"y has {len(targets)} rows, X has {len(X)}. Pass one label per image.")
    groups = check_groups(sensitive_features, len(X), required_by=type(owner).__name__)
    assert groups is not None  # None raises where groups are required
    return targets, groups


def read_binary(
    owner: Any, X: Any, y: ArrayLike, sensitive_features: Any
) -> tuple[NDArray[Any], NDArray[np.int64], Groups]:
    """The two classes, the code of each row's class, and groups."""
    targets, groups = read_rows(owner, X, y, sensitive_features)
    classes, codes = np.unique(targets, return_inverse=True)
    if len(classes) != 2:
        raise InputError(f"{type(owner).__name__} takes two classes; y has {classes.tolist()}.")
    return classes, codes.astype(np.int64), groups

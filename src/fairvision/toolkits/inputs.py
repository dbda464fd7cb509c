"""Check targets and groups, and draw labels, the same for all methods of this room."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base import Groups, check_form, check_groups, check_labels, code_labels, row_draws
from fairvision.exceptions import InputError

__all__ = ["check_binary", "check_targets_and_groups", "draw_labels"]


def check_targets_and_groups(
    owner: Any, X: Any, y: ArrayLike, sensitive_features: Any
) -> tuple[NDArray[Any], Groups]:
    """The targets as an array of shape (n_samples,), and the groups, which are required."""
    check_form(X, passes_on=True)
    targets = check_labels(y, n_samples=len(X))
    groups = check_groups(sensitive_features, len(X), required_by=type(owner).__name__)
    assert groups is not None  # check_groups raises if required groups are None
    return targets, groups


def check_binary(
    owner: Any, X: Any, y: ArrayLike, sensitive_features: Any
) -> tuple[NDArray[Any], NDArray[np.int64], Groups]:
    """The two classes, the class code of each row, and the groups."""
    targets, groups = check_targets_and_groups(owner, X, y, sensitive_features)
    codes, classes = code_labels(targets)
    if len(classes) != 2:
        raise InputError(f"{type(owner).__name__} takes two classes; y has {classes.tolist()}.")
    return classes, codes, groups


def draw_labels(
    classes: NDArray[Any], positive: NDArray[np.float64], random_state: Any
) -> NDArray[Any]:
    """Draw the second of two classes with the probability of each row."""
    return classes[(positive > row_draws(random_state, len(positive))).astype(int)]

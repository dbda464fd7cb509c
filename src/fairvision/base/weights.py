"""Weights of rows under which target and group are independent."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base.labels import check_labels, code_labels

__all__ = ["independence_weights"]


def independence_weights(
    targets: ArrayLike,
    groups: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    equal_groups: bool = False,
) -> NDArray[np.float64]:
    """Weights of rows under which target and group are independent.

    A row of target y and group a weighs ``P(y) P(a) / P(y, a)`` [1]_, so that classes
    and groups keep their shares. With `equal_groups` it weighs ``P(y) / (K P(y, a))``,
    where K is the number of groups that occur in class y: classes keep their shares, and
    within a class every group has the same share.

    Parameters
    ----------
    targets : array-like of shape (n_samples,)
        Labels of any type that sorts.
    groups : array-like of shape (n_samples,) or (n_samples, n_sensitive)
        Several columns become independent of the target and of each other; with
        `equal_groups` every combination of their labels is one group.
    sample_weight : array-like of shape (n_samples,) or None, default=None
        A row of weight 2 counts as two rows, a row of weight 0 does not count.
    equal_groups : bool, default=False
        Whether the groups have equal shares within a class. A class with a single
        group then weighs 0, because in it the target tells the group.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        A factor for each row, to multiply `sample_weight` by. All are 0 if
        `equal_groups` is set and every class has a single group.

    References
    ----------
    .. [1] F. Kamiran, T. Calders: Data preprocessing techniques for classification
       without discrimination. Knowledge and Information Systems 33, 2012.

    Examples
    --------
    >>> from fairvision.base import independence_weights
    >>> independence_weights([0, 0, 1, 1], ["x", "x", "x", "z"]).tolist()
    [0.75, 0.75, 1.5, 0.5]
    >>> independence_weights([0, 0, 1, 1], ["x", "x", "x", "z"], equal_groups=True).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    target = check_labels(targets, "targets")
    columns = [target, *np.asarray(groups).reshape(len(target), -1).T]
    codes = np.stack([code_labels(check_labels(c, "groups"))[0] for c in columns], axis=1)
    amount = np.ones(len(target)) if sample_weight is None else np.asarray(sample_weight, float)
    cells, cell = np.unique(codes, axis=0, return_inverse=True)
    joint = np.bincount(cell.reshape(-1), amount)
    counts = joint > 0
    if equal_groups:
        n_groups = np.bincount(cells[:, 0], counts)[cells[:, 0]]
        counts &= n_groups > 1
        product = np.bincount(cells[:, 0], joint)[cells[:, 0]]
        joint = n_groups * joint
    else:
        shares = [np.bincount(column, amount) / amount.sum() for column in codes.T]
        each = [share[code] for share, code in zip(shares, cells.T, strict=True)]
        product = np.prod(each, axis=0) * amount.sum()
    weights = np.divide(product, joint, out=np.zeros(len(cells)), where=counts)
    return weights[cell.reshape(-1)]

"""Accuracy of a new classifier (a probe) that predicts the group from learned features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fairvision.base import as_generator, independence_weights
from fairvision.exceptions import InputError
from fairvision.metrics.bootstrap import Bootstrap, estimate
from fairvision.metrics.confusion import Floats, divide
from fairvision.metrics.grouping import groupings
from fairvision.metrics.inputs import as_floats, read_groups, read_labels

__all__ = ["leakage"]

Codes = NDArray[np.int64]


def leakage(
    features: ArrayLike,
    sensitive_features: Any,
    *,
    y: ArrayLike | None = None,
    cv: int = 5,
    n_boot: int = 1000,
    level: float = 0.95,
    random_state: Any = None,
    missing: str = "raise",
) -> pd.DataFrame:
    """Accuracy of a fresh, cross-validated probe that predicts the group from features.

    A new logistic regression, independent of any adversary of the method, is
    trained on frozen features, such as ``model.transform(X)``, and predicts
    the rows that it was not fitted on.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Further dimensions are flattened.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
        Several columns are crossed.
    y : array-like of shape (n_samples,) or None
        The target. If target and group are correlated, features that encode only
        the target still predict the group. The balanced probe sees every group
        equally often within each class, which removes this effect.
    cv : int
        Folds.
    n_boot : int
        Bootstrap draws of the rows, with the fitted probes held fixed.
    level : float
    random_state : int, Generator, RandomState or None
    missing : {"raise", "group"}

    Returns
    -------
    DataFrame
        Columns value, lower, upper, chance. Rows: ``accuracy`` (chance is the
        largest group's share), ``balanced_accuracy`` (mean recall of the
        groups; the probe is trained with balanced groups), and with `y`
        ``target_balanced_accuracy`` (mean recall over class and group; the
        probe is trained with groups balanced within each class; a class with
        a single group is left out). Chance is one over the number of groups
        for the last two.

    Raises
    ------
    InputError
        If there is one group only (in every class, with `y`), a group (of a
        class, with `y`) has fewer than `cv` rows, or features are not finite.

    References
    ----------
    Alvi, Zisserman, Nellaker, "Turning a Blind Eye", ECCV workshops 2018.
    """
    X = _check_features(features)
    groups = read_groups(sensitive_features, len(X), missing)
    codes, finest_first = groupings(groups)
    labels = finest_first[0].labels
    if len(labels) < 2:
        raise InputError(f"leakage needs two groups or more; all rows are in {labels[0]!r}.")
    rng = as_generator(random_state)
    strata = codes
    if y is not None:
        classes, _ = read_labels("y", y)
        if len(classes) != len(X):
            raise InputError(f"y has {len(classes)} rows, features {len(X)}.")
        strata = classes * len(labels) + codes
    seed = int(rng.integers(2**31 - 1))
    bootstrap = Bootstrap(n_boot, level)
    folds = _folds(strata, cv, seed)
    rows = {
        "accuracy": _probe(X, codes, np.zeros_like(codes), folds, bootstrap, rng, balanced=False)
    }
    rows["balanced_accuracy"] = _probe(X, codes, np.zeros_like(codes), folds, bootstrap, rng)
    if y is not None:
        rows["target_balanced_accuracy"] = _probe(X, codes, classes, folds, bootstrap, rng)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "lower", "upper"])
    share = np.bincount(codes).max() / len(codes)
    table["chance"] = [share] + [1 / len(labels)] * (len(rows) - 1)
    return table


def _check_features(features: ArrayLike) -> Floats:
    X = as_floats("features", features)
    if X.ndim < 2 or len(X) == 0:
        raise InputError(f"features has shape {X.shape}; expected (n_samples, n_features).")
    X = X.reshape(len(X), -1)
    bad = int(np.count_nonzero(~np.isfinite(X).all(1)))
    if bad:
        raise InputError(f"features has {bad} row(s) with values that are not finite.")
    return X


def _folds(strata: Codes, cv: int, seed: int) -> list[tuple[Codes, Codes]]:
    from sklearn.model_selection import StratifiedKFold

    sizes = np.bincount(strata)
    smallest = int(sizes[sizes > 0].min())
    if smallest < cv:
        raise InputError(
            f"the smallest group (within a class) has {smallest} row(s), fewer than cv={cv}. "
            "Use fewer folds, or leave that group out."
        )
    splitter = StratifiedKFold(cv, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(strata)), strata))


def _probe(
    X: Floats,
    codes: Codes,
    classes: Codes,
    folds: list[tuple[Codes, Codes]],
    bootstrap: Bootstrap,
    rng: np.random.Generator,
    balanced: bool = True,
) -> tuple[float, float, float]:
    """Accuracy, or mean recall over (class, group), of out-of-fold predictions."""
    n_groups = int(codes.max()) + 1
    cell = classes * n_groups + codes if balanced else np.zeros_like(codes)
    weight = np.ones(len(codes))
    if balanced:
        weight = independence_weights(classes, codes, equal_groups=True)
    # A class with a single group says nothing of what the features know beyond the target.
    counted = weight > 0
    if not counted.any():
        raise InputError(
            "every class of y has a single group, so the target determines the group. Pass rows "
            "in which groups vary within a class, or y=None."
        )
    right = _out_of_fold(X, codes, weight, folds) == codes
    # One kind of row per cell and outcome: two columns, wrong and right.
    kind = np.unique(cell[counted], return_inverse=True)[1].reshape(-1) * 2 + right[counted]
    rows = np.bincount(kind, minlength=2 * (int(kind.max()) // 2 + 1))

    def measure(amounts: Floats) -> Floats:
        outcomes = amounts.reshape(*amounts.shape[:-1], -1, 2)
        return divide(outcomes[..., 1], outcomes.sum(-1)).mean(-1)[..., None]

    numbers = estimate(measure, rows, np.ones(len(rows)), bootstrap, rng)
    return float(numbers.value[0]), float(numbers.lower[0]), float(numbers.upper[0])


def _out_of_fold(
    X: Floats, codes: Codes, weight: Floats, folds: list[tuple[Codes, Codes]]
) -> Codes:
    from sklearn import config_context
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    params = {"logisticregression__sample_weight": weight}
    with config_context(enable_metadata_routing=False):
        return np.asarray(cross_val_predict(probe, X, codes, cv=folds, params=params))

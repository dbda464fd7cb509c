"""Alvi et al.'s extremes: a class that is only ever seen with one group, and its opposite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.datasets import subset

__all__ = ["both_extremes", "extreme_1", "extreme_2"]

_YOUNG, _OLD = 30, 40  # to 30 and from 40 years; those between are in neither extreme
_IN_MEMORY = 2**30  # bytes of images up to which they are decoded once and not every epoch


def extreme_1(data: Bunch) -> Bunch:
    """Train where the first class meets the first group, and the last the last.

    The classes and the two groups are taken in sorted order: women to 30 and men from
    40 years are the first extreme of UTKFace, whichever of gender and age is the target.

    Parameters
    ----------
    data : Bunch
        Two classes and a sensitive feature of two groups. With ``attributes.age`` every
        age counts as 0-30 or 40+, and the photographs between are left out.

    Returns
    -------
    Bunch
        The rows that are used. Of each class and group (of every ten years of age, where
        ages are known) as many are ``test``, a fifth of the rarer, and as many again are
        in ``fit_params["spurious_data"]``, with their groups and without their classes.
        ``train`` are as many of either cell of the extreme as the rarest of all cells has
        left. The same for every seed, and the test rows for every extreme.
    """
    return _prepared(data, {0: 1.0, 1: 0.0})


def extreme_2(data: Bunch) -> Bunch:
    """Train on the opposite: the first class only with the last group, and so on."""
    return _prepared(data, {0: 0.0, 1: 1.0})


def both_extremes(data: Bunch) -> Bunch:
    """Train on as many rows, half of them from either extreme: what no bias would give."""
    return _prepared(data, {0: 0.5, 1: 0.5})


def _prepared(data: Bunch, share: dict[int, float]) -> Bunch:
    """`share` of each extreme: 0 where ranks of class and group agree, 1 where they differ."""
    data, frame = _cells(data)
    rng = np.random.default_rng(0)
    split = pd.Series("unused", index=frame.index)
    for _, rows in frame.groupby("stratum"):
        of = [rng.permutation(cell.index.to_numpy()) for _, cell in rows.groupby(["y", "group"])]
        n = min(map(len, of)) // 5
        for cell in of:
            split[cell[:n]], split[cell[n : 2 * n]] = "test", "spurious"
    left = [rng.permutation(c.index) for _, c in frame[split == "unused"].groupby(["y", "group"])]
    n_cell = min(map(len, left))
    for cell in left:
        y, group = frame.loc[cell[0], ["y", "group"]]
        split[cell[: int(n_cell * share[int(y != group)])]] = "train"
    return _with_parts(data, split.to_numpy(dtype="<U8"))


def _cells(data: Bunch) -> tuple[Bunch, pd.DataFrame]:
    """The rows that belong to an extreme, with the ranks of class and group."""
    stratum: Any = 0
    if "age" in data.attributes:
        age = data.attributes["age"].to_numpy()
        kept = np.flatnonzero((age <= _YOUNG) | (age >= _OLD))
        data, age = subset(data, kept), age[kept]
        if "age" in data.sensitive_features:
            words = np.where(age >= _OLD, f"{_OLD}+", f"0-{_YOUNG}").astype(object)
            data.sensitive_features = pd.DataFrame({"age": words})
        # Ten years at a time, and 30 with those before it.
        stratum = np.where(age >= _OLD, age // 10, (age - 1) // 10)
    ranks = (_ranks(data.target), _ranks(data.sensitive_features.iloc[:, 0]))
    return data, pd.DataFrame({"y": ranks[0], "group": ranks[1], "stratum": stratum})


def _ranks(labels: Any) -> NDArray[np.int64]:
    return np.unique(np.asarray(labels).astype(str), return_inverse=True)[1]


def _with_parts(data: Bunch, split: NDArray[Any]) -> Bunch:
    used = np.flatnonzero(split != "unused")
    data, split = subset(data, used), split[used]
    if np.prod(data.images.shape) <= _IN_MEMORY:
        data.images = np.asarray(data.images)
    spurious = np.flatnonzero(split == "spurious")
    given = (data.images[spurious], data.sensitive_features.iloc[spurious])
    return Bunch(**{**data, "split": split, "fit_params": {"spurious_data": given}})

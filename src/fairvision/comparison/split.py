"""The training and test rows of a seed: the same for every method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from fairvision.base import check_groups
from fairvision.datasets import biased_split
from fairvision.exceptions import DatasetError

__all__ = ["split_rows"]

Rows = NDArray[np.intp]


def split_rows(data: Bunch, how: Mapping[str, Any], seed: int) -> tuple[Rows, Rows]:
    """Row numbers for training and for testing.

    Parameters
    ----------
    data : Bunch
    how : mapping
        ``confounding``: rate for `biased_split`, or None for a random split,
        stratified by target x group, or the data's own column ``split``.
    seed : int
    """
    if how.get("confounding") is not None:
        return _biased(data, how, seed)
    if data.get("split") is not None:
        return _given(data)
    return _random(data, how.get("test_size") or 0.3, seed)


def _biased(data: Bunch, how: Mapping[str, Any], seed: int) -> tuple[Rows, Rows]:
    names = data.sensitive_names
    if len(names) != 1:
        raise DatasetError(
            f"confounding needs one sensitive attribute, got {len(names)}: {list(names)}."
        )
    # The groups as the loader names them, so that any of its forms will do.
    confounder = data.sensitive_features[names[0]].to_numpy()
    rows = biased_split(
        data,
        confounder=confounder,
        rate=how["confounding"],
        n_train=how.get("n_train"),
        n_test=how.get("n_test"),
        random_state=seed,
    )
    return rows.train, rows.test


def _given(data: Bunch) -> tuple[Rows, Rows]:
    split = np.char.lower(np.asarray(data.split).astype(str))
    train, test = np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
    if not len(train) or not len(test):
        found = sorted(set(split.tolist()))
        raise DatasetError(f"the split column needs the values 'train' and 'test'; it has {found}.")
    return train, test


def _random(data: Bunch, test_size: float, seed: int) -> tuple[Rows, Rows]:
    groups = check_groups(data.sensitive_features, len(data.target))
    assert groups is not None
    codes, _ = groups.intersection()
    cells = np.unique(np.stack([data.target, codes], axis=1), axis=0, return_inverse=True)[1]
    cells = cells.reshape(-1)
    if np.bincount(cells).min() < 2:  # too rare to stratify by
        cells = np.asarray(data.target)
    train, test = train_test_split(
        np.arange(len(cells)), test_size=test_size, stratify=cells, random_state=seed
    )
    return np.sort(train), np.sort(test)

"""The training and test rows of a seed: the same for every method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from fairvision.base import as_generator, check_groups
from fairvision.datasets import biased_split
from fairvision.exceptions import DatasetError, InputError

__all__ = ["plan_split", "split_rows", "take_rows", "validation_rows"]

#: What data sets call the rows that are neither trained on nor tested.
VALIDATION = ("valid", "val", "validation")

Rows = NDArray[np.intp]


def plan_split(
    data: Bunch,
    *,
    confounding: float | None = None,
    counterexamples: float | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    test_size: float = 0.3,
) -> dict[str, Any]:
    """How the rows will be split, as plain data.

    Raises
    ------
    InputError
        If a number has no effect or makes no sense.
    """
    if confounding is None and (n_train, n_test) != (None, None):
        raise InputError("n_train and n_test go with confounding; pass test_size, or both.")
    if not 0 < test_size < 1:
        raise InputError(f"test_size is {test_size!r}; pass a share between 0 and 1.")
    if counterexamples is not None and confounding is None:
        raise InputError("counterexamples goes with confounding; pass both, or neither.")
    has_parts = data.get("split") is not None
    by = "column" if has_parts else "random"
    by = by if confounding is None else "confounding"
    n_valid = len(validation_rows(data, {"by": by}))
    return {
        "by": by,
        "confounding": confounding,
        # Not there unless given: it is then no part of what a folder's runs must agree in.
        **({} if counterexamples is None else {"counterexamples": counterexamples}),
        **({"n_validation": n_valid} if n_valid else {}),
        # Runs that drew from all parts are done again: people were in both sets.
        **({"parts": "column"} if has_parts and confounding is not None else {}),
        **({"parts": "people"} if not has_parts and data.get("identity") is not None else {}),
        "n_train": n_train,
        "n_test": n_test,
        "test_size": test_size,
    }


def take_rows(X: Any, rows: Any) -> Any:
    """Some rows of images, of features, or of a DataFrame."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def split_rows(
    data: Bunch, split: Mapping[str, Any], seed: int, *, balanced: bool = False
) -> tuple[Rows, Rows]:
    """Row numbers for training and for testing.

    Parameters
    ----------
    data : Bunch
    split : mapping
        From `plan_split`: with a known bias (the rows of each part from that part, where
        the data name parts), by the data's own column, or at random, stratified by
        target x group. Data without parts that say who is on a picture (``identity``)
        are split by people, `test_size` of them to test on, others with each seed.
    seed : int
    balanced : bool, default=False
        Train on as many rows without the bias, where `split` has one; the test
        rows stay the same.
    """
    people = split.get("parts") == "people"
    if people:
        data = Bunch(**{**data, "split": _of_people(data.identity, split["test_size"], seed)})
    if split["by"] == "confounding":
        return _biased(data, split, seed, balanced)
    if split["by"] == "column" or people:
        return _given(data)
    return _random(data, split["test_size"], seed)


def _of_people(identity: Any, test_size: float, seed: int) -> NDArray[np.str_]:
    """The part of each row: nobody is in both."""
    people, codes = np.unique(np.asarray(identity), return_inverse=True)
    tested = as_generator(seed).permutation(len(people)) < round(test_size * len(people))
    return np.where(tested[codes.reshape(-1)], "test", "train")


def validation_rows(data: Bunch, split: Mapping[str, Any]) -> Rows:
    """Rows that the data's own column sets aside: thresholds are read from them, nothing else."""
    if split["by"] != "column":
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(np.isin(_parts(data), VALIDATION))


def _parts(data: Bunch) -> NDArray[np.str_]:
    return np.char.lower(np.asarray(data.split).astype(str))


def _biased(data: Bunch, split: Mapping[str, Any], seed: int, balanced: bool) -> tuple[Rows, Rows]:
    names = list(data.sensitive_features.columns)
    if len(names) != 1:
        raise DatasetError(f"confounding needs one sensitive attribute, got {len(names)}: {names}.")
    # The groups as the loader names them, so that any of its forms will do.
    confounder = data.sensitive_features[names[0]].to_numpy()
    levels = sorted(map(str, set(confounder.tolist())))
    if len(levels) != 2:
        raise DatasetError(
            f"confounding needs two groups; {names[0]!r} has {len(levels)}: {levels[:20]}. Name "
            f"one of them as the sensitive attribute: {f'{names[0]}={levels[-1]}'!r}."
        )
    rows = biased_split(
        data,
        confounder=confounder,
        confounding=split["confounding"],
        counterexamples=split.get("counterexamples"),
        balanced=balanced,
        n_train=split["n_train"],
        n_test=split["n_test"],
        random_state=seed,
    )
    return rows.train, rows.test


def _given(data: Bunch) -> tuple[Rows, Rows]:
    split = _parts(data)
    train, test = np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
    if not len(train) or not len(test):
        found = sorted(set(split.tolist()))
        raise DatasetError(f"the split column needs the values 'train' and 'test'; it has {found}.")
    return train, test


def _random(data: Bunch, test_size: float, seed: int) -> tuple[Rows, Rows]:
    groups = check_groups(data.sensitive_features, len(data.target))
    assert groups is not None
    classes = np.unique(data.target, return_inverse=True)[1].reshape(-1)
    cells = np.unique(np.stack([classes, groups.intersection()[0]]), axis=1, return_inverse=True)[1]
    cells = cells.reshape(-1)
    if np.bincount(cells).min() < 2:  # too rare to stratify by
        cells = classes
    try:
        train, test = train_test_split(
            np.arange(len(cells)), test_size=test_size, stratify=cells, random_state=seed
        )
    except ValueError as error:  # a class of one row, or more classes than test rows
        raise DatasetError(
            f"{len(cells)} rows in {len(set(classes.tolist()))} classes of {data.target_name!r} "
            f"cannot be split with test_size={test_size}: {error} Use more rows, or fewer classes."
        ) from error
    return np.sort(train), np.sort(test)

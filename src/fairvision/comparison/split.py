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

__all__ = ["plan_split", "split_rows", "validation_rows"]

#: Names that data sets give to the split of validation rows.
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
    validation_fraction: float | None = None,
) -> dict[str, Any]:
    """How the rows will be split, as plain data.

    Raises
    ------
    InputError
        If a number has no effect or makes no sense.
    """
    if confounding is None and (n_train, n_test) != (None, None):
        raise InputError(
            "n_train and n_test need confounding. Pass confounding too, or pass test_size instead."
        )
    if not 0 < test_size < 1:
        raise InputError(f"test_size is {test_size!r}; pass a share between 0 and 1.")
    if counterexamples is not None and confounding is None:
        raise InputError("counterexamples needs confounding. Pass both, or neither.")
    has_parts = data.get("split") is not None
    by = "column" if has_parts else "random"
    by = by if confounding is None else "confounding"
    n_valid = len(validation_rows(data, {"by": by}))
    _check_fraction(validation_fraction, n_valid)
    return {
        "by": by,
        "confounding": confounding,
        # Absent unless given, so that it does not count as a difference from a folder's older
        # runs.
        **({} if counterexamples is None else {"counterexamples": counterexamples}),
        **({"n_validation": n_valid} if n_valid else {}),
        **({"validation_fraction": validation_fraction} if validation_fraction else {}),
        # Runs that drew from all splits are repeated: people were in both sets.
        **({"parts": "column"} if has_parts and confounding is not None else {}),
        **({"parts": "people"} if not has_parts and data.get("identity") is not None else {}),
        "n_train": n_train,
        "n_test": n_test,
        "test_size": test_size,
    }


def _check_fraction(fraction: float | None, n_valid: int) -> None:
    if fraction is not None and not 0 < fraction < 1:
        raise InputError(f"validation_fraction is {fraction!r}; pass a share between 0 and 1.")
    if fraction is not None and n_valid:
        raise InputError(
            f"validation_fraction is {fraction}, but the data set aside {n_valid} validation rows. "
            "Leave it out."
        )


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
    return _parted(data, split, seed, balanced)[:2]


def validation_rows(
    data: Bunch, split: Mapping[str, Any], seed: int = 0, *, balanced: bool = False
) -> Rows:
    """The validation rows, which choose thresholds and methods.

    Those that the data's own column sets aside, or ``validation_fraction`` of the training rows.
    """
    if split.get("validation_fraction"):
        return _parted(data, split, seed, balanced)[2]
    if data.get("split") is None:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(np.isin(_parts(data), VALIDATION))


def _parted(
    data: Bunch, split: Mapping[str, Any], seed: int, balanced: bool
) -> tuple[Rows, Rows, Rows]:
    """Rows for training, for testing, and those held out of the former."""
    people = split.get("parts") == "people"
    if people:
        data = Bunch(**{**data, "split": _of_people(data.identity, split["test_size"], seed)})
    if split["by"] == "confounding":
        train, test = _biased(data, split, seed, balanced)
    elif split["by"] == "column" or people:
        train, test = _given(data)
    else:
        everything = np.arange(len(data.target))
        train, test = _random(data, everything, split["test_size"], seed, "test_size")
    fraction, held_out = split.get("validation_fraction"), np.empty(0, dtype=np.intp)
    if fraction and people:
        held = _of_people(data.identity[train], fraction, seed) == "test"
        train, held_out = train[~held], train[held]
    elif fraction:
        train, held_out = _random(data, train, fraction, seed, "validation_fraction")
    return train, test, held_out


def _of_people(identity: Any, share: float, seed: int) -> NDArray[np.str_]:
    """The split of each row: `share` of the people are "test", and no person is in both splits."""
    people, codes = np.unique(np.asarray(identity), return_inverse=True)
    tested = as_generator(seed).permutation(len(people)) < round(share * len(people))
    return np.where(tested[codes.reshape(-1)], "test", "train")


def _parts(data: Bunch) -> NDArray[np.str_]:
    return np.char.lower(np.asarray(data.split).astype(str))


def _biased(data: Bunch, split: Mapping[str, Any], seed: int, balanced: bool) -> tuple[Rows, Rows]:
    names = list(data.sensitive_features.columns)
    if len(names) != 1:
        raise DatasetError(
            f"confounding needs one sensitive attribute, got {len(names)}: {names}. "
            "Name one of them."
        )
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
        names = sorted(set(split.tolist()))
        raise DatasetError(f"the split column needs the values 'train' and 'test'; it has {names}.")
    return train, test


def _random(
    data: Bunch, rows: Rows, fraction: float, seed: int, parameter: str
) -> tuple[Rows, Rows]:
    """The rows without `fraction` of them, and that fraction, stratified by target x group."""
    groups = check_groups(data.sensitive_features.iloc[rows], len(rows))
    assert groups is not None
    classes = np.unique(data.target[rows], return_inverse=True)[1].reshape(-1)
    cells = np.unique(np.stack([classes, groups.intersection()[0]]), axis=1, return_inverse=True)[1]
    cells = cells.reshape(-1)
    if np.bincount(cells).min() < 2:  # too rare to stratify by
        cells = classes
    try:
        kept, held_out = train_test_split(
            rows, test_size=fraction, stratify=cells, random_state=seed
        )
    except ValueError as error:  # a class of one row, or more classes than test rows
        raise DatasetError(
            f"{len(cells)} rows in {len(set(classes.tolist()))} classes of {data.target_name!r} "
            f"cannot be split with {parameter}={fraction}: {error} Use more rows, or fewer classes."
        ) from error
    return np.sort(kept), np.sort(held_out)

"""Training sets with a known bias, and test sets without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch

from fairvision.base import RandomState, as_generator, check_labels, code_labels
from fairvision.datasets._bunch import column, encode
from fairvision.exceptions import DatasetError

__all__ = ["biased_split"]


def _encoded(data: Any, values: Any, role: str) -> tuple[str, NDArray[np.int64], list[str]]:
    """The name of the target or the confounder, its codes 0..K-1, and the name of each code."""
    if values is None and not isinstance(data, Bunch):
        raise DatasetError("target is None and data is not a Bunch; name the target.")
    if isinstance(values, str):
        attributes = data["attributes"] if isinstance(data, Bunch) else data
        if not isinstance(attributes, pd.DataFrame):
            raise DatasetError(
                f"{role}={values!r} is a name, but data is {type(data).__name__}, which has no "
                "columns. Pass the Bunch of a loader or a DataFrame, or an array of labels."
            )
        labels = data.get("labels") if isinstance(data, Bunch) else None
        array, names = encode(column(attributes, values, role=role), labels)
        levels, codes = np.unique(array, return_inverse=True)
        if len(names) > len(levels):  # truth values that are all equal
            codes = array
        return values, codes.astype(np.int64), names
    name, names = role, []
    if values is None:
        name, names = data.get("target_name", role), list(data.get("target_names", ()))
        values = data["target"]
    codes, levels = code_labels(check_labels(values, role))
    level_names = names if len(names) == len(levels) else levels.tolist()
    return name, codes, [str(level) for level in level_names]


def _cell_shares(
    classes: list[str],
    levels: list[str],
    confounder: str,
    confounding: float,
    counterexamples: float | None,
    present_in: Any,
    shares: ArrayLike | None,
) -> NDArray[np.float64]:
    """Share of each confounder level (columns) among the training rows of each class (rows)."""
    if shares is not None:
        return _checked_shares(shares, (len(classes), len(levels)))
    if len(levels) != 2:
        raise DatasetError(
            f"confounder {confounder!r} has {len(levels)} levels ({levels}); confounding needs "
            f"two. Pass confounder='{confounder}={levels[-1]}', or shares=, a table of "
            f"{len(classes)} classes x {len(levels)} levels."
        )
    others = 1 - confounding if counterexamples is None else counterexamples
    for name, value in (("confounding", confounding), ("counterexamples", others)):
        if not 0 <= value <= 1:
            raise DatasetError(f"{name} must be in 0..1; got {value!r}.")
    present_in = classes[-1] if present_in is None else present_in
    chosen = {str(name) for name in np.atleast_1d(np.asarray(present_in, dtype=object))}
    if not chosen < set(classes):
        raise DatasetError(
            f"present_in names {sorted(chosen)}; name some, not all, of the classes {classes}."
        )
    present = np.array([confounding if name in chosen else others for name in classes])
    return np.stack([1 - present, present], axis=1)


def _checked_shares(shares: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    table = np.asarray(shares, dtype=np.float64)
    if table.shape != shape or (table < 0).any() or not (table.sum(axis=1) > 0).all():
        raise DatasetError(
            f"shares must be a table of {shape[0]} classes x {shape[1]} confounder levels, no "
            f"share below 0, no row all 0; got shape {table.shape}."
        )
    return table / table.sum(axis=1, keepdims=True)


def _cell_counts(n_class: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers near ``n_class * shares`` whose rows sum to `n_class`."""
    exact = n_class * shares
    counts = np.floor(exact + 1e-9).astype(np.int64)
    for row, goal in zip(counts, exact, strict=True):
        missing = n_class - int(row.sum())
        row[np.argsort(row - goal, kind="stable")[:missing]] += 1
    return counts


@dataclass(frozen=True)
class _Pool:
    """The rows that may be drawn for training and for testing, and their number per cell."""

    may_train: NDArray[np.bool_]
    may_test: NDArray[np.bool_]
    n_train: NDArray[np.int64]
    n_test: NDArray[np.int64]
    has_parts: bool

    def available(self, test: int) -> NDArray[np.int64]:
        """Rows left for training when `test` rows of each cell are taken for testing."""
        return self.n_train if self.has_parts else self.n_train - test


def _pool(data: Any, split: Any, cell: NDArray[np.int64], shape: tuple[int, int]) -> _Pool:
    if split is None and isinstance(data, Bunch):
        split = data.get("split")
    masks = (np.ones(len(cell), dtype=bool),) * 2
    if split is not None:
        parts = np.char.lower(np.asarray(split).astype(str))
        if parts.shape != cell.shape:
            raise DatasetError(
                f"split has shape {parts.shape}; pass one value for each of {len(cell)} rows."
            )
        masks = (parts == "train", parts == "test")
        if not masks[0].any() or not masks[1].any():
            raise DatasetError(
                "the split column needs the values 'train' and 'test'; it has "
                f"{sorted(set(parts.tolist()))[:20]}."
            )
    n_cells = shape[0] * shape[1]
    train, test = (np.bincount(cell[mask], minlength=n_cells).reshape(shape) for mask in masks)
    return _Pool(*masks, train, test, has_parts=split is not None)


def _largest(available: NDArray[np.int64], shares: NDArray[np.float64]) -> int:
    """The most training rows per class for which every cell has enough."""
    with np.errstate(divide="ignore"):
        bound = int(np.min(np.where(shares > 0, available / shares, np.inf)))
    while bound > 0 and (_cell_counts(bound, shares) > available).any():
        bound -= 1
    return bound


def _sizes(
    pool: _Pool, shares: NDArray[np.float64], n_train: int | None, n_test: int | None
) -> tuple[NDArray[np.int64], int]:
    """Training rows of each cell, and test rows of every cell."""
    smallest = int(pool.n_test.min()) // (1 if pool.has_parts else 4)
    test = max(1, smallest) if n_test is None else n_test // shares.size
    if test < 1:
        raise DatasetError(f"n_test={n_test} is less than one row for each of {shares.size} cells.")
    n_class = _largest(pool.available(test), shares) if n_train is None else n_train // len(shares)
    if n_class < 1:
        raise DatasetError(f"n_train={n_train} leaves a class of {len(shares)} without a row.")
    return _cell_counts(n_class, shares), test


def biased_split(
    data: Any,
    *,
    confounder: str | ArrayLike,
    target: str | ArrayLike | None = None,
    confounding: float = 0.95,
    counterexamples: float | None = None,
    present_in: Any = None,
    shares: ArrayLike | None = None,
    balanced: bool = False,
    split: ArrayLike | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    random_state: RandomState = None,
) -> Bunch:
    """Choose a biased training set and an unbiased test set.

    The training set has equally many rows of each class. The confounder is present in a share
    `confounding` of one class (or several: `present_in`), and in a share `counterexamples` of the
    other classes. The test set has equally many rows of every class x confounder cell. With the
    same `random_state` and `n_test` the test rows are the same whatever the bias, so a model
    trained on the biased set and one trained on a balanced set (``balanced=True``) are compared
    on the same photographs.

    Parameters
    ----------
    data : Bunch or DataFrame
        From a loader, or the attributes alone; anything if `target` and
        `confounder` are arrays.
    confounder : str or array-like of shape (n_samples,)
        Attribute, or ``"name=value"`` for a binary confounder. It is "present" where it is true,
        or has the second of two sorted labels.
    target : str, array-like of shape (n_samples,) or None, default=None
        Attribute to predict; None takes ``data.target``.
    confounding : float, default=0.95
        Share of rows with the confounder in the classes `present_in`.
    counterexamples : float or None, default=None
        Share in the other classes; None takes ``1 - confounding``. With
        ``confounding=2/3, counterexamples=0`` and ``n_train=6000`` the confounder is in
        2,000 of 3,000 rows of one class and in 0 of 3,000 of the other [1]_.
    present_in : label or list of labels, default=None
        Names of classes; None takes the last class.
    shares : array-like of shape (n_classes, n_levels) or None, default=None
        Share of each confounder level in each class, in place of `confounding`,
        `counterexamples` and `present_in`; for confounders of several levels.
    balanced : bool, default=False
        Whether to draw a training set of the same size without the bias: the balanced baseline.
    split : array-like of shape (n_samples,) or None, default=None
        The split of each row: training rows are drawn from ``"train"`` only and test rows from
        ``"test"`` only, so no person is in both sets if no person is in both splits. None takes
        ``data.split``, or all rows if there is none. To draw from all rows, pass
        ``data.attributes`` as `data`.
    n_train, n_test : int or None, default=None
        Number of rows, rounded down to equal classes and cells. If None, the test set takes as
        many rows of every cell as a quarter of the smallest cell has (all of the smallest cell,
        if `split` gives the test rows), and the training set is as large as the other rows allow.
    random_state : int, Generator, RandomState or None, default=None

    Returns
    -------
    Bunch
        ``train``, ``test``: row numbers, shuffled, disjoint. ``target``,
        ``confounder``: codes of all rows; ``target_names``, ``confounder_names``:
        the names of the codes. ``table``: DataFrame of the rows in each cell
        (``available`` for training, with `split` also ``available_test``).
        :func:`subset` takes the rows.

    Raises
    ------
    DatasetError
        If a cell has too few rows, with the counts and the splits; if `split` lacks the values
        ``"train"`` and ``"test"``.

    References
    ----------
    .. [1] De Coninck, Leroux, Simoens, "Mitigating Bias Using Model-Agnostic Data
       Attribution", CVPR workshops 2024.

    Examples
    --------
    >>> from fairvision.datasets import biased_split, load_faces, subset
    >>> faces = load_faces(1000, image_size=32, target="smiling", random_state=0)
    >>> split = biased_split(faces, confounder="hat", n_train=400, n_test=200, random_state=0)
    >>> print(split.table.loc[("smiling", "hat"), "train"])
    190
    >>> train = subset(faces, split.train)
    """
    target_name, y, classes = _encoded(data, target, "target")
    confounder_name, a, levels = _encoded(data, confounder, "confounder")
    if len(y) != len(a):
        raise DatasetError(
            f"target has {len(y)} rows, confounder has {len(a)}; pass arrays of the same length."
        )
    if len(classes) < 2 or len(levels) < 2:
        raise DatasetError(
            f"target {target_name!r} has the classes {classes}, confounder {confounder_name!r} the "
            f"levels {levels}; both need two or more."
        )
    shape = (len(classes), len(levels))
    table = _cell_shares(
        classes, levels, confounder_name, confounding, counterexamples, present_in, shares
    )
    cell = y * shape[1] + a
    pool = _pool(data, split, cell, shape)
    train, test = _sizes(pool, table, n_train, n_test)
    if balanced:
        train = _cell_counts(int(train[0].sum()), np.full(shape, 1 / shape[1]))
    index = pd.MultiIndex.from_product([classes, levels], names=[target_name, confounder_name])
    counts = _count_table(pool, train, test, index)
    if (train > pool.available(test)).any() or (test > pool.n_test).any():
        largest = _largest(pool.available(test), table) * len(classes)
        raise DatasetError(_too_few(counts, largest, balanced))
    return Bunch(
        **_draw_rows(cell, pool, train.ravel(), test, random_state),
        target=y,
        target_names=classes,
        confounder=a,
        confounder_names=levels,
        table=counts,
    )


def _count_table(
    pool: _Pool, train: NDArray[np.int64], test: int, index: pd.MultiIndex
) -> pd.DataFrame:
    """The rows of each cell: how many there are, and how many are drawn."""
    counts = pd.DataFrame(
        {"available": pool.n_train.ravel(), "train": train.ravel(), "test": test}, index=index
    )
    if pool.has_parts:
        counts["available_test"] = pool.n_test.ravel()
    return counts


def _draw_rows(
    cell: NDArray[np.int64],
    pool: _Pool,
    train: NDArray[np.int64],
    test: int,
    random_state: RandomState,
) -> dict[str, NDArray[np.intp]]:
    rng = as_generator(random_state)

    def shuffled(mask: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
        return [rng.permutation(np.flatnonzero(mask & (cell == i))) for i in range(len(train))]

    cells = shuffled(pool.may_test)
    # Test rows first: they then do not depend on how biased the training set is.
    tests = rng.permutation(np.concatenate([rows[:test] for rows in cells]))
    rest = shuffled(pool.may_train) if pool.has_parts else [rows[test:] for rows in cells]
    trains = np.concatenate([rows[:n] for rows, n in zip(rest, train, strict=True)])
    return {"train": rng.permutation(trains), "test": tests}


def _too_few(counts: pd.DataFrame, largest: int, balanced: bool) -> str:
    short = []
    has_parts = "available_test" in counts
    for cell, row in counts.iterrows():
        name = " / ".join(map(str, cell))
        if not has_parts and row["train"] + row["test"] > row["available"]:
            short.append(f"{name} has {row['available']} and needs {row['train']} + {row['test']}")
        for split_name, source in (("train", "available"), ("test", "available_test")):
            if has_parts and row[split_name] > row[source]:
                short.append(
                    f"{name} has {row[source]} in {split_name!r} and needs {row[split_name]}"
                )
    place = "in the splits 'train' and 'test'" if has_parts else "for training + test"
    hint = "" if balanced else f" With this n_test, n_train can be {max(largest, 0)} at most."
    return f"Too few rows {place}: {'; '.join(short)}.{hint} Lower n_train, n_test or confounding."

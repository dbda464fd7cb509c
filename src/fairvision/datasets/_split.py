"""Training sets with a known bias, test sets without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch

from fairvision.datasets._bunch import column, encode
from fairvision.datasets._random import RandomLike, as_generator
from fairvision.exceptions import DatasetError

__all__ = ["biased_split"]


def _coded(data: Any, given: Any, role: str) -> tuple[str, NDArray[np.int64], list[str]]:
    """A name or an array, as a name, codes 0..K-1 and what each code is called."""
    if isinstance(given, str):
        attributes = data["attributes"] if isinstance(data, Bunch) else data
        if not isinstance(attributes, pd.DataFrame):
            raise DatasetError(
                f"{role}={given!r} is a name, but data is {type(data).__name__}, which has no "
                "columns. Pass a Bunch of a loader or a DataFrame, or an array of labels."
            )
        labels = data.get("labels") if isinstance(data, Bunch) else None
        values, names = encode(column(attributes, given, role=role), labels)
        levels, codes = np.unique(values, return_inverse=True)
        if len(names) > len(levels):  # truth values, all alike
            levels, codes = np.arange(len(names)), values
        return given, codes.astype(np.int64), names
    series = pd.Series(np.asarray(given))
    levels, codes = np.unique(series.to_numpy(), return_inverse=True)
    return role, codes.astype(np.int64), [str(level) for level in levels]


def _target_of(data: Any, target: Any) -> tuple[str, NDArray[np.int64], list[str]]:
    if target is not None:
        return _coded(data, target, "target")
    if not isinstance(data, Bunch):
        raise DatasetError("target is None and data is no Bunch; name the target.")
    levels, codes = np.unique(data["target"], return_inverse=True)
    names = [str(name) for name in data.get("target_names", levels)]
    if len(names) != len(levels):
        names = [str(level) for level in levels]
    return data.get("target_name", "target"), codes.astype(np.int64), names


def _shares(
    classes: list[str],
    levels: list[str],
    present_in: Any,
    rate: float,
    counterexamples: float | None,
    confounder: str,
) -> NDArray[np.float64]:
    """Share of each confounder level (columns) among the training rows of each class (rows)."""
    if len(levels) != 2:
        raise DatasetError(
            f"confounder {confounder!r} has {len(levels)} levels ({levels}); a rate needs two. "
            f"Pass confounder='{confounder}={levels[-1]}', or shares=, a table of "
            f"{len(classes)} classes x {len(levels)} levels."
        )
    others = 1 - rate if counterexamples is None else counterexamples
    for name, value in (("rate", rate), ("counterexamples", others)):
        if not 0 <= value <= 1:
            raise DatasetError(f"{name} must be in 0..1; got {value!r}.")
    if present_in is None:
        chosen = {classes[-1]}
    else:
        single = isinstance(present_in, (str, bytes)) or np.ndim(present_in) == 0
        chosen = {str(name) for name in ([present_in] if single else present_in)}
    if not chosen < set(classes):
        raise DatasetError(
            f"present_in names {sorted(chosen)}; name some, not all, of the classes {classes}."
        )
    present = np.array([rate if name in chosen else others for name in classes])
    return np.stack([1 - present, present], axis=1)


def _checked_shares(shares: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    table = np.asarray(shares, dtype=np.float64)
    if table.shape != shape or (table < 0).any() or not (table.sum(axis=1) > 0).all():
        raise DatasetError(
            f"shares must be a table of {shape[0]} classes x {shape[1]} confounder levels, no "
            f"share below 0, no row all 0; got shape {table.shape}."
        )
    return table / table.sum(axis=1, keepdims=True)


def _cells(n_class: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers near ``n_class * shares`` whose rows sum to `n_class`."""
    exact = n_class * shares
    counts = np.floor(exact + 1e-9).astype(np.int64)
    for row, wanted in zip(counts, exact, strict=True):
        missing = n_class - int(row.sum())
        row[np.argsort(row - wanted, kind="stable")[:missing]] += 1
    return counts


@dataclass(frozen=True)
class _Rows:
    """The rows that may be drawn, and how many there are in each cell."""

    may_train: NDArray[np.bool_]
    may_test: NDArray[np.bool_]
    n_train: NDArray[np.int64]
    n_test: NDArray[np.int64]
    apart: bool

    def room(self, test: int) -> NDArray[np.int64]:
        """Rows for training that are left when `test` of each cell are taken to test on."""
        return self.n_train if self.apart else self.n_train - test


def _rows(data: Any, split: Any, cell: NDArray[np.int64], shape: tuple[int, int]) -> _Rows:
    if split is None and isinstance(data, Bunch):
        split = data.get("split")
    may = (np.ones(len(cell), dtype=bool),) * 2
    if split is not None:
        parts = np.char.lower(np.asarray(split).astype(str))
        if parts.shape != cell.shape:
            raise DatasetError(
                f"split has shape {parts.shape}; pass one part for {len(cell)} rows."
            )
        may = (parts == "train", parts == "test")
        if not may[0].any() or not may[1].any():
            raise DatasetError(
                "the split column needs the values 'train' and 'test', to draw the rows of each "
                f"from; it has {sorted(set(parts.tolist()))[:20]}."
            )
    n_train, n_test = (
        np.bincount(cell[some], minlength=shape[0] * shape[1]).reshape(shape) for some in may
    )
    return _Rows(*may, n_train, n_test, apart=split is not None)


def _largest(room: NDArray[np.int64], shares: NDArray[np.float64]) -> int:
    """The most training rows per class for which every cell has enough."""
    with np.errstate(divide="ignore"):
        bound = int(np.min(np.where(shares > 0, room / shares, np.inf)))
    while bound > 0 and (_cells(bound, shares) > room).any():
        bound -= 1
    return bound


def _sizes(
    rows: _Rows, shares: NDArray[np.float64], n_train: int | None, n_test: int | None
) -> tuple[NDArray[np.int64], int]:
    """Training rows of each cell, and test rows of every cell."""
    least = int(rows.n_test.min()) // (1 if rows.apart else 4)
    test = max(1, least) if n_test is None else n_test // shares.size
    if test < 1:
        raise DatasetError(f"n_test={n_test} is less than one row for each of {shares.size} cells.")
    n_class = _largest(rows.room(test), shares) if n_train is None else n_train // len(shares)
    if n_class < 1:
        raise DatasetError(f"n_train={n_train} leaves a class of {len(shares)} without a row.")
    return _cells(n_class, shares), test


def biased_split(
    data: Any,
    *,
    confounder: str | ArrayLike,
    target: str | ArrayLike | None = None,
    rate: float = 0.95,
    counterexamples: float | None = None,
    present_in: Any = None,
    shares: ArrayLike | None = None,
    balanced: bool = False,
    split: ArrayLike | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    random_state: RandomLike = None,
) -> Bunch:
    """Choose a biased training set and an unbiased test set.

    The training set has as many rows of each class; the confounder is present in
    `rate` of the rows of one class (or several: `present_in`) and in
    `counterexamples` of the rows of the others. The test set has as many rows of
    every class x confounder cell. With the same `random_state` and `n_test` the test
    rows are the same whatever the bias, so a model trained on the biased set and one
    trained on a balanced set (``balanced=True``) are compared on the same photographs.

    Parameters
    ----------
    data : Bunch or DataFrame
        From a loader, or the attributes alone; anything if `target` and
        `confounder` are arrays.
    confounder : str or array-like of shape (n_samples,)
        Attribute, or ``"name=value"`` for whether it has that value. "Present" is
        true, or the second of two sorted labels.
    target : str, array-like of shape (n_samples,) or None, default=None
        Attribute to predict; None takes ``data.target``.
    rate : float, default=0.95
        Share of rows with the confounder in the classes `present_in`.
    counterexamples : float or None, default=None
        Share in the other classes; None takes ``1 - rate``. With ``rate=2/3,
        counterexamples=0`` and ``n_train=6000`` the confounder is in 2,000 of 3,000
        rows of one class and in 0 of 3,000 of the other [1]_.
    present_in : label or list of labels, default=None
        Names of classes; None takes the last class.
    shares : array-like of shape (n_classes, n_levels) or None, default=None
        Share of each confounder level in each class, in place of `rate`,
        `counterexamples` and `present_in`; for confounders of several levels.
    balanced : bool, default=False
        The balanced baseline: equal shares, in a training set of the same size.
    split : array-like of shape (n_samples,) or None, default=None
        The part of each row: training rows are drawn from ``"train"`` alone and test rows
        from ``"test"``, so that people who are in one part only stay in it. None takes
        ``data.split``, and all rows where there is none; to draw from all rows
        whatever their part, pass ``data.attributes`` as `data`.
    n_train, n_test : int or None, default=None
        Rows in all, rounded down to whole classes and cells. None takes for the test
        set a quarter of the smallest cell from each (all of it, from a part of its own),
        for training what is left.
    random_state : int, Generator, RandomState or None, default=None

    Returns
    -------
    Bunch
        ``train``, ``test``: row numbers, shuffled, disjoint. ``target``,
        ``confounder``: codes of all rows; ``target_names``, ``confounder_names``:
        what the codes are called. ``table``: DataFrame of the rows in each cell
        (``available`` for training, with `split` also ``available_test``).
        :func:`subset` takes the rows.

    Raises
    ------
    DatasetError
        If a cell has too few rows, with the counts and the parts; if `split` does not
        name the parts ``"train"`` and ``"test"``.

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
    target_name, y, classes = _target_of(data, target)
    confounder_name, a, levels = _coded(data, confounder, "confounder")
    if len(y) != len(a):
        raise DatasetError(f"target has {len(y)} rows, confounder has {len(a)}; pass equal ones.")
    if len(classes) < 2 or len(levels) < 2:
        raise DatasetError(
            f"target {target_name!r} has the classes {classes}, confounder {confounder_name!r} the "
            f"levels {levels}; both need two or more."
        )
    shape = (len(classes), len(levels))
    if shares is None:
        table = _shares(classes, levels, present_in, rate, counterexamples, confounder_name)
    else:
        table = _checked_shares(shares, shape)
    cell = y * shape[1] + a
    rows = _rows(data, split, cell, shape)
    train, test = _sizes(rows, table, n_train, n_test)
    if balanced:
        train = _cells(int(train[0].sum()), np.full(shape, 1 / shape[1]))
    counts = _table(target_name, classes, confounder_name, levels, rows, train, test)
    if (train > rows.room(test)).any() or (test > rows.n_test).any():
        largest = _largest(rows.room(test), table) * len(classes)
        raise DatasetError(_too_few(counts, largest, balanced))
    return Bunch(
        **_choose(cell, rows, train.ravel(), test, random_state),
        target=y,
        target_names=classes,
        confounder=a,
        confounder_names=levels,
        table=counts,
    )


def _choose(
    cell: NDArray[np.int64],
    rows: _Rows,
    train: NDArray[np.int64],
    test: int,
    random_state: RandomLike,
) -> dict[str, NDArray[np.intp]]:
    rng = as_generator(random_state)

    def shuffled(may: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
        return [rng.permutation(np.flatnonzero(may & (cell == i))) for i in range(len(train))]

    pool = shuffled(rows.may_test)
    # Test rows first: they then do not depend on how biased the training set is.
    tests = rng.permutation(np.concatenate([r[:test] for r in pool]))
    rest = shuffled(rows.may_train) if rows.apart else [r[test:] for r in pool]
    trains = np.concatenate([r[:n] for r, n in zip(rest, train, strict=True)])
    return {"train": rng.permutation(trains), "test": tests}


def _table(
    target: str,
    classes: Sequence[str],
    confounder: str,
    levels: Sequence[str],
    rows: _Rows,
    train: NDArray[np.int64],
    test: int,
) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([classes, levels], names=[target, confounder])
    counts = {"available": rows.n_train.ravel(), "train": train.ravel(), "test": test}
    if rows.apart:
        counts["available_test"] = rows.n_test.ravel()
    return pd.DataFrame(counts, index=index)


def _too_few(counts: pd.DataFrame, largest: int, balanced: bool) -> str:
    hint = "" if balanced else f" With this n_test, n_train can be {max(largest, 0)} at most."
    if "available_test" in counts:
        what, listing = "in the parts 'train' and 'test'", _short_parts(counts)
    else:
        short = counts[counts["train"] + counts["test"] > counts["available"]]
        what, listing = (
            "for training + test",
            [
                f"{' / '.join(map(str, cell))} has {row['available']} and needs "
                f"{row['train']} + {row['test']}"
                for cell, row in short.iterrows()
            ],
        )
    return f"Too few rows {what}: {'; '.join(listing)}.{hint} Lower n_train, n_test or the rate."


def _short_parts(counts: pd.DataFrame) -> list[str]:
    """Which cell lacks rows in which part."""
    return [
        f"{' / '.join(map(str, cell))} has {row[available]} in {part!r} and needs {row[part]}"
        for cell, row in counts.iterrows()
        for part, available in (("train", "available"), ("test", "available_test"))
        if row[part] > row[available]
    ]

"""The association of two columns: normalised mutual information, with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["associations", "coded"]

#: Distinct values that a column may have; numbers with more are binned, text with more is left out.
MOST_LEVELS = 20
_N_BINS = 5
_COLUMNS = ["a", "b", "value", "lower", "upper"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


def associations(
    columns: pd.DataFrame,
    pairs: Iterable[tuple[str, str]],
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Normalised mutual information of pairs of columns.

    Parameters
    ----------
    columns : DataFrame
        Of codes, from :func:`coded`.
    pairs : iterable of (str, str)
        Names of two columns.
    n_boot : int, default=1000
        Bootstrap draws of the rows; 0 for no intervals.
    level : float, default=0.95
        Coverage of the intervals.
    rng : Generator

    Returns
    -------
    DataFrame
        Columns `a`, `b`, `value`, `lower` and `upper`; the largest value first.

    Notes
    -----
    The value is (I - E) / (min(H_a, H_b) - E): I is the mutual information, H an entropy, and E
    the mutual information that shuffled rows would show on average. Independent columns so read
    about 0, and 1 means that one column determines the other. It is scikit-learn's
    `adjusted_mutual_info_score` with ``average_method="min"``. A bootstrap draw has the chance part
    twice, from the sample and from the draw, so it is corrected twice. Near 0 the intervals are too
    wide rather than too narrow.

    References
    ----------
    Vinh, Epps, Bailey, "Information Theoretic Measures for Clusterings Comparison", JMLR 2010.
    """
    rows = [
        (a, b, *_association(columns[a].to_numpy(), columns[b].to_numpy(), n_boot, level, rng))
        for a, b in pairs
    ]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def _association(
    a: Codes, b: Codes, n_boot: int, level: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    from sklearn.metrics.cluster import expected_mutual_information

    shape = (int(a.max()) + 1, int(b.max()) + 1)
    cells = np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1])
    chance = float(expected_mutual_information(cells.reshape(shape), len(a)))
    value = float(_normalised(cells[None], shape, chance)[0])
    if not n_boot:
        return value, np.nan, np.nan
    draws = rng.multinomial(len(a), cells / len(a), size=n_boot)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    lower, upper = np.quantile(_normalised(draws, shape, chance, twice=True), tails)
    return value, float(lower), float(upper)


def _normalised(
    cells: Codes, shape: tuple[int, int], chance: float, *, twice: bool = False
) -> Floats:
    """The value of each table of cells, corrected for chance once or twice; 1 stays 1."""
    table = cells.reshape(-1, *shape) / cells.sum(1)[:, None, None]
    a, b = _entropy(table.sum(2)), _entropy(table.sum(1))
    information = a + b - _entropy(table.reshape(len(table), -1))
    room = np.minimum(a, b) - chance
    missing = np.minimum(a, b) - information
    share = np.divide(missing, room, out=np.ones_like(room), where=room > 1e-12)
    if twice:
        share *= np.divide(room + chance, room, out=np.ones_like(room), where=room > 1e-12)
    return 1 - share


def _entropy(shares: Floats) -> Floats:
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logs).sum(-1)


def coded(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Columns as codes, and the names of those that are left out.

    Numbers with more than 20 values are cut into five bins with as many rows. A missing value is a
    value of its own. Left out are columns with more values than that, such as names of files;
    constant ones go without saying.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    codes : DataFrame of int
        A binned column is called ``"age (5 bins)"``.
    left_out : list of str
    """
    codes: dict[str, Any] = {}
    left_out = []
    for name, values in table.items():
        label = str(name)
        if values.nunique() > MOST_LEVELS:
            if not pd.api.types.is_numeric_dtype(values):
                left_out.append(label)
                continue
            label = f"{label} ({_N_BINS} bins)"
            values = pd.qcut(values, _N_BINS, labels=False, duplicates="drop")
        numbers = pd.factorize(values, use_na_sentinel=False)[0]
        if numbers.max(initial=0) > 0:
            codes[label] = numbers.astype(np.int64)
    return pd.DataFrame(codes, index=table.index), left_out

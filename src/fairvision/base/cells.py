"""The worst cell of target and group, and whether a change made it worse."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base.groups import check_groups
from fairvision.exceptions import FairvisionWarning, InputError

__all__ = ["WorstCell", "leaves_worse_off", "worst_cell"]


class WorstCell(NamedTuple):
    """The rows of one target and one group with the lowest accuracy."""

    accuracy: float
    target: Any
    group: Any
    n_rows: int

    def __str__(self) -> str:
        return f"{self.accuracy:.3f} (target {self.target}, group {self.group}, {self.n_rows} rows)"


def _cells(y: ArrayLike, groups: Any) -> list[tuple[Any, Any, NDArray[np.intp]]]:
    """Target, group and row numbers of each cell that has rows."""
    y = np.asarray(y).reshape(-1)
    if not len(y):
        raise InputError("There are no rows to find the worst cell in. Pass one row or more.")
    grouping = check_groups(groups, len(y), required_by="the worst cell")
    assert grouping is not None
    codes, labels = grouping.intersection()
    cells = [
        (target, labels[code], np.flatnonzero((y == target) & (codes == code)))
        for target in np.unique(y).tolist()
        for code in np.unique(codes).tolist()
    ]
    return [cell for cell in cells if len(cell[2])]


def _correct(y: ArrayLike, predicted: ArrayLike) -> NDArray[np.bool_]:
    y, predicted = np.asarray(y).reshape(-1), np.asarray(predicted).reshape(-1)
    if len(y) != len(predicted):
        raise InputError(f"y has {len(y)} rows, the predictions have {len(predicted)}.")
    return np.asarray(y == predicted)


def worst_cell(y: ArrayLike, groups: Any, predicted: ArrayLike) -> WorstCell:
    """Find the cell of target and group with the lowest accuracy.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    groups : array-like of shape (n_samples,) or (n_samples, n_sensitive)
        Several columns mean their intersection.
    predicted : array-like of shape (n_samples,)
        Labels, as in `y`.

    Returns
    -------
    WorstCell
        Accuracy, target, group and number of rows. A cell without rows is left out.

    Examples
    --------
    >>> from fairvision.base import worst_cell
    >>> print(worst_cell([0, 0, 1, 1, 1], ["a", "b", "a", "b", "b"], [0, 0, 1, 0, 1]))
    0.500 (target 1, group b, 2 rows)
    """
    correct = _correct(y, predicted)
    return min(
        (
            WorstCell(float(correct[rows].mean()), target, group, len(rows))
            for target, group, rows in _cells(y, groups)
        ),
        key=lambda cell: cell.accuracy,
    )


def leaves_worse_off(
    y: ArrayLike,
    groups: Any,
    before: ArrayLike,
    after: ArrayLike,
    *,
    level: float = 0.95,
    owner: str | None = None,
) -> bool:
    """Whether the worst cell after a change is below the worst cell before it, beyond chance.

    This is so if the worst cell after the change is below *every* cell before it, each by an
    exact one-sided test: a sign test over the rows whose correctness changed for the same cell,
    Fisher's test for two different cells. Few rows therefore never show a loss.

    Pass rows that the change was not fitted on: a net predicts its training rows too well.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    groups : array-like of shape (n_samples,) or (n_samples, n_sensitive)
        Several columns mean their intersection.
    before, after : array-like of shape (n_samples,)
        Labels predicted for the same rows.
    level : float, default=0.95
        Confidence with which a loss must be shown.
    owner : str or None, default=None
        A method's name. With it, a loss warns that the method keeps the given model.

    Returns
    -------
    bool

    Warns
    -----
    FairvisionWarning
        If there is a loss and `owner` is given.

    References
    ----------
    Q. McNemar: Note on the sampling error of the difference between correlated
    proportions or percentages. Psychometrika 12, 1947.

    Examples
    --------
    >>> import numpy as np
    >>> from fairvision.base import leaves_worse_off
    >>> y, groups = np.repeat([0, 1], 40), np.tile(["a", "b"], 40)
    >>> constant = np.zeros(80, dtype=int)
    >>> leaves_worse_off(y, groups, before=y, after=constant)
    True
    >>> leaves_worse_off(y, groups, before=constant, after=y)
    False
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level!r}; pass a confidence between 0 and 1, such as 0.95.")
    was, now = _correct(y, before), _correct(y, after)
    cells = [rows for _, _, rows in _cells(y, groups)]
    # Of several equally bad cells, the one with the most rows.
    worst = min(cells, key=lambda rows: (now[rows].mean(), -len(rows)))
    p_values = [
        _sign_test(was[worst], now[worst]) if rows is worst else _fisher_test(was[rows], now[worst])
        for rows in cells
    ]
    worse = max(p_values) <= 1 - level
    if worse and owner is not None:
        warnings.warn(
            f"{owner} keeps the model that it was given: on {len(was)} rows the worst cell would "
            f"fall from {worst_cell(y, groups, before)} to {worst_cell(y, groups, after)}. "
            "allow_worse=True lets it fall.",
            FairvisionWarning,
            stacklevel=3,
        )
    return worse


def _sign_test(was: NDArray[np.bool_], now: NDArray[np.bool_]) -> float:
    """Chance of so many losses among the rows whose correctness changed (McNemar, exact)."""
    from scipy.stats import binom

    lost, gained = int((was & ~now).sum()), int((~was & now).sum())
    return float(binom.sf(lost - 1, lost + gained, 0.5)) if lost + gained else 1.0


def _fisher_test(was: NDArray[np.bool_], now: NDArray[np.bool_]) -> float:
    """Chance of so low an accuracy in `now` if both cells had the same (Fisher, exact)."""
    from scipy.stats import hypergeom

    right = int(was.sum() + now.sum())
    return float(hypergeom.cdf(int(now.sum()), len(was) + len(now), right, len(now)))

"""Bootstrap of rows, drawn as counts of distinct rows, and its intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairvision.exceptions import InputError

__all__ = ["Bootstrap", "Estimate", "draw_counts", "estimate"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

# Arrays made for some draws at a time hold about this many numbers: 4 MB stay near the cache.
_CHUNK = 1 << 19
# The jackknife leaves out one row of each kind, which is exact; with more kinds, blocks of rows.
_MAX_KINDS = 500


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap intervals.

    Parameters
    ----------
    n_boot : int
        Draws; 0 for no intervals.
    level : float
        Coverage, between 0 and 1.
    kind : {"percentile", "bca"}
        Percentile, or bias-corrected and accelerated (Efron 1987).
    """

    n_boot: int = 1000
    level: float = 0.95
    kind: str = "percentile"

    def __post_init__(self) -> None:
        if self.kind not in ("percentile", "bca"):
            raise InputError(f"interval is {self.kind!r}; expected 'percentile' or 'bca'.")
        if not 0 < self.level < 1:
            raise InputError(f"level is {self.level!r}; expected a number between 0 and 1.")
        if self.n_boot < 0:
            raise InputError(f"n_boot is {self.n_boot}; expected 0 (no intervals) or more draws.")

    @property
    def tails(self) -> Floats:
        return np.array([(1 - self.level) / 2, (1 + self.level) / 2])


class Estimate(NamedTuple):
    """Numbers with their intervals, each array of shape (n_numbers,).

    `undefined` is the share of draws that left a number undefined.
    """

    value: Floats
    lower: Floats
    upper: Floats
    undefined: Floats


def draw_counts(rng: np.random.Generator, rows: Counts, n_draws: int) -> Counts:
    """How often a bootstrap of all rows picks each kind of row.

    Parameters
    ----------
    rng : Generator
    rows : ndarray of shape (n_kinds,)
        Rows of each kind.
    n_draws : int

    Returns
    -------
    ndarray of shape (n_draws, n_kinds), int64

    Notes
    -----
    Resampling n rows with replacement gives counts that are multinomial over
    the kinds. Where nearly every row is a kind of its own, drawing the rows
    themselves is the faster way to the same distribution.
    """
    n = int(rows.sum())
    if len(rows) == n:
        draws = (np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(n_draws))
        return np.stack([*draws]) if n_draws else np.empty((0, n), dtype=np.int64)
    if 8 * len(rows) < n:
        return rng.multinomial(n, rows / n, size=n_draws)
    kind = np.repeat(np.arange(len(rows)), rows)
    counts = np.empty((n_draws, len(rows)), dtype=np.int64)
    for draw in counts:
        draw[:] = np.bincount(kind[rng.integers(0, n, n)], minlength=len(rows))
    return counts


def _left_out(rng: np.random.Generator, rows: Counts, step: int) -> Iterator[Counts]:
    """Rows of each kind when one row of a kind, or one block of rows, is left out."""
    if len(rows) <= _MAX_KINDS:
        everything = rows - np.eye(len(rows), dtype=np.int64)
        yield from np.array_split(everything, -(-len(everything) // step))
        return
    kind = rng.permutation(np.repeat(np.arange(len(rows)), rows))
    for block in np.array_split(kind, _MAX_KINDS):
        yield (rows - np.bincount(block, minlength=len(rows)))[None]


def _acceleration(values: Floats, times: Counts) -> Floats:
    """Skewness of the leave-one-out values, each occurring `times`, over 6 root n."""
    weight = times[:, None] * ~np.isnan(values)
    values = np.nan_to_num(values)
    deviation = (weight * values).sum(0) / np.maximum(weight.sum(0), 1) - values
    spread = (weight * deviation**2).sum(0) ** 1.5
    skew = (weight * deviation**3).sum(0)
    return np.divide(skew, 6 * spread, out=np.zeros_like(skew), where=spread > 1e-300)


def _bca_levels(value: Floats, draws: Floats, acceleration: Floats, tails: Floats) -> Floats:
    """Quantile levels of the bias-corrected and accelerated interval."""
    from scipy.special import ndtr, ndtri

    # Ties count half, so that a number with few possible values is not called biased.
    below = (draws < value).sum(0) + 0.5 * (draws == value).sum(0)
    share = below / np.maximum((~np.isnan(draws)).sum(0), 1)
    bias = ndtri(np.clip(share, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    z = bias + ndtri(tails)[:, None]
    return ndtr(bias + z / (1 - acceleration * z))


def _quantiles(draws: Floats, levels: Floats) -> Floats:
    """Quantiles of every column at its own levels, shape (2, n_numbers).

    Undefined draws are left out. If they are more than half, the interval is undefined.
    """
    ends = np.full(levels.shape, np.nan)
    ordered = np.sort(draws, axis=0)  # NaN last
    defined = (~np.isnan(draws)).sum(0)
    columns = np.flatnonzero(2 * defined >= max(len(draws), 1))
    position = levels[:, columns] * (defined[columns] - 1)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, defined[columns] - 1)
    a, b = ordered[low, columns], ordered[high, columns]
    ends[:, columns] = a + (b - a) * (position - low)
    return ends


def estimate(
    measure: Callable[[Floats], Floats],
    rows: Counts,
    weight: Floats,
    bootstrap: Bootstrap,
    rng: np.random.Generator,
    *,
    width: int = 1,
    gather: Callable[[Floats], Floats] | None = None,
) -> Estimate:
    """Numbers of a sample and their bootstrap intervals.

    Parameters
    ----------
    measure : callable
        From weights of the kinds of rows, shape (..., n_kinds), to numbers,
        shape (..., n_numbers); NaN where undefined.
    rows, weight : ndarray of shape (n_kinds,)
        Rows of each kind, and the weight of one such row.
    bootstrap : Bootstrap
    rng : Generator
    width : int
        Numbers that `measure` holds for one draw, which bounds memory.
    gather : callable or None
        Applied to the weights of each draw before they are measured: adds up those of many rows
        into those of few bins.
    """

    def amounts(counts: Counts) -> Floats:
        return counts * weight if gather is None else gather(counts * weight)

    def draw(n_draws: int) -> Floats:
        if gather is None:
            return amounts(draw_counts(rng, rows, n_draws))
        return np.concatenate([amounts(draw_counts(rng, rows, 1)) for _ in range(n_draws)])

    value = measure(amounts(rows))
    nothing = np.full_like(value, np.nan)
    if bootstrap.n_boot == 0:
        return Estimate(value, nothing, nothing, np.zeros_like(value))
    step = max(1, _CHUNK // (width if gather else max(width, len(rows))))
    starts = range(0, bootstrap.n_boot, step)
    draws = np.concatenate([measure(draw(min(step, bootstrap.n_boot - n))) for n in starts])
    levels = np.repeat(bootstrap.tails[:, None], len(value), axis=1)
    if bootstrap.kind == "bca":
        left_out = [measure(amounts(left)) for left in _left_out(rng, rows, step)]
        times = rows if len(rows) <= _MAX_KINDS else np.ones(_MAX_KINDS, dtype=np.int64)
        acceleration = _acceleration(np.concatenate(left_out), times)
        levels = _bca_levels(value, draws, acceleration, bootstrap.tails)
    ends = _quantiles(draws, levels)
    ends[:, np.isnan(value)] = np.nan
    return Estimate(value, ends[0], ends[1], np.isnan(draws).mean(0))

"""Metrics of scores, from rows sorted by group and score once for all draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.metrics.confusion import Floats, divide

__all__ = ["GroupScores", "Ranked", "ScoreRows", "sort_scores"]

ECE_BINS = 15
KL_BINS = 50


@dataclass(frozen=True, eq=False)
class ScoreRows:
    """Distinct rows in the order of group, then score.

    Attributes
    ----------
    group, score, target : ndarray of shape (n_kinds,)
        Group code, score, and whether the row is what the score is for.
    rows, weight : ndarray of shape (n_kinds,)
        How many rows are of this kind, and the weight of one of them.
    n_groups : int
    prevalence : float
        Weighted share of `target`, the reference of the normalised average precision.
    order_of_rows, first : ndarray of shape (n_samples,) and (n_kinds,)
        The sample's rows in this order, and where among them each kind begins.
    """

    group: NDArray[np.int64]
    score: Floats
    target: NDArray[np.bool_]
    rows: NDArray[np.int64]
    weight: Floats
    n_groups: int
    prevalence: float
    order_of_rows: NDArray[np.int64]
    first: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, amounts: Floats) -> Floats:
        """Add up `amounts` of the sample's rows, (..., n_samples), into those of the kinds."""
        return np.add.reduceat(amounts[..., self.order_of_rows], self.first, axis=-1)

    @cached_property
    def probabilities(self) -> bool:
        """Whether every score can be a probability."""
        return bool(self.score.min() >= 0 and self.score.max() <= 1)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The order by score alone."""
        return np.argsort(self.score, kind="stable")

    @cached_property
    def histogram(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Occupied bins (group x bin, flattened) and where each starts among the kinds."""
        low, high = (0.0, 1.0) if self.probabilities else (self.score.min(), self.score.max())
        scale = KL_BINS / (high - low) if high > low else 0.0
        bins = np.minimum(((self.score - low) * scale).astype(np.int64), KL_BINS - 1)
        place = self.group * KL_BINS + bins  # ascending, as the kinds are sorted
        starts = np.flatnonzero(np.r_[True, place[1:] != place[:-1]])
        return place[starts], starts

    def everyone(self, amounts: Floats) -> Ranked:
        """All rows ranked; `amounts` are weights of shape (..., n_kinds)."""
        order = self.order
        return Ranked(self.score[order], self.target[order], amounts[..., order], self.prevalence)

    def of_group(self, group: int, amounts: Floats) -> Ranked:
        """The rows of one group ranked."""
        start, stop = np.searchsorted(self.group, [group, group + 1])
        rows = slice(int(start), int(stop))
        return Ranked(self.score[rows], self.target[rows], amounts[..., rows], self.prevalence)


def sort_scores(
    group: NDArray[np.int64],
    n_groups: int,
    target: NDArray[np.bool_],
    score: Floats,
    weight: Floats | None,
) -> ScoreRows:
    """Sort the rows once and merge equal ones."""
    weights = np.ones(len(score)) if weight is None else weight
    keys = (target, score, group) if weight is None else (weights, target, score, group)
    order = np.lexsort(keys)
    columns = [key[order] for key in keys]
    new = np.zeros(len(order), dtype=bool)
    new[0] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    first = np.flatnonzero(new)
    kept = order[first]
    return ScoreRows(
        group=group[kept],
        score=score[kept],
        target=target[kept],
        rows=np.diff(np.r_[first, len(order)]),
        weight=weights[kept],
        n_groups=n_groups,
        prevalence=float(divide(np.sum(weights * target), np.sum(weights))),
        order_of_rows=order,
        first=first,
    )


class Ranked:
    """Rows in the order of their scores, with sums at each distinct score.

    Parameters
    ----------
    score, target : ndarray of shape (n_kinds,)
        Scores ascending.
    amounts : ndarray of shape (..., n_kinds)
    prevalence : float
    """

    def __init__(
        self, score: Floats, target: NDArray[np.bool_], amounts: Floats, prevalence: float
    ) -> None:
        self.score, self.target, self.amounts = score, target, amounts
        self.prevalence = prevalence

    def _at_each_score(self, amounts: Floats) -> Floats:
        starts = np.flatnonzero(np.r_[True, self.score[1:] != self.score[:-1]])
        return amounts if len(starts) == len(self.score) else np.add.reduceat(amounts, starts, -1)

    @cached_property
    def pos(self) -> Floats:
        """Weight of the targets at each distinct score, (..., n_scores)."""
        return self._at_each_score(self.amounts * self.target)

    @cached_property
    def neg(self) -> Floats:
        """Weight of the other rows at each distinct score."""
        return self._at_each_score(self.amounts * ~self.target)

    @cached_property
    def n_pos(self) -> Floats:
        return self.pos.sum(-1)

    @cached_property
    def n_neg(self) -> Floats:
        return self.neg.sum(-1)

    @cached_property
    def caught(self) -> Floats:
        """Weight of the targets at this score or above."""
        return np.cumsum(self.pos[..., ::-1], axis=-1)[..., ::-1]

    @cached_property
    def alarms(self) -> Floats:
        return np.cumsum(self.neg[..., ::-1], axis=-1)[..., ::-1]


def roc_auc(r: Ranked) -> Floats:
    """Probability that a target outranks another row, ties counting half."""
    above = r.caught - r.pos / 2
    return divide((r.neg * above).sum(-1), r.n_pos * r.n_neg)


def average_precision(r: Ranked) -> Floats:
    """Precision at every score, weighted by the recall gained there."""
    precision = np.nan_to_num(divide(r.caught, r.caught + r.alarms))
    return divide((r.pos * precision).sum(-1), r.n_pos)


def normalized_average_precision(r: Ranked) -> Floats:
    """Average precision as if the prevalence were that of the whole data.

    Groups of different base rates have different average precision for one
    and the same ranking; at a common prevalence they compare (the idea of
    Hoiem et al. 2012).
    """
    hits = r.prevalence * divide(r.caught, r.n_pos[..., None])
    misses = (1 - r.prevalence) * divide(r.alarms, r.n_neg[..., None])
    precision = np.nan_to_num(divide(hits, hits + misses))
    value = divide((r.pos * precision).sum(-1), r.n_pos)
    return np.where(r.n_neg > 0, value, np.nan)


def ece(r: Ranked) -> Floats:
    """Expected calibration error over 15 bins of equal width."""
    bins = np.minimum((r.score * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    starts = np.flatnonzero(np.r_[True, bins[1:] != bins[:-1]])
    excess = np.add.reduceat(r.amounts * (r.target - r.score), starts, axis=-1)
    return divide(np.abs(excess).sum(-1), r.amounts.sum(-1))


@dataclass(frozen=True, eq=False)
class GroupScores:
    """Ranked scores of several groups, under weights of shape (..., n_kinds).

    Attributes
    ----------
    rows : ScoreRows
    amounts : ndarray of shape (..., n_kinds)
    ranked : list of Ranked
        One for each group.
    keep : ndarray of shape (n_groups,), bool, or None
        The groups that are compared; None for all.
    """

    rows: ScoreRows
    amounts: Floats
    ranked: list[Ranked]
    keep: NDArray[np.bool_] | None = None
    _rates: dict[str, Floats] = field(default_factory=dict)

    @property
    def draws(self) -> tuple[int, ...]:
        return self.amounts.shape[:-1]

    def rate(self, spec: Any) -> Floats:
        """A rate of every compared group, shape (..., n_groups)."""
        if spec.name not in self._rates:
            if spec.needs_probabilities and not self.rows.probabilities:
                values = np.full((*self.draws, len(self.ranked)), np.nan)
            else:
                values = np.stack([spec.compute(ranked) for ranked in self.ranked], axis=-1)
            self._rates[spec.name] = values
        rates = self._rates[spec.name]
        return rates if self.keep is None else rates[..., self.keep]


def score_kl(groups: GroupScores) -> Floats:
    """Symmetrised divergence of score histograms between groups within each true class.

    KL(p, q) + KL(q, p) of histograms with common bins, smoothed by a Gaussian
    of one bin; the mean over the two classes of the largest over pairs of
    groups (Ramaswamy et al. 2021, who have two groups).

    Returns
    -------
    ndarray of shape (...)
        NaN where a group has no rows of a class.
    """
    from scipy.ndimage import gaussian_filter1d

    rows, amounts = groups.rows, groups.amounts
    place, starts = rows.histogram
    counts = np.zeros((*groups.draws, rows.n_groups * KL_BINS, 2))
    targets = amounts * rows.target
    for side, weights in enumerate((amounts - targets, targets)):
        counts[..., place, side] = np.add.reduceat(weights, starts, axis=-1)
    counts = counts.reshape(*groups.draws, rows.n_groups, KL_BINS, 2)
    counts = np.swapaxes(counts, -1, -2)[..., groups.keep, :, :]
    smooth = gaussian_filter1d(divide(counts, counts.sum(-1, keepdims=True)), 1.0, axis=-1) + 1e-6
    share = smooth / smooth.sum(-1, keepdims=True)
    log = np.log(share)
    pairs = [
        ((share[..., i, :, :] - share[..., j, :, :]) * (log[..., i, :, :] - log[..., j, :, :])).sum(
            -1
        )
        for i in range(share.shape[-3])
        for j in range(i)
    ]
    return np.max(pairs, axis=0).mean(-1)

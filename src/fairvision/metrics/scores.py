"""Metrics of scores, from rows sorted by group and score once for all draws."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.metrics.confusion import Floats, divide, run_starts

__all__ = ["GroupScores", "Ranked", "ScoreRows", "sort_scores"]

ECE_BINS = 15
KL_BINS = 50


# More kinds of rows than this are put into bins for the draws of a bootstrap.
MAX_KINDS = 4096
# About as many bins of scores, at quantiles of each class in each group: AUC and average precision
# of a draw are then right to far better than 0.001, and their bias is taken off.
_BINS = 1024


@dataclass(frozen=True, eq=False)
class ScoreRows:
    """Distinct rows in the order of group, then score.

    Attributes
    ----------
    group, score, target : ndarray of shape (n_kinds,)
        Group code, score (its bin, where rows are binned), and whether the row is what the score
        is for.
    rows, weight : ndarray of shape (n_kinds,)
        How many rows are of this kind, and the weight of one of them.
    level, ece_bin, kl_bin : ndarray of shape (n_kinds,)
        Mean score, and its bin in calibration errors and in divergences.
    n_groups : int
    prevalence : float
        Weighted share of `target`, the reference of the normalised average precision.
    probabilities : bool
        Whether every score can be a probability.
    order_of_rows, first : ndarray of shape (n_samples,) and (n_kinds,)
        The sample's rows in this order, and where among them each kind begins.
    """

    group: NDArray[np.int64]
    score: Floats
    target: NDArray[np.bool_]
    rows: NDArray[np.int64]
    weight: Floats
    level: Floats
    ece_bin: NDArray[np.int64]
    kl_bin: NDArray[np.int64]
    n_groups: int
    prevalence: float
    probabilities: bool
    order_of_rows: NDArray[np.int64]
    first: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, amounts: Floats) -> Floats:
        """Add up `amounts` of the sample's rows, (..., n_samples), into those of the kinds."""
        return self.join(amounts[..., self.order_of_rows])

    def join(self, amounts: Floats) -> Floats:
        """The same of rows that are in the order of the kinds already."""
        return np.add.reduceat(amounts, self.first, axis=-1)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The order by score alone."""
        return np.argsort(self.score, kind="stable")

    @cached_property
    def histogram(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Occupied bins (group x bin, flattened) and where each starts among the kinds."""
        place = self.group * KL_BINS + self.kl_bin  # ascending, as the kinds are sorted
        starts = run_starts(place)
        return place[starts], starts

    def everyone(self, amounts: Floats) -> Ranked:
        """All rows ranked; `amounts` are weights of shape (..., n_kinds)."""
        return self._ranked(self.order, amounts)

    def of_group(self, group: int, amounts: Floats) -> Ranked:
        """The rows of one group ranked."""
        start, stop = np.searchsorted(self.group, [group, group + 1])
        return self._ranked(slice(int(start), int(stop)), amounts)

    def _ranked(self, rows: Any, amounts: Floats) -> Ranked:
        columns = (self.score[rows], self.target[rows], self.level[rows], self.ece_bin[rows])
        return Ranked(*columns, amounts[..., rows], self.prevalence)

    def binned(self) -> ScoreRows:
        """The same rows with scores joined into bins; itself if they are few enough."""
        if len(self) <= MAX_KINDS:
            return self
        bins = self._bins()
        keys = (self.target, bins, self.group)
        order = np.lexsort(keys)
        first = run_starts(*(key[order] for key in keys))
        starts = order[first]
        rows = np.add.reduceat(self.rows[order], first)
        mass = (self.rows * self.weight)[order]
        total = np.add.reduceat(mass, first)
        mean = divide(np.add.reduceat(mass * self.level[order], first), total)
        # Rounding must not move a mean out of its bin.
        low, high = (f.reduceat(self.level[order], first) for f in (np.minimum, np.maximum))
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        moved = np.argsort(np.repeat(rank, self.rows), kind="stable")
        return replace(
            self,
            group=self.group[starts],
            score=bins[starts].astype(np.float64),
            target=self.target[starts],
            rows=rows,
            weight=total / rows,
            level=np.clip(np.where(np.isnan(mean), low, mean), low, high),
            ece_bin=self.ece_bin[starts],
            kl_bin=self.kl_bin[starts],
            order_of_rows=self.order_of_rows[moved],
            first=np.cumsum(np.r_[0, rows[:-1]]),
        )

    def _bins(self) -> NDArray[np.int64]:
        """The bin of each kind, in the order of scores, within those of both histograms."""
        n_quantiles = max(64, _BINS // (4 * self.n_groups))
        edges = []
        for place in np.unique(self.group * 2 + self.target):
            members = np.flatnonzero(self.group * 2 + self.target == place)
            at = np.cumsum(self.rows[members])
            even = np.linspace(0, at[-1], n_quantiles, endpoint=False)
            # The first hits of a ranking decide its precision: finer towards the highest scores.
            top = at[-1] - np.geomspace(1, at[-1], n_quantiles)
            levels = np.concatenate([even, top])
            edges.append(self.score[members[np.searchsorted(at, levels, side="right")]])
        cut = np.searchsorted(np.unique(np.concatenate(edges)), self.score, side="right")
        order = self.order
        new = np.ones(len(order), dtype=bool)
        new[1:] = np.any([np.diff(key[order]) for key in (cut, self.ece_bin, self.kl_bin)], axis=0)
        bins = np.empty(len(order), dtype=np.int64)
        bins[order] = np.cumsum(new)
        return bins


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
    first = run_starts(*(key[order] for key in keys))
    starts = order[first]
    level = score[starts]
    probabilities = bool(level.min() >= 0 and level.max() <= 1)
    low, high = (0.0, 1.0) if probabilities else (level.min(), level.max())
    scale = KL_BINS / (high - low) if high > low else 0.0
    ece_bin = (level * ECE_BINS).astype(np.int64) if probabilities else np.zeros_like(starts)
    return ScoreRows(
        group=group[starts],
        score=level,
        target=target[starts],
        rows=np.diff(np.r_[first, len(order)]),
        weight=weights[starts],
        level=level,
        ece_bin=np.minimum(ece_bin, ECE_BINS - 1),
        kl_bin=np.minimum(((level - low) * scale).astype(np.int64), KL_BINS - 1),
        n_groups=n_groups,
        prevalence=float(divide(np.sum(weights * target), np.sum(weights))),
        probabilities=probabilities,
        order_of_rows=order,
        first=first,
    )


class Ranked:
    """Rows in the order of their scores, with sums at each distinct score.

    Parameters
    ----------
    score, target, level, ece_bin : ndarray of shape (n_kinds,)
        As of `ScoreRows`, scores ascending.
    amounts : ndarray of shape (..., n_kinds)
    prevalence : float
    """

    def __init__(
        self,
        score: Floats,
        target: NDArray[np.bool_],
        level: Floats,
        ece_bin: NDArray[np.int64],
        amounts: Floats,
        prevalence: float,
    ) -> None:
        self.score, self.target, self.amounts = score, target, amounts
        self.level, self.ece_bin = level, ece_bin
        self.prevalence = prevalence

    def _at_each_score(self, amounts: Floats) -> Floats:
        starts = run_starts(self.score)
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
    starts = run_starts(r.ece_bin)
    excess = np.add.reduceat(r.amounts * (r.target - r.level), starts, axis=-1)
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

"""Methods measured on the same bootstrap draws of validation rows and seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.comparison.run import Run
from fairvision.exceptions import InputError
from fairvision.metrics import drawn_metrics, metric_direction

__all__ = ["FEW_ROWS", "Ranking", "rank"]

#: A cell of fewer validation rows decides by chance.
FEW_ROWS = 10

Floats = NDArray[np.float64]
# Draws are made in batches of about this many numbers: 16 MB.
_CHUNK = 1 << 21


@dataclass(frozen=True, eq=False)
class Ranking:
    """Methods, the simpler first, and their metrics on validation rows.

    Attributes
    ----------
    methods : list of str
    metrics : list of str
        The first one ranks.
    values : ndarray of shape (n_methods, n_metrics)
        Mean over the seeds; NaN where one is undefined.
    drawn : ndarray of shape (n_methods, n_draws)
        The first metric, for each draw in which it is defined for all methods that have a value.
    by_seed : list of dict
        Of each method, the first metric by seed.
    smallest_cell : int
        Validation rows of the smallest cell of class and group.
    left_out : list of str
        Methods that have not finished the seeds compared.
    """

    methods: list[str]
    metrics: list[str]
    values: Floats
    drawn: Floats
    by_seed: list[dict[int, float]]
    smallest_cell: int
    left_out: list[str]

    def _merit(self, values: Floats) -> Floats:
        """Higher is better."""
        direction = metric_direction(self.metrics[0])
        if direction.startswith("near"):
            return -np.abs(values - float(direction.split()[1]))
        return values if direction == "higher" else -values

    def best(self, among: NDArray[np.bool_]) -> int:
        """The best of some methods; the first of several."""
        return int(np.argmax(np.where(among, self._merit(self.values[:, 0]), -np.inf)))

    def simplest(self, among: NDArray[np.bool_]) -> int:
        """The first of some methods whose metric is within one standard error of the best.

        The error is that of their difference over the draws, in which both have the same rows
        and seeds (the rule of Breiman et al. 1984, paired).
        """
        best, merit = self.best(among), self._merit(self.values[:, 0])
        errors = (self._merit(self.drawn[best]) - self._merit(self.drawn)).std(axis=1)
        return int(np.flatnonzero(among & (merit[best] - merit <= errors))[0])

    def shares_best(self, among: NDArray[np.bool_]) -> Floats:
        """Share of the draws in which each of some methods is the best; ties are divided."""
        merit = np.where(among[:, None], self._merit(self.drawn), -np.inf)
        wins = merit == merit.max(axis=0)
        return np.asarray((wins / wins.sum(axis=0)).mean(axis=1))

    def bounds(self) -> Floats:
        """The 95 % interval of the first metric, shape (2, n_methods)."""
        return np.quantile(self.drawn, [0.025, 0.975], axis=1)

    def best_seed(self, method: int) -> int:
        """The seed whose model is best; the first of several."""
        seeds = self.by_seed[method]
        merit = self._merit(np.array(list(seeds.values())))
        return list(seeds)[int(np.argmax(np.nan_to_num(merit, nan=-np.inf)))]

    def table(self) -> pd.DataFrame:
        """A row a method."""
        lower, upper = self.bounds()
        first, *others = self.metrics
        columns = {first: self.values[:, 0], "lower": lower, "upper": upper}
        columns |= {name: self.values[:, 1 + i] for i, name in enumerate(others)}
        return pd.DataFrame(columns, index=pd.Index(self.methods, name="method"))


def rank(
    runs: Sequence[Run],
    methods: Iterable[str],
    sensitive_features: pd.DataFrame,
    metrics: list[str],
    *,
    n_boot: int = 1000,
) -> Ranking:
    """Measure the validation rows of runs.

    A draw resamples rows, alike for all methods and seeds, and seeds, alike for all methods.

    Parameters
    ----------
    runs : sequence of Run
    methods : iterable of str
        The simpler first. Those without runs are left out.
    sensitive_features : DataFrame
        Groups of all rows of the data.
    metrics : list of str
        The first one ranks.
    n_boot : int

    Raises
    ------
    InputError
        If no run has validation rows, or a metric cannot be drawn.
    """
    if n_boot < 1:
        raise InputError(f"n_boot is {n_boot}; a choice needs 1 draw or more.")
    by_method = {label: {run.seed: run for run in runs if run.method == label} for label in methods}
    by_method, left_out = _block({label: own for label, own in by_method.items() if own})
    everyone = _rows(run for own in by_method.values() for run in own.values())
    n_seeds = max(map(len, by_method.values()))
    rng = np.random.default_rng(0)
    chunks: dict[tuple[str, int], list[Floats]] = {}
    for draws in _draws(rng, len(everyone), n_boot):
        for label, own in by_method.items():
            for seed, run in own.items():
                numbers = _measured(run, sensitive_features, metrics, everyone, draws)
                chunks.setdefault((label, seed), []).append(numbers)
    weights = np.concatenate(list(_draws(rng, n_seeds, n_boot)))
    values, drawn, by_seed = [], [], []
    for label, own in by_method.items():
        measured = np.stack([np.concatenate(chunks[label, seed]) for seed in own], axis=-1)
        values.append(measured[0].mean(axis=-1))
        drawn.append(_mean(measured[1:, 0], weights[1:]))
        by_seed.append(dict(zip(own, measured[0, 0].tolist(), strict=True)))
    table, numbers = np.stack(values), np.stack(drawn)
    usable = ~np.isnan(numbers[~np.isnan(table[:, 0])]).any(axis=0)
    if not usable.any():
        raise InputError(
            f"{metrics[0]} is undefined in every draw of the validation rows: a class of some "
            "group has too few rows. Hold out more validation rows, or choose by another metric."
        )
    smallest = min(
        _smallest_cell(r, sensitive_features) for own in by_method.values() for r in own.values()
    )
    return Ranking(list(by_method), metrics, table, numbers[:, usable], by_seed, smallest, left_out)


def _block(runs: dict[str, dict[int, Run]]) -> tuple[dict[str, dict[int, Run]], list[str]]:
    """The largest block of methods that all have the same seeds, and the other methods.

    Means over different seeds are over different rows, so they cannot be compared.
    """
    finished = [set(own) for own in runs.values()]

    def size(seeds: set[int]) -> tuple[int, int]:
        return len(seeds) * sum(seeds <= other for other in finished), len(seeds)

    common = max(finished, key=size, default=set())
    block = {
        label: {seed: run for seed, run in own.items() if seed in common}
        for label, own in runs.items()
        if common <= set(own)
    }
    return block, [label for label in runs if label not in block]


def _smallest_cell(run: Run, groups: pd.DataFrame) -> int:
    """Validation rows of the smallest cell of class and group."""
    assert run.validation is not None
    cells = groups.iloc[run.validation.rows].assign(**{"": run.validation.y_true})
    return int(cells.value_counts().min())


def _rows(runs: Iterable[Run]) -> NDArray[np.int64]:
    """All validation rows of some runs, in order."""
    held_out = [run.validation for run in runs]
    rows = [predictions.rows for predictions in held_out if predictions is not None]
    if not rows or len(rows) < len(held_out):
        raise InputError(
            "there are no predictions for validation rows, and test rows must not choose a "
            "method. Compare with --validation-fraction 0.2 (validation_fraction=0.2), or on "
            "data with a split 'valid'; use another --out if the folder already holds runs."
        )
    return np.unique(np.concatenate(rows))


def _draws(rng: np.random.Generator, n: int, n_boot: int) -> Iterator[NDArray[np.int64]]:
    """Yield how often each of `n` is drawn, shape (n_draws, n); the sample itself comes first."""
    yield np.ones((1, n), dtype=np.int64)
    step = max(1, _CHUNK // n)
    for start in range(0, n_boot, step):
        n_draws = min(step, n_boot - start)
        yield np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(n_draws)])


def _measured(
    run: Run, groups: pd.DataFrame, metrics: list[str], everyone: Any, draws: Any
) -> Floats:
    """Metrics of a run in each draw of the rows."""
    held_out = run.validation
    assert held_out is not None
    return drawn_metrics(
        held_out.y_true,
        held_out.y_pred,
        draws[:, np.searchsorted(everyone, held_out.rows)],
        sensitive_features=groups.iloc[held_out.rows],
        metrics=metrics,
        y_score=held_out.y_score,
        labels=run.evaluation["classes"],
        threshold=run.threshold,
    )


def _mean(numbers: Floats, weights: Any) -> Floats:
    """Mean over a draw's seeds, shape (n_draws, n_seeds), that define the metric.

    Over all of them, where the draw holds none.
    """
    defined = ~np.isnan(numbers)
    used = weights * defined
    used = np.where(used.sum(axis=1, keepdims=True) > 0, used, defined)
    with np.errstate(invalid="ignore"):
        return np.asarray((np.nan_to_num(numbers) * used).sum(axis=1) / used.sum(axis=1))

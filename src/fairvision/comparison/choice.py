"""The choice of a method by the validation rows of a comparison, never by its test rows."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairvision.base import check_new_file
from fairvision.comparison.plan import PLAIN_TRAINING
from fairvision.comparison.ranking import FEW_ROWS, Ranking, rank
from fairvision.comparison.serialization import plain
from fairvision.comparison.summary import differences, interval_text, of_runs, over_seeds
from fairvision.exceptions import InputError
from fairvision.metrics import metric_direction

__all__ = ["ORDERS", "Choice", "choose"]

#: The signs of a bound, also of `fairvision audit --fail-if`.
ORDERS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONSTRAINT = re.compile(
    r"\s*([\w:-]+)\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*", re.I
)
#: The test figures of the winner beside those that decided.
_SHOWN = ("accuracy", "worst_group_accuracy", "equalized_odds_difference")
_DIFFERENCE = ["difference", "difference_lower", "difference_upper"]


@dataclass(frozen=True, eq=False)
class Choice:
    """The method chosen by the validation rows, and how sure the choice is.

    Attributes
    ----------
    method : str
        Its label.
    by : str
        The metric that decides.
    seed : int
        Seed of the method's model with the best `by` on validation rows.
    sureness : float
        Share of bootstrap draws, of rows and seeds, in which it is the best.
    table : DataFrame
        A row a method, the simpler first: `by` on validation rows with its 95 % interval,
        the metrics of constraints, whether it `meets` them, `share_best` of the draws,
        training seconds.
    test : DataFrame
        The winner's figures on test rows, by metric: value, lower, upper, and the difference
        from plain training (NaN for plain training itself).
    distinguishable : bool or None
        Whether `by` on test rows differs from plain training by more than the interval; None
        where that is not known.
    sentence : str
        The choice and its evidence in one or two sentences.
    """

    method: str
    by: str
    seed: int
    sureness: float
    table: pd.DataFrame
    test: pd.DataFrame
    distinguishable: bool | None
    sentence: str
    comparison: Any = field(repr=False)

    def __repr__(self) -> str:
        parts = [self.sentence, self.table.round(3).to_string(), "On test rows:"]
        return "\n".join([*parts, self.test.round(3).to_string()])

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        names = ("method", "by", "seed", "sureness", "distinguishable", "sentence")
        tables = {
            name: getattr(self, name).reset_index().to_dict(orient="records")
            for name in ("table", "test")
        }
        return plain({**{name: getattr(self, name) for name in names}, **tables})

    def model(self, seed: int | None = None, *, dataset: Any = None) -> Any:
        """The chosen method's model: the stored one, or else one trained again to the same numbers.

        Parameters
        ----------
        seed : int or None, default=None
            Of the comparison; None takes `seed`.
        dataset : Bunch or None, default=None
            The data, if the comparison was given a Bunch and not a name.

        Returns
        -------
        ImageModel, or the estimator where the data are no pictures

        Raises
        ------
        InputError
            If there is no such seed, or the data are needed.
        RunError
            If the data are not those of the comparison, or training gives another model.
        """
        from fairvision.comparison.winner import model_of_run  # late: choosing needs no torch

        seed = self.seed if seed is None else seed
        model = model_of_run(self.comparison, self.method, seed, dataset)
        if getattr(model, "facts", None) is not None:
            model.facts |= {"choice": self.sentence, "sureness": self.sureness}
        return model

    def save(
        self,
        path: str | Path,
        *,
        seed: int | None = None,
        dataset: Any = None,
        overwrite: bool = False,
    ) -> Path:
        """Write that model to one file for `fairvision.load`; other parameters as in `model`.

        Parameters
        ----------
        path : str or Path
        seed, dataset
            As in `model`.
        overwrite : bool, default=False
            Whether to replace an existing file.

        Raises
        ------
        SavingError
            If the file exists and may not be replaced, its folder does not exist (both checked
            before training), or the method cannot be saved.
        """
        from fairvision.saving import save

        check_new_file(path, overwrite=overwrite)
        return save(self.model(seed, dataset=dataset), path, overwrite=overwrite)


@dataclass(frozen=True)
class Constraint:
    """``accuracy>=0.9``."""

    metric: str
    order: str
    bound: float

    def __str__(self) -> str:
        return f"{self.metric}{self.order}{self.bound:g}"

    def holds(self, values: Any) -> Any:
        """Whether each value meets the bound; an undefined value does not."""
        return ORDERS[self.order](values, self.bound)

    def shortfall(self, values: Any) -> Any:
        """How far each value is from the bound."""
        missing = self.bound - values if ">" in self.order else values - self.bound
        return np.where(self.holds(values), 0.0, np.nan_to_num(missing, nan=np.inf))


def _constraints(texts: str | Iterable[str]) -> list[Constraint]:
    constraints = []
    for text in [texts] if isinstance(texts, str) else texts:
        match = _CONSTRAINT.fullmatch(text)
        if match is None:
            raise InputError(f"at_least has {text!r}; write a metric and a bound: accuracy>=0.9.")
        constraints.append(Constraint(match[1].replace("-", "_"), match[2], float(match[3])))
    return constraints


def choose(
    comparison: Any,
    by: str = "worst_group_accuracy",
    at_least: str | Iterable[str] = (),
    *,
    n_boot: int = 1000,
) -> Choice:
    """See `Comparison.choose`."""
    constraints = _constraints(at_least)
    metrics = list(dict.fromkeys([by.replace("-", "_"), *(c.metric for c in constraints)]))
    groups, base = comparison.sensitive_features, comparison.baseline
    candidates = [method.label for method in comparison.plan.methods if not method.balanced]
    candidates.sort(key=lambda label: label != base)
    ranking = rank(comparison.runs, candidates, groups, metrics, n_boot=n_boot)
    meets = np.all([c.holds(ranking.values[:, metrics.index(c.metric)]) for c in constraints], 0)
    meets = np.broadcast_to(meets, len(ranking.methods)) & ~np.isnan(ranking.values[:, 0])
    if not meets.any():
        raise InputError(_nearest(ranking, constraints))
    best, chosen = ranking.best(meets), ranking.simplest(meets)
    shares = ranking.shares_best(meets)
    table = ranking.table().assign(
        meets=meets, share_best=shares, seconds=_seconds(comparison, ranking.methods)
    )
    label = ranking.methods[chosen]
    test = _test(comparison, label, list(dict.fromkeys([*metrics, *_SHOWN])))
    lower, upper = test.loc[metrics[0], _DIFFERENCE[1:]]
    choice = Choice(
        method=label,
        by=metrics[0],
        seed=ranking.best_seed(chosen),
        sureness=float(shares[chosen]),
        table=table,
        test=test,
        distinguishable=bool(lower > 0 or upper < 0) if lower == lower else None,
        sentence="",
        comparison=comparison,
    )
    plans = {method.label: method.name for method in comparison.plan.methods}
    base_name = f"plain training ({base})" if plans.get(base) == PLAIN_TRAINING else base
    words: dict[str, Any] = {
        "has_others": bool((~meets).any()),
        "base": base,
        "base_name": base_name,
    }
    sentence = _sentence(choice, ranking.methods[best], **words)
    return replace(choice, sentence=sentence + _cautions(ranking))


def _cautions(ranking: Ranking) -> str:
    text = ""
    n = ranking.smallest_cell
    if n < FEW_ROWS:
        text += f" The smallest cell of class and group has {n} validation row{'s' * (n > 1)}."
    if ranking.left_out:
        text += f" Not compared, since they lack seeds: {', '.join(ranking.left_out)}."
    return text


def _nearest(ranking: Ranking, constraints: Sequence[Constraint]) -> str:
    by = ranking.metrics[0]
    defined = ~np.isnan(ranking.values[:, 0])
    if not defined.any():
        return (
            f"{by} is undefined on the validation rows of every method: choose by another metric."
        )
    short = sum(
        (c.shortfall(ranking.values[:, ranking.metrics.index(c.metric)]) for c in constraints),
        np.where(defined, 0.0, np.inf),
    )
    nearest = int(np.argmin(short))
    values = dict(zip(ranking.metrics, ranking.values[nearest], strict=True))
    has = ", ".join(f"{c.metric} {values[c.metric]:.3f}" for c in constraints)
    return (
        f"no method meets {' and '.join(map(str, constraints))} on the validation rows. The "
        f"nearest is {ranking.methods[nearest]}: {has}. Relax the constraints."
    )


def _seconds(comparison: Any, methods: Sequence[str]) -> list[float]:
    return [
        float(np.mean([run.train_seconds for run in comparison.runs if run.method == label]))
        for label in methods
    ]


def _test(comparison: Any, label: str, metrics: list[str]) -> pd.DataFrame:
    """The figures of one method on test rows, and their differences from plain training."""
    base, groups, n_boot = (
        comparison.baseline,
        comparison.sensitive_features,
        comparison.plan.n_boot,
    )
    runs = [run for run in comparison.runs if run.method == label]
    values = over_seeds(of_runs(runs, groups, metrics, n_boot)).loc[label]
    names = ["value", "lower", "upper"]
    test = values[names].reindex(metrics)
    pair = [run for run in comparison.runs if run.method == base] + runs
    known = differences(pair, groups, base, n_boot, metrics)
    gaps = known.loc[label] if label in known.index else pd.DataFrame(columns=names)
    gaps = gaps[names].reindex(metrics).astype(float)
    gaps.columns = _DIFFERENCE
    return pd.concat([test, gaps], axis=1).rename_axis("metric")


def _sentence(choice: Choice, best: str, *, has_others: bool, base: str, base_name: str) -> str:
    """The choice in words, with its test figure."""
    table, test, method = choice.table, choice.test, choice.method
    names, name = [choice.by, "lower", "upper"], choice.by.replace("_", " ")
    of = " of the methods that meet the constraints" if has_others else ""
    reason = f"best{of} in {choice.sureness:.0%} of the bootstrap draws"
    if best != method:
        top = interval_text(table.loc[best, names])
        reason = (
            f"{best}, with {top}, is within one standard error of it (of the paired difference), "
            f"and {method} is simpler; {method} is best in {choice.sureness:.0%} of the draws"
        )
    value = interval_text(table.loc[method, names])
    if method == base:
        lead = (
            f"Nothing beat {base_name}{of}" if len(table) > 1 else f"Only {base_name} was compared"
        )
        text = f"{lead}: {name} {value} on validation rows"
    else:
        text = f"{method} is chosen: {name} {value} on validation rows"
        if base in table.index:
            text += f", against {interval_text(table.loc[base, names])} of {base_name}"
    text += f"; {reason}" if len(table) > 1 else ""
    text += f". On test rows: {interval_text(test.loc[choice.by, ['value', 'lower', 'upper']])}"
    if choice.distinguishable is not None:
        gap = interval_text(test.loc[choice.by, _DIFFERENCE], "+")
        verb = "differs from" if choice.distinguishable else "cannot be told from"
        text += f", which {verb} {base} ({gap})"
        change, direction = test.loc[choice.by, "difference"], metric_direction(choice.by)
        if (direction == "higher" and change < 0) or (direction == "lower" and change > 0):
            text += f": there it does worse than {base}"
    return f"{text}."

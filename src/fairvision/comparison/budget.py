"""A comparison within a budget: the methods worth trying, round by round, until time is spent."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from fairvision.comparison.plan import MethodPlan, Plan
from fairvision.comparison.ranking import FEW_ROWS, rank
from fairvision.comparison.run import Run
from fairvision.exceptions import InputError

__all__ = ["AUTO", "Budget", "seconds_of"]

#: What ``methods="auto"`` tries, where it is installed: the cheapest and most promising first, as
#: measured on photographs (docs/photographs-measured.md). None needs groups at predict.
AUTO = (
    "erm",
    "last-layer-retraining",
    "reweighing",
    "balanced-sampling",
    "automatic-feature-reweighting",
    "jlu",
    "adversarial-fine-tuning",
)
_UNITS = {"s": 1, "m": 60, "h": 3600}
#: The metric by which a method is dropped, and the bootstrap draws of its interval.
_BY, _N_BOOT = "worst_group_accuracy", 500

Task = tuple[MethodPlan, int]


def seconds_of(budget: float | str | None) -> float | None:
    """``"20m"`` as seconds; a number is seconds already.

    Raises
    ------
    InputError
        If it is no duration above 0.
    """
    if budget is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(budget))
    seconds = 0.0 if match is None else float(match[1]) * _UNITS[match[2] or "s"]
    if seconds <= 0:
        raise InputError(f"budget is {budget!r}; write seconds, or 90s, 20m, 1.5h.")
    return seconds


class Budget:
    """Decide which runs to begin.

    Parameters
    ----------
    seconds : float or None
        Time from now; None sets no limit.
    clock : callable
        Returns the time in seconds, the same in all processes, as `time.time` does.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.time) -> None:
        self.seconds = seconds
        self.clock = clock
        self.deadline = np.inf if seconds is None else clock() + seconds
        self.given_up: dict[str, int] = {}

    def rounds(
        self, plan: Plan, todo: Sequence[Task], runs: Mapping[Any, Run], groups: pd.DataFrame
    ) -> Iterator[list[Task]]:
        """Yield the runs to do: one seed at a time, or all at once without a budget.

        Parameters
        ----------
        plan : Plan
        todo : sequence of (MethodPlan, seed)
        runs : mapping
            The finished ones; it grows between two rounds.
        groups : DataFrame
            Of all rows of the data.
        """
        if self.seconds is None:
            yield list(todo)
            return
        for seed in plan.seeds:
            self._give_up(plan, list(runs.values()), groups)
            yield [task for task in todo if task[1] == seed and self._begins(task[0], runs)]

    def _begins(self, method: MethodPlan, runs: Mapping[Any, Run]) -> bool:
        seconds = [run.train_seconds for run in runs.values() if run.method == method.label]
        in_time = not seconds or self.clock() + float(np.mean(seconds)) < self.deadline
        return method.label not in self.given_up and in_time

    def _give_up(self, plan: Plan, runs: Sequence[Run], groups: pd.DataFrame) -> None:
        """Drop methods whose interval is below that of the best method; never the first method."""
        labels = [method.label for method in plan.methods if not method.balanced]
        with suppress(InputError):  # without validation rows all go on
            ranking = rank(runs, labels, groups, [_BY], n_boot=_N_BOOT)
            if ranking.smallest_cell < FEW_ROWS:  # too few to give anything up
                return
            lower, upper = ranking.bounds()
            for label, bound in zip(ranking.methods, upper, strict=True):
                if bound < np.nanmax(lower) and label != labels[0]:
                    n_seeds = len({run.seed for run in runs if run.method == label})
                    self.given_up.setdefault(label, n_seeds)

    def deadline_of(self, plan: Plan, task: Task) -> float:
        """The time after which the run is not begun; infinite for the first run."""
        first = (plan.methods[0].label, plan.seeds[0])
        return np.inf if (task[0].label, task[1]) == first else self.deadline

    def notes(self, plan: Plan, runs: Sequence[Run], failures: Mapping[Any, str]) -> list[str]:
        """Say which runs were not done, and why."""
        done = {(run.method, run.seed) for run in runs} | set(failures)
        lacking = [
            method.label
            for method in plan.methods
            if any((method.label, seed) not in done for seed in plan.seeds)
        ]
        late = [label for label in lacking if label not in self.given_up]
        notes = []
        if late:
            notes.append(
                f"The budget of {self.seconds:g} s ended before all seeds of {', '.join(late)}."
            )
        if dropped := [label for label in lacking if label in self.given_up]:
            notes.append(
                "Dropped after the first seeds, because they are worse on the validation rows: "
                f"{', '.join(dropped)}."
            )
        return notes

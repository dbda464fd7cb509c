"""The conditions of ``fairvision audit --fail-if``."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from fairvision.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

    from fairvision.metrics import Evaluation

__all__ = ["Condition"]

_CONDITION = re.compile(
    r"\s*(?P<metric>[\w-]+)(?P<change>\.change)?(?:\.(?P<end>lower|upper))?"
    r"\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>\S+)\s*"
)


@dataclass(frozen=True)
class Condition:
    """One ``--fail-if``: a metric or its change, or an end of the interval, and a bound."""

    text: str
    metric: str
    is_change: bool
    column: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read ``accuracy_gap>0.1``, ``accuracy_gap.upper>=0.1`` or ``accuracy.change<0``."""
        match = _CONDITION.fullmatch(text)
        try:
            assert match is not None
            bound = float(match["bound"])
            assert bound == bound  # no number is above or below NaN: it would never fail
        except (AssertionError, ValueError):
            raise click.BadParameter(
                f"{text!r} is not a condition; expected metric, sign and number, such as "
                "'accuracy_gap>0.1', 'worst_group_accuracy.lower<0.7' or, of two files, "
                "'worst_group_accuracy.change.upper<-0.02'."
            ) from None
        column, is_change = match["end"] or "value", match["change"] is not None
        return cls(text, match["metric"], is_change, column, match["sign"], bound)

    def verdicts(
        self, evaluations: list[Evaluation], changes: Mapping[str, pd.DataFrame] | None = None
    ) -> list[str]:
        """One sentence for each grouping in which this condition fails the audit."""
        if self.is_change and changes is None:
            raise InputError(f"--fail-if {self.text!r}: a change needs a second file.")
        intervals = self._changes(changes or {}) if self.is_change else self._values(evaluations)
        if not intervals:
            raise InputError(f"--fail-if {self.text!r}: {self.metric} was not evaluated.")
        verdicts = (self._verdict(interval, name) for name, interval in intervals.items())
        return [verdict for verdict in verdicts if verdict]

    def _values(self, evaluations: list[Evaluation]) -> dict[str, pd.Series]:
        intervals = {}
        for evaluation in evaluations:
            # Not there: signed, and no privileged group was named for this column.
            with contextlib.suppress(KeyError):
                name = " x ".join(evaluation.grouping.names)
                intervals[name] = evaluation.interval(self.metric)
        return intervals

    def _changes(self, changes: Mapping[str, pd.DataFrame]) -> dict[str, pd.Series]:
        key = ("", self.metric.replace("-", "_"))
        return {name: table.loc[key] for name, table in changes.items() if key in table.index}

    def _verdict(self, interval: pd.Series, grouping: str) -> str | None:
        from fairvision.comparison.choice import ORDERS  # late: it imports pandas

        value, change = float(interval[self.column]), ".change" if self.is_change else ""
        metric = f"{self.metric}{change} ({self.column}) over {grouping}"
        if value != value:
            # Undefined must fail, or an audit of a group without rows would pass.
            reason = interval["note"] or "no interval was computed"
            return f"{metric} is undefined ({reason}), which {self.text!r} needs"
        met = ORDERS[self.sign](value, self.bound)
        return f"{metric} is {value:.4g}: {self.text}" if met else None

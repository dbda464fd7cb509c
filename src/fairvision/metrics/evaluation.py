"""The result of an evaluation: to read, to plot, and to hand to fairlearn and aif360."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.exceptions import InputError
from fairvision.metrics.grouping import Grouping

if TYPE_CHECKING:
    from aif360.metrics import ClassificationMetric
    from fairlearn.metrics import MetricFrame

__all__ = ["Evaluation"]

_COLUMNS = ["value", "lower", "upper", "note"]
_SUPPORT = ["n", "positives", "negatives", "note"]


@dataclass(eq=False, repr=False)
class Evaluation:
    """Performance for everyone, by group, and over the groups, with intervals.

    Made by :func:`~fairvision.metrics.evaluate` and
    :func:`~fairvision.metrics.evaluate_predictions`.

    Attributes
    ----------
    grouping : Grouping
        The groups; the intersection where there are several sensitive columns.
    classes : ndarray of shape (n_classes,)
        Labels of the target.
    pos_label : object
        The class that rates are about, None if there is none.
    counts, weights : ndarray of shape (n_groups, n_classes, n_classes)
        Rows, and sums of their weights, by group, true and predicted label.
    estimates : DataFrame
        Every number in long form: table, group, metric, value, lower, upper, note.
    privileged : ndarray of shape (n_groups,), bool, or None
    keep : ndarray of shape (n_groups,), bool
        The groups that gaps are taken over.
    by_attribute : dict of str to Evaluation
        One for each sensitive column; the same object where there is only one.
    notes : list of str
        Remarks for the reader: groups left out, groups unseen at fit, and so on.
    settings : dict
        Settings of the intervals: draws, level, kind.
    """

    grouping: Grouping
    classes: NDArray[Any]
    pos_label: Any
    counts: NDArray[np.float64]
    weights: NDArray[np.float64]
    estimates: pd.DataFrame
    privileged: NDArray[np.bool_] | None
    keep: NDArray[np.bool_]
    flags: list[str]
    notes: list[str]
    settings: dict[str, Any]
    curves: pd.DataFrame | None = None
    by_attribute: dict[str, Evaluation] = field(default_factory=dict)

    def _rows_of(self, table: str) -> pd.DataFrame:
        return self.estimates[self.estimates["table"] == table]

    @cached_property
    def overall(self) -> pd.Series:
        """Metrics over all rows as sampled; `group_balanced_accuracy` weighs groups alike."""
        return self._rows_of("overall").set_index("metric")["value"].rename("overall")

    @cached_property
    def overall_intervals(self) -> pd.DataFrame:
        """`overall` with value, lower, upper and note."""
        return self._rows_of("overall").set_index("metric")[_COLUMNS]

    @cached_property
    def by_group(self) -> pd.DataFrame:
        """One row a group: n, positives, negatives (rows), every rate, and a note.

        A rate without support is NaN; the note says why, and which cells are small.
        """
        index = self.grouping.index()
        rates = self._rows_of("group")
        table = rates.pivot(index="group", columns="metric", values="value")
        table = table.reindex(index=range(len(index)), columns=rates["metric"].drop_duplicates())
        table.columns.name = None
        table.index = index
        for place, (name, column) in enumerate(self._support().items()):
            table.insert(place, name, column)
        table["note"] = self._group_notes()
        return table

    @cached_property
    def by_group_intervals(self) -> pd.DataFrame:
        """Rates by group in long form, indexed by group and metric: value, lower, upper, note."""
        rates = self._rows_of("group")
        groups = self.grouping.columns().iloc[rates["group"].to_numpy()].reset_index(drop=True)
        keys = [*(labels for _, labels in groups.items()), rates["metric"]]
        index = pd.MultiIndex.from_arrays(keys, names=[*groups.columns, "metric"])
        return rates[_COLUMNS].set_axis(index)

    @cached_property
    def disparities(self) -> pd.DataFrame:
        """Numbers over the groups, by metric name: value, lower, upper, note."""
        return self._rows_of("disparity").set_index("metric")[_COLUMNS]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Every cell: the group's columns, y_true, y_pred, n rows and their summed weight."""
        group, true, predicted = np.indices(self.counts.shape).reshape(3, -1)
        table = self.grouping.columns().iloc[group].reset_index(drop=True)
        table["y_true"], table["y_pred"] = self.classes[true], self.classes[predicted]
        table["n"] = self.counts.reshape(-1).astype(np.int64)
        table["weight"] = self.weights.reshape(-1)
        return table

    def interval(self, name: str) -> pd.Series:
        """Value, lower, upper and note of one metric of `disparities` or `overall`."""
        for table in (self.disparities, self.overall_intervals):
            for spelling in (name, name.replace("-", "_")):
                if spelling in table.index:
                    return table.loc[spelling]
        known = [*self.disparities.index, *self.overall_intervals.index]
        raise KeyError(f"{name!r} was not evaluated; there are {', '.join(known)}.")

    def _support(self) -> dict[str, NDArray[Any]]:
        rows = self.counts.sum((1, 2)).astype(np.int64)
        if self.pos_label is None:
            nothing = np.full(len(rows), np.nan)
            return {"n": rows, "positives": nothing, "negatives": nothing}
        positives = self.counts[:, self.classes == self.pos_label].sum((1, 2)).astype(np.int64)
        return {"n": rows, "positives": positives, "negatives": rows - positives}

    def _group_notes(self) -> list[str]:
        undefined: list[list[str]] = [[flag] if flag else [] for flag in self.flags]
        rates = self._rows_of("group")
        for group, metric, note in zip(rates["group"], rates["metric"], rates["note"], strict=True):
            if note:
                undefined[group].append(f"{metric}: {note}")
        return ["; ".join(notes) for notes in undefined]

    @property
    def _positive(self) -> int | None:
        if self.pos_label is None:
            return None
        return int(np.flatnonzero(self.classes == self.pos_label)[0])

    @cached_property
    def metric_frame(self) -> MetricFrame:
        """The same counts in a fairlearn MetricFrame, which was fed cells and weights.

        Every rate is fairlearn's or scikit-learn's function, NaN where those
        return 0 for want of support. `count` is the summed weight. Note that the
        frame's own ``difference()`` leaves NaN groups out; `disparities` does not.
        """
        from fairvision.metrics.adapters import to_metric_frame

        return to_metric_frame(self.counts, self.weights, self.grouping.columns(), self._positive)

    @cached_property
    def classification_metric(self) -> ClassificationMetric:
        """The same counts in an aif360 ClassificationMetric.

        Without a privileged group, the methods that compare two sides raise, as
        aif360's do. Its entropy indices (`theil_index` and others) ignore weights
        and would count a cell once, so those are computed with weights here.

        Raises
        ------
        InputError
            If the target has no positive class.
        """
        from fairvision.metrics.adapters import to_classification_metric

        if self._positive is None:
            raise InputError(
                f"aif360's ClassificationMetric needs a binary target; there are "
                f"{len(self.classes)} classes. Pass pos_label to compare one with the rest."
            )
        sides = None
        if self.privileged is not None:
            sides = self.keep & ~self.privileged, self.keep & self.privileged
        return to_classification_metric(
            self.weights, self.grouping.columns(), self._positive, sides
        )

    def reliability(self) -> pd.DataFrame:
        """Reliability curves: by group and bin of scores, n, mean score, observed share.

        Raises
        ------
        InputError
            If there were no scores, or they are not probabilities.
        """
        if self.curves is None:
            raise InputError(
                "reliability needs probabilities; evaluate with y_score in [0, 1], one per row."
            )
        return self.curves

    def plot(self, metric: str = "accuracy", *, ax: Any = None) -> Any:
        """Draw one rate by group with its intervals.

        Parameters
        ----------
        metric : str
            A column of `by_group`, or ``"disparities"`` for all numbers over the groups.
        ax : matplotlib axes or None

        Returns
        -------
        matplotlib axes
        """
        from fairvision.metrics.display import plot_intervals

        if metric == "disparities":
            rows, ylabel = self.disparities.dropna(subset="value"), ""
        else:
            table, ylabel = self.by_group_intervals, " x ".join(self.grouping.names)
            known = table.index.get_level_values("metric").unique().tolist()
            if metric not in known:
                expected = f"expected 'disparities' or one of {known}"
                raise InputError(f"cannot plot {metric!r}; {expected}.")
            rows = table.xs(metric, level="metric")
        xlabel = f"{metric.replace('_', ' ')} ({self.settings['level']:.0%} interval)"
        return plot_intervals(rows, xlabel, ylabel, self.overall.get(metric), ax)

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings and None, which `json.dumps` takes.

        An undefined number is None, and its note says why.
        """
        labels = self.grouping.columns().to_dict("records")
        rates = self._rows_of("group")
        by_group = [
            {
                "group": {str(name): _plain(label) for name, label in labels[code].items()},
                **{k: _plain(self.by_group[k].iloc[code]) for k in _SUPPORT},
                "rates": _records(rates[rates["group"] == code].set_index("metric")[_COLUMNS]),
            }
            for code in range(len(self.groups))
        ]
        result = {
            "sensitive": list(self.grouping.names),
            "classes": [_plain(label) for label in self.classes],
            "pos_label": _plain(self.pos_label),
            "settings": {key: _plain(value) for key, value in self.settings.items()},
            "notes": list(self.notes),
            "overall": _records(self.overall_intervals),
            "by_group": by_group,
            "disparities": _records(self.disparities),
        }
        if len(self.by_attribute) > 1:
            result["by_attribute"] = {k: one.to_dict() for k, one in self.by_attribute.items()}
        return result

    @property
    def groups(self) -> list[Any]:
        """Labels of the groups, tuples where several columns are crossed."""
        return self.grouping.labels

    def __repr__(self) -> str:
        names = " x ".join(self.grouping.names)
        return (
            f"<Evaluation of {int(self.counts.sum())} rows in {len(self.groups)} groups of {names}:"
            f" {len(self.disparities)} numbers over the groups>"
        )

    def _repr_html_(self) -> str:
        from fairvision.metrics.display import to_html

        names = " × ".join(self.grouping.names)
        tables = {
            "Overall": self.overall_intervals,
            f"By {names}": self.by_group,
            "Over the groups": self.disparities,
        }
        return to_html(tables, self.notes)


def _plain(value: Any) -> Any:
    """A value that JSON knows: NaN and infinities become None, unknown types text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _records(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        str(name): {column: _plain(value) for column, value in row.items()}
        for name, row in table.iterrows()
    }

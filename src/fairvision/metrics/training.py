"""The groups of the training data and their association with the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base import Groups
from fairvision.exceptions import InputError
from fairvision.metrics.catalog import association
from fairvision.metrics.confusion import Floats
from fairvision.metrics.grouping import Grouping, groupings
from fairvision.metrics.inputs import read_groups, read_labels

__all__ = ["Training", "read_training"]


@dataclass(frozen=True, eq=False)
class Training:
    """Class counts by group of the training data, one table per grouping, finest first."""

    groupings: list[Grouping]
    tables: list[Floats]
    classes: list[Any]

    def unseen(self, index: int, grouping: Grouping) -> NDArray[np.bool_]:
        """Whether the training data lacks each group of `grouping`, shape (n_groups,)."""
        seen = set(self.groupings[index].labels)
        return np.array([label not in seen for label in grouping.labels])

    def directions(self, index: int, grouping: Grouping, classes: list[list[Any]]) -> Floats | None:
        """Sign of the association of each group with each class, (n_groups, n_classes).

        `classes` lists, for each class of the evaluation, the training labels that it joins.
        NaN for a group that the training data lacks; None without labels.
        """
        if not self.classes:
            return None
        joined = [np.array([known in labels for known in self.classes]) for labels in classes]
        rest = ~np.any(joined, axis=0)
        table = self.tables[index]
        of_class = np.stack([table[:, columns].sum(1) for columns in [*joined, rest]], axis=1)
        signs = association(of_class)[:, :-1]
        place = {label: i for i, label in enumerate(self.groupings[index].labels)}
        nothing = np.full(signs.shape[1], np.nan)
        return np.stack([signs[place[g]] if g in place else nothing for g in grouping.labels])


def read_training(train: Any, names: tuple[str, ...], missing: str) -> Training | None:
    """Read ``train=(y, sensitive_features)``, or the `Groups` that a fit saw.

    Raises
    ------
    InputError
        If it is no pair, or has other sensitive columns than the evaluation.
    """
    if train is None:
        return None
    y, groups = _labels_and_groups(train, missing)
    if len(groups.names) != len(names):
        raise InputError(
            f"train has {len(groups.names)} sensitive column(s), the evaluated data has "
            f"{len(names)} ({', '.join(names)}). Pass the same columns."
        )
    codes, finest_first = groupings(groups)
    if y is None:
        return Training(finest_first, [np.zeros((len(g), 0)) for g in finest_first], [])
    labels, classes = read_labels("train's y", y)
    shape = (len(finest_first[0]), 1, len(classes))
    table = np.bincount(codes * len(classes) + labels, minlength=shape[0] * shape[2])
    dense: Floats = table.reshape(shape).astype(np.float64)
    return Training(finest_first, [g.merged(dense)[:, 0] for g in finest_first], classes)


def _labels_and_groups(train: Any, missing: str) -> tuple[ArrayLike | None, Groups]:
    if isinstance(train, Groups):
        return None, train
    if not isinstance(train, tuple) or len(train) != 2:
        raise InputError(
            f"train is a {type(train).__name__}; pass a tuple (y, sensitive_features)."
        )
    return train[0], read_groups(train[1], len(train[0]), missing)

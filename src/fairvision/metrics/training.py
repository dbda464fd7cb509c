"""What the evaluation knows of the training data: its groups and their associations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base import Groups
from fairvision.exceptions import InputError
from fairvision.metrics.disparities import association
from fairvision.metrics.grouping import Grouping, groupings
from fairvision.metrics.inputs import code_labels, read_groups
from fairvision.metrics.rates import Floats

__all__ = ["Training", "read_training"]


@dataclass(frozen=True, eq=False)
class Training:
    """Class counts by group of the training data, one table per grouping, finest first."""

    found: list[Grouping]
    tables: list[Floats]
    classes: list[Any]

    def unseen(self, which: int, grouping: Grouping) -> NDArray[np.bool_]:
        """Which groups of `grouping` the training data lacks, shape (n_groups,)."""
        seen = set(self.found[which].labels)
        return np.array([label not in seen for label in grouping.labels])

    def directions(self, which: int, grouping: Grouping, classes: list[list[Any]]) -> Floats | None:
        """Sign of the association of each group with each class, (n_groups, n_classes).

        `classes` lists, for each class wanted, the training labels it joins.
        NaN for a group that the training data lacks; None without labels.
        """
        if not self.classes:
            return None
        joined = [np.isin(np.arange(len(self.classes)), self._codes(part)) for part in classes]
        rest = ~np.any(joined, axis=0)
        table = self.tables[which]
        of_class = np.stack([table[:, part].sum(1) for part in [*joined, rest]], axis=1)
        signs = association(of_class)[:, :-1]
        place = {label: i for i, label in enumerate(self.found[which].labels)}
        nothing = np.full(signs.shape[1], np.nan)
        return np.stack([signs[place[g]] if g in place else nothing for g in grouping.labels])

    def _codes(self, labels: list[Any]) -> list[int]:
        return [i for i, label in enumerate(self.classes) if label in labels]


def read_training(train: Any, names: tuple[str, ...], missing: str) -> Training | None:
    """Read ``train=(y, sensitive_features)``, or the `Groups` that a fit saw.

    Raises
    ------
    InputError
        If it is no pair, or has other sensitive columns than the evaluation.
    """
    if train is None:
        return None
    y, groups = _parts(train, missing)
    if len(groups.names) != len(names):
        raise InputError(
            f"train has {len(groups.names)} sensitive column(s), the evaluated data has "
            f"{len(names)} ({', '.join(names)}). Pass the same columns."
        )
    codes, found = groupings(groups)
    if y is None:
        return Training(found, [np.zeros((len(g), 0)) for g in found], [])
    labels, classes = code_labels("train's y", y)
    shape = (len(found[0]), 1, len(classes))
    table = np.bincount(codes * len(classes) + labels, minlength=shape[0] * shape[2])
    dense: Floats = table.reshape(shape).astype(np.float64)
    return Training(found, [g.merged(dense)[:, 0] for g in found], classes)


def _parts(train: Any, missing: str) -> tuple[ArrayLike | None, Groups]:
    if isinstance(train, Groups):
        return None, train
    if not isinstance(train, tuple) or len(train) != 2:
        raise InputError(f"train is a {type(train).__name__}; expected (y, sensitive_features).")
    return train[0], read_groups(train[1], len(train[0]), missing)

"""The groupings of an evaluation: the intersection of all columns, and each column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.base import Groups
from fairvision.exceptions import InputError

__all__ = ["Grouping", "groupings", "privileged_of"]


@dataclass(frozen=True, eq=False)
class Grouping:
    """One way to group the rows.

    Attributes
    ----------
    names : tuple of str
        Sensitive columns that it crosses.
    labels : list
        Label of each group: a tuple of labels where several columns are crossed.
    merge : ndarray of shape (n_cells,), int64
        The group of each group of the finest grouping.
    """

    names: tuple[str, ...]
    labels: list[Any]
    merge: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def index(self) -> pd.Index:
        """Labels as a pandas index, a MultiIndex where columns are crossed."""
        if len(self.names) == 1:
            return pd.Index(self.labels, name=self.names[0])
        return pd.MultiIndex.from_tuples(self.labels, names=list(self.names))

    def columns(self) -> pd.DataFrame:
        """Labels column by column, one row a group."""
        return self.index().to_frame(index=False)

    def merged(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Tables (..., n_cells, n_classes, n_classes) with their groups added up."""
        if np.array_equal(self.merge, np.arange(len(self.labels))):
            return table
        merged = np.zeros((*table.shape[:-3], len(self.labels), *table.shape[-2:]))
        for source, target in enumerate(self.merge):
            merged[..., target, :, :] += table[..., source, :, :]
        return merged


def groupings(groups: Groups) -> tuple[NDArray[np.int64], list[Grouping]]:
    """Codes of the finest grouping, shape (n_samples,), then every grouping, finest first."""
    if len(set(groups.names)) < len(groups.names):
        raise InputError(f"sensitive_features has two columns of one name: {list(groups.names)}.")
    sizes = tuple(len(known) for known in groups.categories)
    if len(sizes) == 1:
        labels = groups.categories[0].tolist()
        return groups.codes[:, 0], [Grouping(groups.names, labels, np.arange(len(labels)))]
    cells, codes = np.unique(np.ravel_multi_index(groups.codes.T, sizes), return_inverse=True)
    places = np.unravel_index(cells, sizes)
    columns = [known[p].tolist() for known, p in zip(groups.categories, places, strict=True)]
    crossed = Grouping(groups.names, list(zip(*columns, strict=True)), np.arange(len(cells)))
    single = [
        Grouping((name,), known.tolist(), p.astype(np.int64))
        for name, known, p in zip(groups.names, groups.categories, places, strict=True)
    ]
    return codes.reshape(-1).astype(np.int64), [crossed, *single]


def _as_list(labels: Any) -> list[Any]:
    return list(labels) if isinstance(labels, list | tuple | set | np.ndarray) else [labels]


def privileged_of(grouping: Grouping, privileged: Any) -> NDArray[np.bool_] | None:
    """Whether each group is privileged, shape (n_groups,); None if no column is named.

    Parameters
    ----------
    grouping : Grouping
    privileged : label, list of labels, dict of column to those, or None
        A row is privileged if it is so in every named column that `grouping` crosses.

    Raises
    ------
    InputError
        If a label or a column is unknown, or everyone would be privileged.
    """
    if privileged is None:
        return None
    if not isinstance(privileged, Mapping):
        if len(grouping.names) > 1:
            raise InputError(
                f"privileged is {privileged!r} and there are several sensitive columns. Pass a "
                f"dict of column to label(s); the columns are {list(grouping.names)}."
            )
        privileged = {grouping.names[0]: privileged}
    table = grouping.columns()
    chosen = np.ones(len(grouping), dtype=bool)
    named = [name for name in grouping.names if name in privileged]
    for name in named:
        privileged_labels, known = _as_list(privileged[name]), table[name].tolist()
        unknown = [label for label in privileged_labels if label not in known]
        if unknown:
            groups = list(dict.fromkeys(known))
            raise InputError(f"privileged names {unknown}; the groups of {name!r} are {groups}.")
        chosen &= np.array([label in privileged_labels for label in known])
    if not named:
        return None
    if chosen.all() and len(chosen) > 1:
        raise InputError(
            f"privileged covers every group of {', '.join(named)}; leave at least one out."
        )
    return chosen

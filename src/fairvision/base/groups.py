"""Group labels: read once, kept in the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base.labels import check_labels, code_labels
from fairvision.exceptions import GroupsRequiredError, InputError

__all__ = ["Groups", "check_groups"]


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each row, one column per sensitive attribute.

    Attributes
    ----------
    names : tuple of str
        One per column; ``"sensitive_feature"`` (numbered from 0 if there are
        several) where the input had no names.
    codes : ndarray of shape (n_samples, n_sensitive), int64
        Index into `categories` of the same column.
    categories : tuple of ndarray
        The sorted distinct labels of each column.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    categories: tuple[NDArray[Any], ...]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Groups:
        """The groups of some rows, with the same categories."""
        return Groups(self.names, self.codes[rows], self.categories)

    def column(self, index: int) -> NDArray[Any]:
        """Labels of one column, shape (n_samples,)."""
        return self.categories[index][self.codes[:, index]]

    def intersection(self) -> tuple[NDArray[np.int64], list[Any]]:
        """One grouping out of all columns: the cells that occur, in sorted order.

        Returns
        -------
        codes : ndarray of shape (n_samples,)
        labels : list
            The label of each code: the label itself for one column, a tuple
            of labels (one per column) for several.
        """
        if len(self.names) == 1:
            return self.codes[:, 0], list(self.categories[0])
        cells, codes = np.unique(self.codes, axis=0, return_inverse=True)
        labels = [
            tuple(values[code] for values, code in zip(self.categories, cell, strict=True))
            for cell in cells
        ]
        return codes.reshape(-1).astype(np.int64), labels

    def cells_of(self, other: Groups) -> NDArray[np.int64]:
        """Codes of `other`'s rows in this object's `intersection`.

        Raises
        ------
        InputError
            If a label, or a crossing of labels, is unknown here.
        """
        codes = self.encode(other)
        if len(self.names) == 1:
            return codes[:, 0]
        known = {tuple(cell): i for i, cell in enumerate(np.unique(self.codes, axis=0).tolist())}
        present, inverse = np.unique(codes, axis=0, return_inverse=True)
        unseen = [cell for cell in present.tolist() if tuple(cell) not in known]
        if unseen:
            labels = [
                tuple(v[c] for v, c in zip(self.categories, cell, strict=True)) for cell in unseen
            ]
            raise InputError(
                f"sensitive features {', '.join(self.names)} cross to {labels}, unseen at fit. "
                "Fit with rows of every group."
            )
        return np.array([known[tuple(cell)] for cell in present.tolist()])[inverse.reshape(-1)]

    def encode(self, other: Groups) -> NDArray[np.int64]:
        """Codes of `other`'s rows in this object's columns and categories.

        Columns of the same names may come in another order.

        Raises
        ------
        InputError
            If `other` has another number of columns, or a label that is unknown here.
        """
        if len(other.names) != len(self.names):
            raise InputError(
                f"sensitive_features has {len(other.names)} column(s); "
                f"fit saw {len(self.names)} ({', '.join(self.names)})."
            )
        columns = []
        for i, known in enumerate(self.categories):
            j = self._place(i, other)
            unseen = sorted(set(other.categories[j].tolist()) - set(known.tolist()), key=str)
            if unseen:
                raise InputError(
                    f"sensitive feature {self.names[i]!r} has the label(s) {unseen}, unseen at "
                    f"fit, which saw {known.tolist()}. Fit with rows of every group."
                )
            position = {label: code for code, label in enumerate(known.tolist())}
            translate = np.array([position[label] for label in other.categories[j].tolist()])
            columns.append(translate[other.codes[:, j]])
        return np.stack(columns, axis=1)

    def _place(self, index: int, other: Groups) -> int:
        """Where `other` has this column: by name if it has the same names, else by position."""
        by_name = len(set(self.names)) == len(self.names) and set(self.names) == set(other.names)
        return other.names.index(self.names[index]) if by_name else index


def _columns(sensitive_features: Any) -> tuple[list[str], list[Any]]:
    """Split any of fairlearn's forms into names and one-dimensional columns."""
    if hasattr(sensitive_features, "columns"):  # a DataFrame
        names = [str(name) for name in sensitive_features.columns]
        # By position: two columns may carry the same name.
        return names, [sensitive_features.iloc[:, i] for i in range(len(names))]
    if isinstance(sensitive_features, dict):
        return [str(k) for k in sensitive_features], list(sensitive_features.values())
    name = getattr(sensitive_features, "name", None)
    if isinstance(sensitive_features, (list, tuple)):
        # numpy turns values beside text into text: 1 becomes "1" and NaN "nan".
        sensitive_features = np.array(sensitive_features, dtype=object)
    values = np.asarray(sensitive_features)
    if values.ndim == 1:
        return [str(name) if name is not None else "sensitive_feature"], [sensitive_features]
    if values.ndim == 2 and values.shape[1] > 0:
        if values.shape[1] == 1:
            return ["sensitive_feature"], [values[:, 0]]
        names = [f"sensitive_feature_{i}" for i in range(values.shape[1])]
        return names, [values[:, i] for i in range(values.shape[1])]
    raise InputError(
        f"sensitive_features has shape {values.shape}; expected (n_samples,) or "
        "(n_samples, n_sensitive) with at least one column."
    )


def _encode(name: str, column: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    labels = check_labels(
        column,
        f"sensitive feature {name!r}",
        advice="Drop those rows or name a group for them.",
    )
    codes, categories = code_labels(labels)
    return categories, codes


def check_groups(
    sensitive_features: ArrayLike | Any,
    n_samples: int,
    *,
    required_by: str | None = None,
    min_groups: int = 1,
    names: Sequence[str] | None = None,
) -> Groups | None:
    """Read group labels in any of fairlearn's forms.

    Parameters
    ----------
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive), \
Series, DataFrame, dict of columns, or None
        Labels of any type.
    n_samples : int
        Rows of X.
    required_by : str or None
        Name of the estimator that requires groups; if None, `sensitive_features` may be None.
    min_groups : int
        Distinct labels that each column must have at least.
    names : sequence of str or None
        Column names, where the input has none.

    Returns
    -------
    Groups or None
        None if `sensitive_features` is None and nothing requires it.

    Raises
    ------
    GroupsRequiredError
        If they are None and `required_by` names an estimator.
    InputError
        If the length differs from X, a label is missing, or there are too few groups.
    """
    if sensitive_features is None:
        if required_by is None:
            return None
        raise GroupsRequiredError(
            f"{required_by} needs sensitive_features, one group label per image, and got None. "
            "Pass fit(X, y, sensitive_features=...)."
        )
    column_names, columns = _columns(sensitive_features)
    if not columns:
        raise InputError("sensitive_features has no columns. Name at least one.")
    if names is not None:
        column_names = list(names)
    encoded = []
    for name, column in zip(column_names, columns, strict=True):
        if len(column) != n_samples:
            raise InputError(
                f"sensitive_features has {len(column)} rows, X has {n_samples}. "
                "Pass one label per image."
            )
        categories, codes = _encode(name, column)
        if len(categories) < min_groups:
            raise InputError(
                f"sensitive feature {name!r} has {len(categories)} group(s) "
                f"({categories.tolist()}); {required_by or 'this'} needs at least {min_groups}. "
                "Check the column, or the part of the data that you selected."
            )
        encoded.append((categories, codes))
    return Groups(
        names=tuple(column_names),
        codes=np.stack([codes for _, codes in encoded], axis=1),
        categories=tuple(categories for categories, _ in encoded),
    )

"""Labels of targets and groups: one column, none missing, checked before anything sorts them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin

from fairvision.exceptions import InputError

__all__ = [
    "ScoreMixin",
    "check_labels",
    "check_meet",
    "code_labels",
    "few",
    "plain_label",
    "sort_labels",
]


def check_labels(
    values: ArrayLike | Any,
    name: str = "y",
    *,
    n_samples: int | None = None,
    advice: str = "Drop those rows or label them.",
) -> NDArray[Any]:
    """Check labels of any type, and return them as an array.

    Parameters
    ----------
    values : array-like of shape (n_samples,) or (n_samples, 1)
        None, NaN, NaT and pandas' NA are missing labels; so is the text "nan" in an array of
        text, which numpy makes of NaN beside text.
    name : str, default="y"
        What the error calls them.
    n_samples : int or None, default=None
        Rows of X.
    advice : str
        What to do about missing labels, in the error.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    InputError
        If they are no single column, their number differs from X, or labels are missing.

    Examples
    --------
    >>> from fairvision.base import check_labels
    >>> check_labels(["yes", "no"]).tolist()
    ['yes', 'no']
    """
    import pandas as pd

    listed = isinstance(values, (list, tuple))
    try:
        # numpy turns values beside text into text: NaN becomes "nan".
        labels = np.asarray(values, dtype=object if listed else None)
    except ValueError as error:
        raise InputError(
            f"{name} is not an array of labels: {error}. Pass one label per row."
        ) from error
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint = " If they are one-hot, pass their argmax(axis=1)." if labels.ndim == 2 else ""
        raise InputError(
            f"{name} has shape {labels.shape}; expected (n_samples,), one label per row.{hint}"
        )
    if n_samples is not None and len(labels) != n_samples:
        raise InputError(
            f"{name} has {len(labels)} rows, X has {n_samples}. Pass one label per image."
        )
    if len(labels) and type(labels[0]).__hash__ is None:
        raise InputError(
            f"{name} holds a {type(labels[0]).__name__} in row 0. Pass one label per row; of "
            "several columns, a DataFrame."
        )
    missing = labels == "nan" if labels.dtype.kind == "U" else np.asarray(pd.isna(labels))
    missing |= np.ma.getmaskarray(values).reshape(-1) if np.ma.isMA(values) else False
    if missing.any():
        raise InputError(
            f"{name} has {int(missing.sum())} missing label(s), the first in row "
            f"{int(np.flatnonzero(missing)[0])}. {advice}"
        )
    if listed and len({isinstance(label, str) for label in labels}) == 1:
        labels = np.asarray(labels.tolist())
    elif labels.dtype == object:  # pandas' own integers and truth values
        labels = np.asarray(pd.Series(labels, dtype=object).infer_objects())
    return labels


def code_labels(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Encode checked labels as their index in the sorted distinct labels.

    Returns
    -------
    codes : ndarray of shape (n_samples,)
    categories : ndarray of the distinct labels
        Labels of mixed types are sorted by type and text.
    """
    import pandas as pd

    codes, distinct = pd.factorize(
        labels
    )  # hashes: sorting a million labels takes ten times longer
    categories = np.asarray(pd.Series(distinct, dtype=labels.dtype).infer_objects())
    order = np.array(_order(categories.tolist()), dtype=np.int64)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes], categories[order]


def sort_labels(labels: Any) -> list[Any]:
    """Sorted labels; labels of mixed types are sorted by type and text."""
    listed = list(labels)
    return [listed[i] for i in _order(listed)]


def _order(labels: list[Any]) -> list[int]:
    try:
        return sorted(range(len(labels)), key=labels.__getitem__)
    except TypeError:
        keys = [(type(label).__name__, str(label)) for label in labels]
        return sorted(range(len(labels)), key=keys.__getitem__)


def check_meet(
    names: tuple[str, str],
    true: Iterable[Any],
    other: Iterable[Any],
    advice: str = ", or pass labels={} if all are classes",
) -> None:
    """Refuse two sets of labels that are two spellings of the same classes.

    Raises
    ------
    InputError
        If the sets share no label (unless each has one label only), if two labels differ only by
        case, spaces or a decimal point, or if each set has two labels and they share one.
    """
    only_true, only_other = set(true) - set(other), set(other) - set(true)
    if not only_true or not only_other:
        return
    spelt = {plain_label(label): label for label in only_other}
    alike = [
        (label, spelt[plain_label(label)]) for label in only_true if plain_label(label) in spelt
    ]
    union = len({*true, *other})
    two = len(set(true)) == len(set(other)) == 2
    if alike or two or union == len(only_true) + len(only_other) > 2:
        example = f": {alike[0][0]!r} and {alike[0][1]!r} are not the same" if alike else ""
        known = sort_labels({*true, *other})
        raise InputError(
            f"{names[0]} has the labels {few(true)}, {names[1]} {few(other)}{example}. Write them "
            f"alike{advice.format(known if union <= 10 else '[...]')}."
        )


def plain_label(label: Any) -> str:
    """A label without case, spaces, a decimal point and Unicode's forms: "1.0" is "1"."""
    text = " ".join(unicodedata.normalize("NFKC", str(label)).split()).casefold()
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def few(labels: Iterable[Any]) -> str:
    """Some labels, sorted, for an error."""
    ordered = sort_labels(set(labels))
    return f"{ordered[:10]}{' and more' if len(ordered) > 10 else ''}"


class ScoreMixin(ClassifierMixin):
    """A classifier whose `score` checks the labels first."""

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of `predict`.

        Parameters
        ----------
        X : array-like
            What `predict` takes.
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Raises
        ------
        InputError
            If labels are missing, or are the classes of the classifier in another spelling.
        """
        labels, classes = check_labels(y), np.asarray(self.classes_).tolist()
        check_meet(("y", "the classifier"), labels.tolist(), classes, " with y as it was in fit")
        return float(super().score(X, labels, sample_weight))

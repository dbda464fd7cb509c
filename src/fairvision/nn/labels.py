"""Class labels, in the order of a net's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base import check_labels
from fairvision.exceptions import InputError

__all__ = ["encode_labels", "in_order", "label_array"]


def label_array(classes: Any) -> NDArray[Any]:
    """The parameter `classes` as an array of distinct labels, each of its own type."""
    if isinstance(classes, (Mapping, Set, str)):
        raise InputError(
            f"classes is a {type(classes).__name__}: {classes!r}. Pass a list of the labels in the "
            "order of the net's outputs, such as ['no', 'yes']."
        )
    labels = np.asarray(classes)
    if labels.dtype.kind in "US" and not all(isinstance(label, (str, bytes)) for label in classes):
        labels = np.array(classes, dtype=object)  # numpy would make text of the numbers
    if labels.ndim != 1:
        raise InputError(f"classes is {classes!r}; pass a list of labels, one for each output.")
    if any(label is None or label != label for label in labels.tolist()):
        raise InputError(f"classes is {labels.tolist()}, with a missing label. Name each class.")
    if len(set(labels.tolist())) < len(labels):
        raise InputError(f"classes is {labels.tolist()}, with a label twice. Name each once.")
    return labels


def encode_labels(y: ArrayLike, classes: NDArray[Any]) -> NDArray[np.int64]:
    """The number of each label among the classes of a net.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    InputError
        Naming the labels that the net does not know.
    """
    y = check_labels(y)
    unknown = sorted(set(y.tolist()) - set(classes.tolist()), key=str)
    if unknown:
        raise InputError(f"y has the label(s) {unknown}; the net knows {classes.tolist()}.")
    order = np.argsort(classes)
    return order[np.searchsorted(classes, y, sorter=order)]


def in_order(
    classes: Any, present: NDArray[Any], codes: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The labels in the order of `classes`, and the rows' codes in that order.

    Parameters
    ----------
    classes : array-like or None
        None keeps the labels as they are.
    present : ndarray
        The labels that occur.
    codes : ndarray of int
        Each row's place in `present`.

    Raises
    ------
    InputError
        If a label is not among `classes`.
    """
    if classes is None:
        return present, codes.astype(np.int64)
    labels = label_array(classes)
    places = {label: place for place, label in enumerate(labels.tolist())}
    unknown = [label for label in present.tolist() if label not in places]
    if unknown:
        raise InputError(
            f"y has {unknown[:5]}, which are not among the classes of the net, {labels.tolist()}. "
            "Leave those rows out, spell the labels alike, or give the net another last layer."
        )
    return labels, np.array([places[label] for label in present.tolist()], np.int64)[codes]

"""Checks labels, scores, weights and groups, and codes labels as integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base import Groups, check_groups, check_labels, check_meet, code_labels, sort_labels
from fairvision.base.labels import few
from fairvision.exceptions import InputError

__all__ = ["Options", "Predictions", "Target", "read_predictions", "read_scores"]

MISSING = "missing"

# Whether each row is positive (or predicted correctly), shape (n_samples,), and its score.
Target = tuple[NDArray[np.bool_], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Options:
    """The arguments that every evaluation takes; see `evaluate_predictions`."""

    sensitive_features: Any
    sample_weight: ArrayLike | None = None
    metrics: str | Iterable[str] = "default"
    n_boot: int = 1000
    random_state: Any = None
    level: float = 0.95
    interval: str = "percentile"
    pos_label: Any = None
    labels: ArrayLike | None = None
    score_labels: ArrayLike | None = None
    privileged: Any = None
    min_support: int = 1
    missing: str = "raise"
    train: Any = None


@dataclass(frozen=True, eq=False)
class Predictions:
    """What an evaluation reads, row by row, with labels as integer codes.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels of the target; `y_true` and `y_pred` index into it.
    y_true : ndarray of shape (n_samples,), int64
    y_pred : tuple of ndarray of shape (n_samples,), int64
        One per compared set of predictions, mostly one.
    groups : Groups
    positive : int or None
        Index of the positive class; None for a target without one.
    weight : ndarray of shape (n_samples,) or None
        float64; None means that every row weighs 1.
    notes : list of str
        Of labels that only `y_true` or only a `y_pred` has.
    """

    classes: NDArray[Any]
    y_true: NDArray[np.int64]
    y_pred: tuple[NDArray[np.int64], ...]
    groups: Groups
    positive: int | None
    weight: NDArray[np.float64] | None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.y_true)


def read_labels(name: str, values: ArrayLike) -> tuple[NDArray[np.int64], list[Any]]:
    """Integer codes and sorted distinct labels."""
    labels = check_labels(values, name)
    if len(labels) == 0:
        raise InputError(f"{name} has shape (0,); expected (n_samples,), at least 1 row.")
    codes, distinct = code_labels(labels)
    if labels.dtype.kind == "f" and not np.all(np.mod(distinct, 1) == 0):
        raise InputError(
            f"{name} has fractional values ({distinct[0]:g}, ...); expected class labels. "
            "Pass scores as y_score and their thresholded labels as y_pred."
        )
    return codes, distinct.tolist()


def label_array(labels: Sequence[Any]) -> NDArray[Any]:
    """One-dimensional array of labels that never turns numbers into text."""
    array = np.asarray(labels) if len({type(label) for label in labels}) == 1 else None
    if array is None or array.ndim != 1:
        array = np.empty(len(labels), dtype=object)
        array[:] = labels
    return array


def _check_kinds(names: Sequence[str], distinct: Sequence[list[Any]]) -> None:
    """Refuse text on one side and numbers on the other: no label would ever match."""
    text = [any(isinstance(label, str) for label in labels) for labels in distinct]
    if any(text) and not all(text):
        i, j = text.index(True), text.index(False)
        raise InputError(
            f"{names[i]} holds text ({distinct[i][:3]}) but {names[j]} does not "
            f"({distinct[j][:3]}), so no label can match. Convert one of them."
        )


def _label_notes(names: Sequence[str], distinct: Sequence[list[Any]]) -> list[str]:
    """Labels that only `y_true` or only a `y_pred` has, if both have such labels."""
    notes = []
    for name, labels in zip(names[1:], distinct[1:], strict=True):
        only_true, only_predicted = set(distinct[0]) - set(labels), set(labels) - set(distinct[0])
        if only_true and only_predicted:
            notes.append(
                f"labels only in y_true: {few(only_true)}; only in {name}: {few(only_predicted)}"
            )
    return notes


def _positive(classes: list[Any], pos_label: Any) -> int | None:
    if pos_label is not None:
        if pos_label not in classes:
            raise InputError(f"pos_label is {pos_label!r}; the labels are {classes}.")
        return classes.index(pos_label)
    return 1 if len(classes) == 2 else None


def _classes(distinct: Sequence[list[Any]], labels: Any) -> list[Any]:
    present = set().union(*map(set, distinct))
    if labels is not None:
        known = np.asarray(labels).tolist()
        unknown = sort_labels(present - set(known))
        if unknown:
            raise InputError(f"labels is {known} and the data also holds {unknown}. Add them.")
        return sort_labels(set(known))
    if len(present) == 1 and present <= {0, 1}:
        return [False, True] if isinstance(next(iter(present)), bool) else [0, 1]
    return sort_labels(present)


def as_floats(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Numbers as float64; refuses text."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not numeric: {error}. Convert it.") from error


def check_weight(sample_weight: ArrayLike | None, n_samples: int) -> NDArray[np.float64] | None:
    """Weights as float64, finite and not negative."""
    if sample_weight is None:
        return None
    weight = as_floats("sample_weight", sample_weight).reshape(-1)
    if len(weight) != n_samples:
        raise InputError(f"sample_weight has {len(weight)} rows, y_true has {n_samples}.")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        raise InputError(
            f"sample_weight has {int(bad.sum())} value(s) that are negative or not finite, "
            f"the first in row {int(np.flatnonzero(bad)[0])}. Use weights of 0 or more."
        )
    if not weight.any():
        raise InputError(f"sample_weight is 0 in all {n_samples} rows: nothing is left to count.")
    return weight


def name_missing(sensitive_features: Any) -> Any:
    """Give rows without a group label the label ``"missing"``."""
    import pandas as pd

    if isinstance(sensitive_features, dict):
        sensitive_features = pd.DataFrame(sensitive_features)
    if isinstance(sensitive_features, pd.DataFrame | pd.Series):
        table = sensitive_features.astype(object)
        return table.where(table.notna(), MISSING)
    values = np.asarray(sensitive_features, dtype=object)
    return np.where(pd.isna(values), MISSING, values)


def read_groups(sensitive_features: Any, n_samples: int, missing: str) -> Groups:
    """Group labels, with the policy for missing ones."""
    if missing not in ("raise", "group"):
        raise InputError(f"missing is {missing!r}; expected 'raise' or 'group'.")
    if missing == "group" and sensitive_features is not None:
        sensitive_features = name_missing(sensitive_features)
    groups = check_groups(sensitive_features, n_samples, required_by="The evaluation")
    assert groups is not None  # required_by raised otherwise
    return groups


def read_predictions(
    y_true: ArrayLike, y_preds: Sequence[ArrayLike], options: Options
) -> Predictions:
    """Check and code everything that an evaluation reads.

    Raises
    ------
    InputError
        If lengths differ, labels are missing or cannot match, or `pos_label`
        is not a label.
    """
    names = ["y_true"]
    names += ["y_pred"] if len(y_preds) == 1 else [f"y_pred_{c}" for c in "abcdef"[: len(y_preds)]]
    coded = [read_labels(n, v) for n, v in zip(names, (y_true, *y_preds), strict=True)]
    n_samples = len(coded[0][0])
    for name, (codes, _) in zip(names, coded, strict=True):
        if len(codes) != n_samples:
            raise InputError(f"{name} has {len(codes)} rows, y_true has {n_samples}.")
    distinct = [values for _, values in coded]
    _check_kinds(names, distinct)
    if options.labels is None:
        for name, labels in zip(names[1:], distinct[1:], strict=True):
            check_meet((names[0], name), distinct[0], labels)
    classes = _classes(distinct, options.labels)
    place = {label: code for code, label in enumerate(classes)}
    lookup = [np.array([place[label] for label in values]) for values in distinct]
    recoded = [table[codes] for table, (codes, _) in zip(lookup, coded, strict=True)]
    return Predictions(
        classes=label_array(classes),
        y_true=recoded[0],
        y_pred=tuple(recoded[1:]),
        groups=read_groups(options.sensitive_features, n_samples, options.missing),
        positive=_positive(classes, options.pos_label),
        weight=check_weight(options.sample_weight, n_samples),
        notes=_label_notes(names, distinct),
    )


def read_scores(
    y_score: ArrayLike | None, score_labels: Any, data: Predictions, predicted: NDArray[np.int64]
) -> Target | None:
    """Check scores, and find the event that each one predicts.

    With a positive class: whether a row is positive, and the score of that
    class. Without: whether the prediction is right, and its confidence.
    """
    if y_score is None:
        return None
    score = as_floats("y_score", y_score)
    if score.shape[:1] != (len(data),) or score.ndim > 2:
        raise InputError(f"y_score has shape {score.shape}; y_true has {len(data)} rows.")
    bad = int(np.count_nonzero(~np.isfinite(score)))
    if bad:
        raise InputError(f"y_score has {bad} value(s) that are not finite. Drop those rows.")
    if score.ndim == 2 and score.shape[1] == 1:
        score = score[:, 0]
    if data.positive is None:
        return data.y_true == predicted, score.max(1) if score.ndim == 2 else score
    if score.ndim == 2:
        labels = (data.classes if score_labels is None else np.asarray(score_labels)).tolist()
        positive = data.classes.tolist()[data.positive]
        if len(labels) != score.shape[1] or positive not in labels:
            raise InputError(
                f"y_score has {score.shape[1]} columns for the labels {labels}; pass one column "
                f"per label, or the scores of {positive!r} alone."
            )
        score = score[:, labels.index(positive)]
    return data.y_true == data.positive, score

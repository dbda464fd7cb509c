"""Checks of `TorchClassifier.fit` before training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from fairvision.base import (
    check_form,
    check_labels,
    check_numbers,
    check_pixels,
    is_images,
    rows_of,
)
from fairvision.exceptions import InputError
from fairvision.nn.labels import in_order
from fairvision.nn.net import OPTIMIZERS
from fairvision.nn.probe import check_inputs
from fairvision.nn.rows import Rows

__all__ = [
    "TABLE_DTYPES",
    "check_parameters",
    "check_shape",
    "check_training_data",
    "check_validation_data",
    "check_weights",
    "class_weighted",
    "encode",
    "hold_out",
    "training_rows",
]


#: Other dtypes become the first. Features are float32, mapped from disk: a copy could fill the
#: memory.
TABLE_DTYPES = (np.float64, np.float32)
_NUMBER = (int, float, np.number)


def check_parameters(estimator: Any) -> None:
    """Check the training parameters of a `TorchClassifier`.

    Raises
    ------
    InputError
        Naming the parameter, its value and what to pass.
    """
    check_numbers(estimator, "max_epochs", whole=True)
    check_numbers(estimator, "batch_size", low=1, whole=True)
    check_numbers(estimator, "lr", "weight_decay")
    fraction = estimator.validation_fraction
    if not isinstance(fraction, _NUMBER) or not 0 <= fraction < 1:
        raise InputError(
            f"validation_fraction is {fraction!r}; pass 0, which holds no rows out, or a share "
            "below 1."
        )
    _check_callbacks(estimator.callbacks, bool(fraction) or estimator.validation_data is not None)
    _check_acceleration(estimator.compile, estimator.amp)
    for name in ("warm_start", "deterministic"):
        if not isinstance(getattr(estimator, name), bool):
            raise InputError(f"{name} is {getattr(estimator, name)!r}; pass True or False.")
    optimizer, transform = estimator.optimizer, estimator.train_transform
    if not callable(optimizer) and optimizer not in list(OPTIMIZERS):
        raise InputError(
            f"optimizer is {optimizer!r}; pass one of {sorted(OPTIMIZERS)}, or anything "
            "called as optimizer(params, lr=..., weight_decay=...)."
        )
    if transform is not None and not callable(transform):
        raise InputError(
            f"train_transform is {transform!r}; pass a callable from a batch of "
            "images to another, or None."
        )


def _check_callbacks(callbacks: Sequence[Any] | None, validation: bool) -> None:
    """Check that callbacks are a list, and that the losses they monitor are computed."""
    if callbacks is not None and not isinstance(callbacks, (list, tuple)):
        raise InputError(f"callbacks is {callbacks!r}; pass a list of skorch callbacks.")
    for callback in () if validation else callbacks or ():
        if isinstance(callback, tuple):  # skorch takes (name, callback), too
            callback = callback[-1]
        if str(getattr(callback, "monitor", None)).startswith("valid_"):
            raise InputError(
                f"{type(callback).__name__} monitors {callback.monitor!r}, but no rows are held "
                "out. Set validation_fraction=0.2 or validation_data=(X, y), or "
                "monitor='train_loss'."
            )


def _check_acceleration(compile: Any, amp: Any) -> None:
    """Whether to compile, or by which backend; and yes or no."""
    if not isinstance(amp, bool) and amp != "auto":
        raise InputError(f"amp is {amp!r}; pass True for bfloat16 autocast, False or 'auto'.")
    if not isinstance(compile, (bool, str)) and not callable(compile):
        raise InputError(f"compile is {compile!r}; pass True, False, or a backend.")
    if isinstance(compile, str):
        known = torch.compiler.list_backends(exclude_tags=())
        if compile not in known:
            raise InputError(f"compile is {compile!r}; torch knows {', '.join(sorted(known))}.")


#: A file from an untrusted source may state no larger images, which would take gigabytes.
_LARGEST = 2**24


def check_shape(shape: Any) -> None:
    """Check the input shape that a file from an untrusted source states."""
    sizes = isinstance(shape, tuple) and all(type(size) is int and size > 0 for size in shape)
    if not sizes or len(shape) not in (1, 3):
        raise InputError(f"input_shape_ is {shape!r}; expected (n_channels, height, width).")
    if math.prod(shape) > _LARGEST:
        raise InputError(f"input_shape_ is {shape!r}; images may have up to {_LARGEST} values.")


def encode(y: Any, order: Any = None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Class labels, sorted or in the given order, and the class code of each row."""
    y = check_labels(y)
    try:
        check_classification_targets(y)
        sorted(set(y.tolist()))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{error} Bin continuous values into classes; convert mixed labels to one type: "
            "y.astype(str)."
        ) from error
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"y has one class ({classes.tolist()[0]!r}); a classifier needs two or more. "
            "Check the target column, or the part of the data that you selected."
        )
    return in_order(order, classes, codes)


def check_training_data(
    estimator: Any, X: Any, y: ArrayLike, shape: tuple[int, ...] | None = None
) -> tuple[Any, NDArray[np.int64]]:
    """Check X and y; set `classes_` and the input's shape; return X and class codes.

    Parameters
    ----------
    estimator : TorchClassifier
    X, y
        As in `fit`.
    shape : tuple or None
        That of a row, if it is settled.
    """
    X, y = _check_rows(estimator, X, y, shape)
    if is_images(X):
        estimator.n_features_in_ = int(X.shape[1])
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    estimator.classes_, codes = encode(y, estimator.classes)
    estimator.input_shape_ = tuple(int(size) for size in X.shape[1:])
    return X, codes


def _check_rows(
    estimator: Any, X: Any, y: ArrayLike, shape: tuple[int, ...] | None = None
) -> tuple[Any, NDArray[Any]]:
    """Check the form of X and y, and the shape of a row of X, if one is given."""
    X = check_form(X, shape=shape)
    if shape is not None and is_images(X) != (len(shape) == 3):
        raise InputError(
            f"X has shape {tuple(np.shape(X))}, but {type(estimator).__name__} is trained on rows "
            f"of shape {shape}. Pass rows of this shape."
        )
    if not is_images(X):
        if np.asarray(y).ndim == 1:
            check_labels(y)  # scikit-learn's own words for missing text are a TypeError
        return validate_data(estimator, X, y, dtype=TABLE_DTYPES, reset=shape is None)
    X = check_inputs(X, backbone=estimator.backbone, fitted_shape=shape)
    if np.ma.isMA(y):
        check_labels(y)
    try:
        y = np.asarray(column_or_1d(y, warn=True))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{error} Pass one label per row, as numbers or text; if y is one-hot, y.argmax(1)."
        ) from error
    if len(y) != len(X):
        raise InputError(f"y has {len(y)} rows, X has {len(X)}. Pass one label per image.")
    return X, y


def check_validation_data(
    estimator: Any, *, pixels: bool = False
) -> tuple[Any, NDArray[np.int64]] | None:
    """Check `validation_data` as X and y were checked; return its images and class codes.

    Parameters
    ----------
    estimator : TorchClassifier
        After `check_training_data`.
    pixels : bool
        Whether they must be images.
    """
    data = estimator.validation_data
    if data is None:
        return None
    if estimator.validation_fraction:
        raise InputError(
            f"validation_data and validation_fraction={estimator.validation_fraction!r} are both "
            "given. Pass your own rows, or the share of the training rows to hold out."
        )
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise InputError(
            f"validation_data is a {type(data).__name__} of {len(data)}; pass a tuple (X, y)."
        )
    X, y = data
    try:
        if pixels:
            X = check_pixels(X, type(estimator).__name__)
        X, y = _check_rows(estimator, X, y, estimator.input_shape_)
        return X, encode(y, estimator.classes_)[1]
    except ValueError as error:
        raise InputError(f"validation_data: {error}") from error


def check_weights(sample_weight: ArrayLike, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Check the weights; return them as an array of shape (n_samples,)."""
    try:
        return _check_sample_weight(sample_weight, codes, ensure_non_negative=True)
    except ValueError as error:
        raise InputError(f"{error} Pass one weight of 0 or more for each row of X.") from error


def class_weighted(
    class_weight: dict[Any, float] | str | None,
    weights: NDArray[np.float64] | None,
    codes: NDArray[np.int64],
    classes: NDArray[Any],
) -> NDArray[np.float64] | None:
    """The weight of each row times that of its class, shape (n_samples,).

    Weights that would all be the same stay None.

    Raises
    ------
    InputError
        If `class_weight` is neither None, ``"balanced"`` nor a weight of 0 or more for labels
        of `classes`.
    """
    if class_weight is None:
        return weights
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(codes, weights, minlength=len(classes))
        by_class = totals.max() / np.where(totals > 0, totals, 1)
    else:
        by_class = _weights_of(class_weight, classes)
    present = by_class[np.unique(codes)]
    # Not for rounding errors of sums.
    if present.all() and np.allclose(present, present[0], rtol=1e-9, atol=0):
        return weights
    return by_class[codes] if weights is None else weights * by_class[codes]


def _weights_of(class_weight: Any, classes: NDArray[Any]) -> NDArray[np.float64]:
    """The weight of each class, as a dict gives it; 1 where it does not.

    A label may be given as its text: JSON, and so a comparison's folder, has no other keys.
    """
    advice = f"pass 'balanced', None, or weights of 0 or more for {classes.tolist()}."
    if not isinstance(class_weight, dict):
        raise InputError(f"class_weight is {class_weight!r}; {advice}")
    labels = classes.tolist()
    of_text = {str(label): label for label in labels}
    given = {
        of_text.get(key, key) if isinstance(key, str) and key not in labels else key: value
        for key, value in class_weight.items()
    }
    if unknown := [label for label in given if label not in labels]:
        raise InputError(f"class_weight has the labels {unknown}, which y lacks; {advice}")
    try:
        by_class = np.array([float(given.get(label, 1)) for label in labels])
    except (TypeError, ValueError) as error:
        raise InputError(f"class_weight is {given}: {error}; {advice}") from error
    if not (np.isfinite(by_class) & (by_class >= 0)).all():
        raise InputError(f"class_weight is {given}; {advice}")
    if not by_class.any():
        raise InputError(f"class_weight is 0 for every class; {advice}")
    return by_class


def training_rows(
    X: Any,
    codes: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    weights: NDArray[np.float64] | None,
    *,
    dtype: torch.dtype,
) -> Rows:
    """The rows to train on. Rows of weight 0 would still change batch normalisation.

    Weights are divided by their mean, so that a constant weight changes nothing.
    """
    if weights is None:
        return Rows(X, codes, groups, dtype=dtype)
    if not weights.any():
        raise InputError(
            "sample_weight, times class_weight, is 0 for every row. Give some rows a positive "
            "weight."
        )
    rows = np.flatnonzero(weights)
    weights = weights[rows] / weights[rows].mean()
    if len(rows) < len(codes):
        X, codes = rows_of(X, rows), codes[rows]
        groups = None if groups is None else groups[rows]
    return Rows(X, codes, groups, weights, dtype=dtype)


def hold_out(rows: Rows, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Split rows for validation, stratified by class."""
    targets = rows.targets.numpy()
    try:
        train, held_out = train_test_split(
            np.arange(len(rows)), test_size=fraction, stratify=targets, random_state=seed
        )
    except ValueError as error:
        raise InputError(
            f"validation_fraction={fraction} cannot be held out of {len(rows)} rows "
            f"stratified by class: {error}"
        ) from error
    return rows.subset(np.sort(train)), rows.subset(np.sort(held_out))

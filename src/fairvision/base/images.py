"""Images as estimators take them: checked by shape and type, decoded only when used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.base.forms import check_form
from fairvision.base.lazy_images import TakenRows, as_indexable
from fairvision.exceptions import InputError

__all__ = ["are_maps", "check_images", "check_pixels", "check_values", "is_images", "take"]

_FORM = "(n_samples, n_channels, height, width)"


def is_images(X: Any) -> bool:
    """Whether X is meant as images rather than a table: it has more than two dimensions."""
    return len(_shape(X)) > 2


def _shape(X: Any) -> tuple[int, ...]:
    if hasattr(X, "shape"):
        return tuple(int(size) for size in X.shape)
    try:
        return np.asarray(X).shape
    except ValueError as error:  # numpy's own message speaks of an inhomogeneous shape
        raise InputError(
            f"X is a {type(X).__name__} whose {len(X)} items have different shapes. Resize the "
            f"images alike, and pass them as one array of shape {_FORM}."
        ) from error


def take(X: Any, rows: Any) -> NDArray[Any]:
    """Decode some rows of X into an ndarray.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_channels, height, width)
        An ndarray, a CPU tensor, or a lazy sequence whose indexing by an
        integer array or a slice gives a smaller sequence.
    rows : slice or ndarray of int

    Raises
    ------
    InputError
        If pixels of a lazy sequence are neither uint8 nor floating in 0..1.
    """
    pixels = np.asarray(X[rows])
    if pixels.ndim == 4 and not isinstance(X, np.ndarray):
        check_values(pixels, maps=are_maps(pixels))  # a lazy sequence: nobody has seen them before
    return pixels


def are_maps(X: Any) -> bool:
    """Whether X is meant as the maps of a net's inner layer: floating, not 1 or 3 channels."""
    shape = _shape(X)
    return len(shape) == 4 and _has_map_channels(shape) and "float" in str(getattr(X, "dtype", ""))


def _has_map_channels(shape: tuple[int, ...]) -> bool:
    channels_last = shape[3] in (1, 3, 4) and shape[2] > 2 * shape[3]
    return shape[1] not in (1, 3) and not channels_last


def check_pixels(X: Any, owner: str, *, fitted_shape: tuple[int, ...] | None = None) -> Any:
    """Check images for a method that needs pixels: features and maps are refused.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_channels, height, width)
    owner : str
        The class that needs them.
    fitted_shape : tuple (n_channels, height, width) or None

    Returns
    -------
    X
        As from `check_images`.

    Raises
    ------
    InputError
    """
    shape = _shape(X)
    if len(shape) == 2 or are_maps(X):
        form = "a table of features" if len(shape) == 2 else "maps of an inner layer"
        raise InputError(
            f"{owner} needs pixels, and X of shape {shape} is {form}. Pass the images, of shape "
            f"{_FORM} with 1 or 3 channels; `fairvision methods` lists the methods without PIXELS."
        )
    return check_images(X, fitted_shape=fitted_shape)


def check_images(X: Any, *, fitted_shape: tuple[int, ...] | None = None, maps: bool = False) -> Any:
    """Check images without copying or decoding them.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_channels, height, width)
        uint8 in 0..255, floating in 0..1, or a lazy sequence of such.
    fitted_shape : tuple (n_channels, height, width) or None
        What an estimator was fitted on; X must have the same.
    maps : bool
        Whether X may be maps of a net's inner layer: floating, of any channels and values.

    Returns
    -------
    X : the same object; an ndarray of a nested list; a lazy sequence of an HDF5 data set

    Raises
    ------
    InputError
        Naming the shape, type or value that does not fit, and what to do.
    """
    X = as_indexable(check_form(X, shape=fitted_shape))
    shape = _shape(X)
    if not hasattr(X, "shape") or not hasattr(X, "dtype"):
        X = np.asarray(X)
    if len(shape) == 3:
        raise InputError(
            f"X has shape {shape}; images need {_FORM}. "
            "For grey images pass X[:, None]; for a single image X[None]."
        )
    if len(shape) != 4:
        raise InputError(f"X has shape {shape}; images need {_FORM}.")
    if shape[0] == 0:
        raise InputError(f"X has shape {shape}: no images. Check the filter or folder it is from.")
    if shape[1] not in (1, 3) and not (maps and _has_map_channels(shape)):
        hint = (
            " The channels seem to be last: pass X.transpose(0, 3, 1, 2)."
            if shape[3] in (1, 3, 4)
            else " Convert the images to grey (1) or RGB (3)."
        )
        raise InputError(f"X has {shape[1]} channels (shape {shape}); expected 1 or 3.{hint}")
    if fitted_shape is not None and shape[1:] != tuple(fitted_shape):
        raise InputError(
            f"X has images of shape {shape[1:]} (channels, height, width); the model was fitted "
            f"on {tuple(fitted_shape)}. Convert or resize them alike."
        )
    check_values(X, maps=maps)
    return X


def _bits(X: Any) -> str | None:
    """How to scale integers above 255; None if there are none."""
    if not isinstance(X, np.ndarray) or (high := int(X.max())) <= 255:
        return None
    white = 2 ** max(10, high.bit_length()) - 1
    return (
        f"Its values reach {high}: pass (X / {white}).astype('float32'), with the highest possible "
        "value in place of this guess."
    )


def check_values(X: Any, *, maps: bool = False) -> None:
    """Check the type and the range of pixels; those of a lazy sequence are not read.

    Parameters
    ----------
    X : array-like
    maps : bool, default=False
        Whether X holds maps of a net's inner layer, which have no range.

    Raises
    ------
    InputError
        If they are neither uint8 nor floating in 0..1, or not finite.
    """
    name = str(X.dtype).removeprefix("torch.")
    if name == "uint8":
        return
    if name not in ("float16", "float32", "float64"):
        wide = _bits(X) if name.startswith(("int", "uint")) else None
        raise InputError(
            f"X has dtype {name}; expected uint8 in 0..255 or floating in 0..1. "
            + (wide or "Pass X.astype('uint8') if its values are 0..255, X.astype('float32') if ")
            + ("" if wide else "they are 0..1.")
        )
    in_memory = isinstance(X, (np.ndarray, TakenRows)) or hasattr(X, "numpy")
    if not in_memory or len(X) == 0:
        return  # lazy: reading it all just to look at its range would defeat it
    # min and max see every value, propagate NaN, and need no copy.
    parts = [X[start : start + 256] for start in range(0, len(X), 256)]
    arrays = map(np.asarray, parts)
    low, high = np.array([(array.min(), array.max()) for array in arrays], dtype=float).T
    low, high = float(low.min()), float(high.max())
    if not np.isfinite([low, high]).all():
        fault = "NaN" if np.isnan(low) or np.isnan(high) else "infinite values"
        raise InputError(
            f"X contains {fault}. Find the broken images with ~np.isfinite(X).all((1, 2, 3))."
        )
    if not maps and (low < -1e-6 or high > 1 + 1e-6):
        raise InputError(
            f"X has floating values from {low:g} to {high:g}; expected 0..1. Divide by 255, or "
            "undo a normalisation: the model applies its own."
        )

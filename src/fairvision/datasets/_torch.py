"""A torch `Dataset` as a data set of fairvision, its images read when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray
from sklearn.utils import Bunch

from fairvision.exceptions import DatasetError

__all__ = ["TorchImages", "from_torch"]


class TorchImages:
    """The images of a torch `Dataset` as a lazy array.

    Indexing rows gives a smaller one and reads nothing; `numpy.asarray` reads.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        With a length, whose items are (image, ...).
    rows : ndarray of int, default=None
        Which of them.
    """

    ndim = 4

    def __init__(self, dataset: Any, rows: NDArray[np.intp] | None = None) -> None:
        self.dataset = dataset
        self.rows = np.arange(len(dataset), dtype=np.intp) if rows is None else rows
        first = _image(dataset[0])
        self.dtype, self._image_shape = first.dtype, first.shape

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self._image_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"TorchImages(shape={self.shape}, dtype={self.dtype})"

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):  # scikit-learn asks for array[rows, ...]
            if any(part is not Ellipsis and part != slice(None) for part in key[1:]):
                raise IndexError("TorchImages is indexed by rows; read with numpy.asarray first.")
            key = key[0]
        rows = self.rows[key if isinstance(key, (slice, int, np.integer)) else np.asarray(key)]
        if np.ndim(rows) == 0:
            return self._read(int(rows))
        part = object.__new__(TorchImages)
        vars(part).update(vars(self), rows=rows)
        return part

    def _read(self, row: int) -> NDArray[Any]:
        image = _image(self.dataset[row])
        if image.shape != self._image_shape:
            raise DatasetError(
                f"Item {row} has an image of shape {image.shape}, item 0 one of "
                f"{self._image_shape}. Let the data set's transform bring them to one size."
            )
        return image

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("TorchImages must read to become an array; copy=False cannot hold.")
        images = np.empty(self.shape, dtype=dtype or self.dtype)
        for place, row in enumerate(self.rows.tolist()):
            images[place] = self._read(row)
        return images


def from_torch(dataset: Any, *, sensitive_features: Any = None) -> Bunch:
    """Use a torch `Dataset` of (image, target) or (image, target, group).

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or DataLoader
        With a length. Images are tensors or arrays of shape (n_channels, height,
        width), uint8 or floating in 0..1, or PIL pictures, all of one size. Of a
        `DataLoader` the data set is taken; batches and shuffling are the estimator's.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive), \
default=None
        Used in place of the third element of the items; a DataFrame or dict gives the
        columns names.

    Returns
    -------
    Bunch
        ``images``, a lazy array; ``target`` of shape (n_samples,), and
        ``sensitive_features``, a DataFrame or None. Targets are read from the data
        set's ``targets`` if it has them, as torchvision's have, else from the items,
        which reads every image once.

    Raises
    ------
    DatasetError
        If the data set has no length, or its items are of another form.

    Examples
    --------
    >>> import torch
    >>> from fairvision.datasets import from_torch
    >>> pictures = torch.rand(8, 3, 24, 24)
    >>> data = from_torch(torch.utils.data.TensorDataset(pictures, torch.arange(8) % 2))
    >>> data.images.shape, data.target.tolist()
    ((8, 3, 24, 24), [0, 1, 0, 1, 0, 1, 0, 1])
    """
    from torch.utils.data import DataLoader

    if isinstance(dataset, DataLoader):
        dataset = dataset.dataset
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DatasetError(
            f"{type(dataset).__name__} has no length and no items by number. Training shuffles, so "
            "it needs a map-style data set; list(dataset) is one, if it fits into memory."
        )
    if not len(dataset):
        raise DatasetError(f"{type(dataset).__name__} is empty.")
    n_parts = len(dataset[0]) if isinstance(dataset[0], Sequence) else 1
    if n_parts not in (2, 3):
        raise DatasetError(
            f"An item of {type(dataset).__name__} is a {type(dataset[0]).__name__}; expected "
            "(image, target) or (image, target, group)."
        )
    wanted = n_parts - 1 if sensitive_features is None else 1
    known = getattr(dataset, "targets", None)
    if wanted == 1 and known is not None and len(known) == len(dataset):
        columns = [np.asarray(known)]
    else:
        items = [dataset[row][1 : wanted + 1] for row in range(len(dataset))]
        columns = [np.asarray([_label(part) for part in column]) for column in zip(*items)]  # noqa: B905
    groups = columns[1] if wanted == 2 else sensitive_features
    return Bunch(
        images=TorchImages(dataset),
        target=columns[0],
        sensitive_features=None if groups is None else _frame(groups),
    )


def _image(item: Any) -> NDArray[Any]:
    """The image of an item, channels first."""
    image = item[0]
    if hasattr(image, "getbands"):  # a PIL picture: height, width, channels
        array = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    array = np.asarray(image)
    if array.ndim != 3:
        raise DatasetError(
            f"An image has shape {array.shape}; expected (n_channels, height, width)."
        )
    return array


def _label(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _frame(groups: Any) -> pd.DataFrame:
    if isinstance(groups, (pd.DataFrame, dict)):
        return pd.DataFrame(groups).reset_index(drop=True)
    array = np.asarray(groups)
    if array.ndim == 1:
        name = getattr(groups, "name", None) or "sensitive_feature"
        return pd.DataFrame({name: array})
    names = [f"sensitive_feature_{i}" for i in range(array.shape[1])]
    return pd.DataFrame(array, columns=names)

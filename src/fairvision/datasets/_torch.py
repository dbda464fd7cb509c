"""A torch `Dataset` as a data set of fairvision, its images read when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.base import LazyImages
from fairvision.exceptions import DatasetError

__all__ = ["TorchImages", "from_torch"]


class TorchImages(LazyImages):
    """The images of a torch `Dataset` as a lazy array.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        With a length, whose items are (image, ...).
    """

    def __init__(self, dataset: Any) -> None:
        first = _image(dataset[0])
        super().__init__(len(dataset), first.shape, first.dtype)
        self.dataset = dataset

    def read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        images = np.empty((len(rows), *self.image_shape), dtype=self.dtype)
        for place, row in enumerate(rows.tolist()):
            images[place] = self._read(row)
        return images

    def _read(self, row: int) -> NDArray[Any]:
        image = _image(self.dataset[row])
        if image.shape != self.image_shape:
            raise DatasetError(
                f"Item {row} has an image of shape {image.shape}, item 0 one of "
                f"{self.image_shape}. Let the data set's transform bring them to one size."
            )
        return image


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

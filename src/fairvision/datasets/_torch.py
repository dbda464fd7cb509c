"""A torch `Dataset` as a fairvision data set that reads images when they are used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.base import LazyImages, check_labels, check_values, convert
from fairvision.exceptions import DatasetError

__all__ = ["TorchImages", "from_torch"]

_SOME = 64  # rows of which a list of targets is compared with the items


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
        if images.size:
            check_values(images)
        return images

    def _read(self, row: int) -> NDArray[Any]:
        image = _image(self.dataset[row])
        if image.shape != self.image_shape:
            raise DatasetError(
                f"Item {row} has an image of shape {image.shape}, item 0 one of "
                f"{self.image_shape}. Let the data set's transform bring them to one size."
            )
        if image.dtype != self.dtype:
            raise DatasetError(
                f"Item {row} has an image of {image.dtype}, item 0 one of {self.dtype}. Let the "
                "data set's transform bring them to one type."
            )
        return image


def from_torch(dataset: Any, *, sensitive_features: Any = None) -> Bunch:
    """Use a torch `Dataset` of (image, target) or (image, target, group).

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or DataLoader
        With a length. Images are tensors or arrays of shape (n_channels, height,
        width), uint8 or floating in 0..1, or PIL pictures, all of one size. From a `DataLoader`,
        its data set and the rows of its sampler are used; the estimator does batching and
        shuffling.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive), \
default=None
        Used in place of the third element of the items; a DataFrame or dict gives the
        columns names.

    Returns
    -------
    Bunch
        ``images``, a lazy array; ``target`` of shape (n_samples,), and
        ``sensitive_features``, a DataFrame or None. Targets are those of the items. If the data
        set has ``targets`` (and a ``target_transform``), as torchvision's have, and sampled items
        of every label agree with them, images are not read to find the targets.

    Raises
    ------
    DatasetError
        If the data set has no length, its items have another form, or a `DataLoader` has a custom
        sampler or collate function.

    Examples
    --------
    >>> import torch
    >>> from fairvision.datasets import from_torch
    >>> pictures = torch.rand(8, 3, 24, 24)
    >>> data = from_torch(torch.utils.data.TensorDataset(pictures, torch.arange(8) % 2))
    >>> data.images.shape, data.target.tolist()
    ((8, 3, 24, 24), [0, 1, 0, 1, 0, 1, 0, 1])
    """
    dataset = _of_loader(dataset)
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
    n_columns = n_parts - 1 if sensitive_features is None else 1
    known = _known_targets(dataset) if n_columns == 1 else None
    columns = [known] if known is not None else _columns(dataset, range(len(dataset)), n_columns)
    groups = columns[1] if n_columns == 2 else sensitive_features
    frame = None if groups is None else _frame(groups)
    if frame is not None and len(frame) != len(dataset):
        raise DatasetError(
            f"sensitive_features has {len(frame)} rows, the data set {len(dataset)}. Pass one "
            "label per item."
        )
    return Bunch(
        images=TorchImages(dataset),
        target=check_labels(columns[0], "the target"),
        sensitive_features=frame,
    )


def _of_loader(dataset: Any) -> Any:
    """The rows that a `DataLoader` reads, as a data set; any other data set as it is."""
    from torch.utils import data

    if not isinstance(dataset, data.DataLoader):
        return dataset
    if isinstance(dataset.dataset, data.IterableDataset):
        return dataset.dataset
    collate = dataset.collate_fn
    if collate not in (data.default_collate, data.default_convert):
        raise DatasetError(
            f"the DataLoader makes its batches by {getattr(collate, '__name__', collate)!r}, "
            "which would be lost. Pass a data set whose items are what it gives."
        )
    sampler: Any = getattr(dataset.batch_sampler, "sampler", dataset.sampler)
    rows: Any = dataset.dataset
    if type(sampler) is data.SubsetRandomSampler:
        return data.Subset(rows, sorted(sampler.indices))
    plain = type(dataset.batch_sampler) in (data.BatchSampler, type(None))
    shuffles = type(sampler) is data.RandomSampler and not sampler.replacement
    every = shuffles and sampler.num_samples == len(rows)
    if not plain or not (every or type(sampler) is data.SequentialSampler):
        name = type(sampler if plain else dataset.batch_sampler).__name__
        raise DatasetError(
            f"the DataLoader draws rows by {name}, which would be lost. Pass its data set, or "
            "torch.utils.data.Subset(dataset, rows); a method such as balanced-sampling draws rows."
        )
    return dataset.dataset


def _columns(dataset: Any, rows: Iterable[int], n: int) -> list[NDArray[Any]]:
    """The values that follow the image in each item, as one column for each of the first `n`."""
    items = [dataset[row][1 : n + 1] for row in rows]
    return [np.asarray([_label(value) for value in column]) for column in zip(*items)]  # noqa: B905


def _known_targets(dataset: Any) -> NDArray[Any] | None:
    """The data set's own list of targets, if it agrees with its items."""
    known = _listed_targets(dataset)
    if known is None or known.shape != (len(dataset),):
        return None
    # Rows of every label, because a transform may join two of many; and some from everywhere.
    first = np.unique(known, return_index=True)[1]
    last = len(known) - 1 - np.unique(known[::-1], return_index=True)[1]
    some = np.linspace(0, len(known) - 1, min(len(known), _SOME)).astype(int)
    rows = np.unique(np.concatenate([first, last, some]))
    (seen,) = _columns(dataset, rows.tolist(), 1)
    return known if seen.shape == rows.shape and (seen == known[rows]).all() else None


def _listed_targets(dataset: Any) -> NDArray[Any] | None:
    """The target of each row from `targets`, after `target_transform`."""
    from torch.utils.data import Subset

    if isinstance(dataset, Subset):
        inner = _listed_targets(dataset.dataset)
        return None if inner is None else inner[np.asarray(dataset.indices, dtype=np.intp)]
    targets = getattr(dataset, "targets", None)
    try:
        listed = [_label(target) for target in targets]  # type: ignore[union-attr]
        change = getattr(dataset, "target_transform", None)
        return np.asarray(listed if change is None else [_label(change(one)) for one in listed])
    except Exception:  # no list, or a transform of more than the target: the items tell
        return None


def _image(item: Any) -> NDArray[Any]:
    """The image of an item, channels first."""
    image = item[0]
    if hasattr(image, "getbands"):  # a PIL picture: height, width, channels
        array = np.asarray(convert(image, None, None))
        return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    array = np.asarray(image)
    if array.ndim != 3:
        raise DatasetError(
            f"An image is a {type(image).__name__} of shape {array.shape}; expected a tensor, an "
            "array or a PIL picture, of shape (n_channels, height, width)."
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

"""Rows that travel together: images, targets, groups and weights, cut by index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fairvision.base import take
from fairvision.nn.ranks import ALONE, Ranks
from fairvision.nn.reading import read_ahead

__all__ = ["Batch", "Batches", "Rows", "scale"]

Transform = Callable[[Tensor], Tensor]


def scale(values: NDArray[Any], device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """Move values to the device, then make them floating: uint8 becomes 0..1.

    The move comes first because a byte crosses the bus four times as fast as a float.
    """
    # A copy only where torch needs one: it can wrap neither read-only nor reversed memory.
    tensor = torch.from_numpy(np.require(values, requirements=["C", "W"])).to(device)
    if tensor.dtype == torch.uint8:
        return tensor.to(dtype).div_(255)
    return tensor.to(dtype)


@dataclass(slots=True)
class Batch:
    """One batch on the training device.

    Attributes
    ----------
    images : Tensor of shape (n, n_channels, height, width) in 0..1, or (n, n_features)
        Where several processes train one model, the share of this one,
        ``ranks.own(n)``; everything else is whole.
    targets : Tensor of shape (n,), int64
        Class codes.
    groups : Tensor of shape (n, n_sensitive), int64, or None
    weights : Tensor of shape (n,), or None
        Sample weights with mean 1 over the training rows.
    rows : Tensor of shape (n,), int64, on the CPU
        Row numbers in the training data.
    ranks : Ranks
        The processes that train the model.
    """

    images: Tensor
    targets: Tensor
    groups: Tensor | None
    weights: Tensor | None
    rows: Tensor
    ranks: Ranks = ALONE

    def __len__(self) -> int:
        return len(self.targets)


class Rows(Dataset[Batch]):
    """Images and everything that belongs to them, decoded a batch at a time.

    Parameters
    ----------
    images : array-like of shape (n_samples, n_channels, height, width) or \
(n_samples, n_features)
    targets : ndarray of shape (n_samples,)
        Class codes.
    groups : ndarray of shape (n_samples, n_sensitive) or None
        Group codes.
    weights : ndarray of shape (n_samples,) or None
    dtype : torch.dtype
        What the net computes in.

    Attributes
    ----------
    ranks : Ranks
        The processes that share the images of a batch.
    """

    def __init__(
        self,
        images: Any,
        targets: NDArray[Any],
        groups: NDArray[Any] | None = None,
        weights: NDArray[Any] | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.images = images
        self.targets = torch.from_numpy(np.asarray(targets, dtype=np.int64))
        self.groups = None if groups is None else torch.from_numpy(np.asarray(groups, np.int64))
        self.weights = None if weights is None else torch.from_numpy(np.array(weights)).to(dtype)
        self.dtype = dtype
        self.ranks = ALONE

    def __len__(self) -> int:
        return len(self.targets)

    def subset(self, rows: NDArray[Any]) -> Rows:
        """Some of the rows, nothing decoded."""
        part = object.__new__(Rows)
        part.images, part.dtype, part.targets = self.images[rows], self.dtype, self.targets[rows]
        part.ranks = self.ranks
        part.groups = None if self.groups is None else self.groups[rows]
        part.weights = None if self.weights is None else self.weights[rows]
        return part

    def batch(self, rows: Tensor, device: torch.device | str) -> Batch:
        """Cut the rows out of every column; of the images, this process's share of them."""
        own = rows[self.ranks.own(len(rows))]
        return Batch(
            images=scale(take(self.images, own.numpy()), device, self.dtype),
            targets=self.targets[rows].to(device),
            groups=None if self.groups is None else self.groups[rows].to(device),
            weights=None if self.weights is None else self.weights[rows].to(device),
            rows=rows,
            ranks=self.ranks,
        )


class Batches:
    """The batches of one epoch after another; each iteration is an epoch.

    Parameters
    ----------
    rows : Rows
    batch_size : int
    device : torch device
    order : callable () -> Tensor of int64
        The row numbers of the coming epoch.
    transform : callable or None
        Applied to each batch of scaled images.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        device: torch.device | str,
        order: Callable[[], Tensor],
        transform: Transform | None = None,
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.device = device
        self.order = order
        self.transform = transform

    def __iter__(self) -> Iterator[tuple[Batch, Tensor]]:
        parts = split(self.order(), self.batch_size)
        read = partial(self.rows.batch, device=self.device)
        # The transform stays in this thread: it may draw random numbers, in order.
        for batch in read_ahead(read, parts, self.rows.images):
            if self.transform is not None:
                with batch.ranks.apart():
                    batch.images = self.transform(batch.images)
            yield batch, batch.targets


def split(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an epoch into batches, never leaving a single row for the last one.

    Batch normalisation cannot train on one row, unless batches of one are what was asked for.
    """
    batches = list(order.split(batch_size))
    if batch_size > 1 < len(batches) and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] = torch.cat([batches[-1], last])
    return batches

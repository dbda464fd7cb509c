"""Rows that travel together: images, targets, groups and weights, cut by index."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fairvision.base import TakenRows, rows_of, take
from fairvision.nn.device import to_device
from fairvision.nn.prefetch import prefetch
from fairvision.nn.process_group import SINGLE_PROCESS, ProcessGroup

__all__ = ["Batch", "Batches", "Rows", "scale"]

Transform = Callable[[Tensor], Tensor]
#: Bytes of images that go to a device at a time, to be kept there.
_BYTES_AT_ONCE = 2**27


def scale(values: NDArray[Any], device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """Move values to the device, then make them floating: uint8 becomes 0..1.

    Moving uint8 transfers a quarter of the bytes of float32.
    """
    # Copies only what torch cannot wrap: read-only or reversed memory.
    return _floating(
        to_device(torch.from_numpy(np.require(values, requirements=["C", "W"])), device), dtype
    )


def _floating(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if tensor.dtype == torch.uint8:
        return tensor.to(dtype).div_(255)
    return tensor.to(dtype)


@dataclass(slots=True)
class Batch:
    """One batch on the training device.

    Attributes
    ----------
    images : Tensor of shape (n, n_channels, height, width) in 0..1, or (n, n_features)
        If several processes train one model, only the rows of this one,
        ``process_group.shard(n)``. All other attributes hold the full batch.
    targets : Tensor of shape (n,), int64
        Class codes.
    groups : Tensor of shape (n, n_sensitive), int64, or None
    weights : Tensor of shape (n,), or None
        Sample weights with mean 1 over the training rows.
    rows : Tensor of shape (n,), int64, on the CPU
        Row numbers in the training data.
    process_group : ProcessGroup
        The processes that train the model.
    """

    images: Tensor
    targets: Tensor
    groups: Tensor | None
    weights: Tensor | None
    rows: Tensor
    process_group: ProcessGroup = SINGLE_PROCESS

    def __len__(self) -> int:
        return len(self.targets)


class Rows(Dataset[Batch]):
    """Images with their targets, groups and weights, decoded a batch at a time.

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
        The dtype that the net computes in.

    Attributes
    ----------
    process_group : ProcessGroup
        The processes that train the model.
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
        self.process_group = SINGLE_PROCESS
        self._kept: tuple[Tensor | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def fixed(self) -> bool:
        """Whether the images are the same in every epoch; others may draw random numbers."""
        in_memory = isinstance(self.images, (np.ndarray, Tensor, TakenRows))
        return in_memory or bool(getattr(self.images, "reads_in_threads", False))

    @property
    def is_kept(self) -> bool:
        """Whether `keep_on` holds the rows on a device."""
        return self._kept is not None

    def keep_on(self, device: torch.device) -> bool:
        """Hold the rows on a CUDA device from now on; returns whether they are held.

        Not if the images fill more than a quarter of its free memory, or change from epoch to
        epoch, or belong to several processes.
        """
        if device.type != "cuda" or not self.fixed or self.process_group.size > 1:
            return False
        dtype = take(self.images, slice(0, 1)).dtype
        n_bytes = dtype.itemsize * int(np.prod(self.images.shape))
        # What torch holds in reserve is free, too.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        if n_bytes > (torch.cuda.mem_get_info(device)[0] + unused) / 4:
            return False
        parts = np.array_split(np.arange(len(self)), n_bytes // _BYTES_AT_ONCE + 1)
        images, start = torch.empty(0), 0
        for chunk in prefetch(partial(take, self.images), parts, self.images):
            some = torch.from_numpy(np.require(chunk, requirements=["C", "W"]))
            if not start:
                images = some.new_empty((len(self), *some.shape[1:]), device=device)
            images[start : start + len(some)] = some
            start += len(some)
        columns = (self.targets, self.groups, self.weights)
        self._kept = (images, *(None if c is None else c.to(device) for c in columns))
        return True

    def share(self, process_group: ProcessGroup) -> None:
        """Let each process of a group read its shard of every batch.

        Images are not compared, because each process reads only its own.

        Raises
        ------
        InputError
            In every process, if they have other rows: class codes, groups or weights.
        """
        columns = (self.targets, self.groups, self.weights)
        digests = [None if c is None else zlib.crc32(c.numpy().tobytes()) for c in columns]
        process_group.check_same("rows of X, y, sensitive_features or sample_weight", *digests)
        self.process_group = process_group

    def subset(self, rows: NDArray[Any]) -> Rows:
        """Some of the rows; no image is decoded or copied."""
        subset = copy.copy(self)
        subset._kept = None
        subset.images, subset.targets = rows_of(self.images, rows), self.targets[rows]
        subset.groups = None if self.groups is None else self.groups[rows]
        subset.weights = None if self.weights is None else self.weights[rows]
        return subset

    def batch(self, rows: Tensor, device: torch.device | str) -> Batch:
        """The batch of some rows; of its images, only the shard of this process."""
        shard = rows[self.process_group.shard(len(rows))]
        columns: Sequence[Tensor | None] = (self.targets, self.groups, self.weights)
        place = rows
        if self._kept is None:
            images = scale(take(self.images, shard.numpy()), device, self.dtype)
        else:  # one process, whose shard is the whole batch
            place = rows.to(device, non_blocking=True)
            kept, *columns = self._kept
            assert kept is not None
            images = _floating(kept[place], self.dtype)
        targets, groups, weights = (
            None if c is None else to_device(c[place], device) for c in columns
        )
        assert targets is not None
        return Batch(images, targets, groups, weights, rows, self.process_group)


@dataclass(eq=False, repr=False)
class Batches:
    """The batches of an epoch; each iteration is a new epoch.

    Parameters
    ----------
    rows : Rows
    batch_size : int
    device : torch device
    order : callable () -> Tensor of int64
        Returns the row numbers of the next epoch.
    transform : callable or None
        Applied to each batch of scaled images.
    """

    rows: Rows
    batch_size: int
    device: torch.device | str
    order: Callable[[], Tensor]
    transform: Transform | None = None

    def __iter__(self) -> Iterator[tuple[Batch, Tensor]]:
        order = self.order()
        if self.rows.is_kept:  # so that a step's rows go there without waiting
            order = order.pin_memory()
        batches = split(order, self.batch_size)
        read = partial(self.rows.batch, device=self.device)
        # The transform runs in this thread, because it may draw random numbers.
        images = None if self.rows.is_kept else self.rows.images
        for batch in prefetch(read, batches, images):
            if self.transform is not None:
                with batch.process_group.own_rng():
                    batch.images = self.transform(batch.images)
            yield batch, batch.targets


def split(order: Tensor, batch_size: int) -> list[Tensor]:
    """Split an epoch into batches. A last batch of a single row joins the one before it.

    Batch normalisation cannot train on one row.
    """
    batches = list(order.split(int(batch_size)))  # torch refuses numpy's integers
    if batch_size > 1 < len(batches) and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] = torch.cat([batches[-1], last])
    return batches

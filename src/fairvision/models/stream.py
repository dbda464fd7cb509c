"""Predictions of any number of pictures in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.datasets import ImageFiles
from fairvision.exceptions import BadImageError
from fairvision.models.image_model import ImageModel
from fairvision.models.labels import Picture, as_frame
from fairvision.nn import prefetch

__all__ = ["predict_pictures"]

Batch = tuple[list[Picture], NDArray[np.uint8], dict[int, str]]


def predict_pictures(
    model: ImageModel,
    pictures: Iterable[Picture],
    *,
    sensitive: Sequence[str] = (),
    batch_size: int = 256,
    on_bad: Callable[[str], None] | None = None,
) -> Iterator[tuple[list[Picture], list[str], NDArray[np.float64] | None]]:
    """Predict pictures batch by batch; the next one is decoded while the net computes.

    Parameters
    ----------
    model : ImageModel
    pictures : iterable of Picture
    sensitive : sequence of str
        Names of the pictures' groups.
    batch_size : int, default=256
        Pictures that are in memory at a time, twice.
    on_bad : callable or None, default=None
        Called with the error of each picture that cannot be read, which is left out; None raises.

    Yields
    ------
    pictures : list of Picture
    classes : list of str
    probabilities : ndarray of shape (n, n_classes), or None
    """

    def decode(batch: list[Picture]) -> Batch:
        images, errors = ImageFiles([p.path for p in batch], **model.settings).decode()
        return batch, images, errors

    batches = _batched(pictures, batch_size)
    for batch, images, errors in prefetch(decode, batches, ImageFiles):
        for error in errors.values():
            if on_bad is None:
                raise BadImageError(error)
            on_bad(error)
        if errors:
            images = np.delete(images, list(errors), axis=0)
            batch = [picture for i, picture in enumerate(batch) if i not in errors]
        if batch:
            groups: Any = as_frame(batch, sensitive)
            labels, scores = model.predict_both(images, sensitive_features=groups)
            yield batch, model.names_of(labels), scores


def _batched(items: Iterable[Picture], n: int) -> Iterator[list[Picture]]:
    iterator = iter(items)
    while batch := list(islice(iterator, n)):
        yield batch

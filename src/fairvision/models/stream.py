"""Predictions of any number of pictures in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import compress, count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.base import numbered_rows
from fairvision.datasets import ImageFiles
from fairvision.exceptions import BadImageError
from fairvision.models.image_model import ImageModel
from fairvision.models.labels import Picture, as_frame
from fairvision.nn import prefetch

__all__ = ["predict_pictures"]

Batch = tuple[list[Picture], NDArray[np.intp], NDArray[np.uint8], dict[int, str]]


def predict_pictures(
    model: ImageModel,
    pictures: Iterable[Picture],
    *,
    sensitive: Sequence[str] = (),
    batch_size: int = 256,
    done: Collection[str] = (),
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
        Pictures per batch; two batches are in memory at a time.
    done : collection of str, default=()
        Names of pictures to skip because they are predicted already. The other pictures keep
        their batches, because the last digits of probabilities depend on the batch size, and
        their place in `pictures`, on which randomized predictions depend.
    on_bad : callable or None, default=None
        Called with the error of each unreadable picture, which is then skipped; None raises.

    Yields
    ------
    pictures : list of Picture
    classes : list of str
    probabilities : ndarray of shape (n, n_classes), or None
    """

    def decode(numbered: tuple[int, list[Picture]]) -> Batch:
        number, batch = numbered
        images, errors = ImageFiles([p.path for p in batch], **model.settings).decode()
        return batch, np.arange(number, number + len(batch)), images, errors

    batches = (
        (number, batch)
        for number, batch in zip(count(step=batch_size), _batched(pictures, batch_size))
        if not all(picture.name in done for picture in batch)
    )
    for batch, numbers, images, errors in prefetch(decode, batches, ImageFiles):
        for error in errors.values():
            if on_bad is None:
                raise BadImageError(error)
            on_bad(error)
        if errors:
            images = np.delete(images, list(errors), axis=0)
            numbers = np.delete(numbers, list(errors))
            batch = [picture for i, picture in enumerate(batch) if i not in errors]
        if batch:
            groups: Any = as_frame(batch, sensitive)
            with numbered_rows(numbers):
                labels, scores = model.predict_both(images, sensitive_features=groups)
            new = np.array([picture.name not in done for picture in batch])
            yield (
                list(compress(batch, new)),
                model.names_of(labels[new]),
                None if scores is None else scores[new],
            )


def _batched(items: Iterable[Picture], n: int) -> Iterator[list[Picture]]:
    iterator = iter(items)
    while batch := list(islice(iterator, n)):
        yield batch

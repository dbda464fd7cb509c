"""Lazy images that are decoded once although several methods read them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.base.lazy_images import LazyImages

__all__ = ["read_once"]

#: Bytes of decoded images that are kept; further rows are decoded at each reading.
MOST_BYTES = 1 << 31


def read_once(X: Any) -> Any:
    """The same images, each decoded at its first reading and kept until the object goes.

    Labels, scores and features of test pictures then cost one pass over their files.

    Parameters
    ----------
    X : array-like
        Anything but `LazyImages` that decode is returned as it is.
    """
    return X if not isinstance(X, LazyImages) or X.is_stored else _ReadOnce(X)


class _ReadOnce(LazyImages):
    is_stored = True

    def __init__(self, images: LazyImages) -> None:
        super().__init__(len(images), images.image_shape, images.dtype)
        self.reads_in_threads = images.reads_in_threads  # type: ignore[misc]
        self._images = images
        n_kept = MOST_BYTES // max(1, int(np.prod(images.image_shape)) * images.dtype.itemsize)
        self._kept = np.empty((min(len(images), n_kept), *images.image_shape), images.dtype)
        self._known = np.zeros(len(images), dtype=bool)

    def read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        n_kept = len(self._kept)
        new = np.unique(rows[(rows < n_kept) & ~self._known[rows]])
        if len(new):
            self._kept[new] = np.asarray(self._images[new])
            self._known[new] = True
        if len(rows) == 0 or rows.max() < n_kept:
            return self._kept[rows]
        images = np.empty((len(rows), *self.image_shape), dtype=self.dtype)
        far = rows >= n_kept
        images[~far] = self._kept[rows[~far]]
        images[far] = np.asarray(self._images[rows[far]])
        return images

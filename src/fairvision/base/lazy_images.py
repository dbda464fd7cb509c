"""Images that are computed when they are read, as an array."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray
from sklearn.utils import _safe_indexing

__all__ = ["LazyImages", "SortedReads", "TakenRows", "as_indexable", "rows_of"]

_ALL = slice(None)


class LazyImages(ABC):
    """Images of shape (n_samples, n_channels, height, width), computed when they are read.

    Indexing rows (by a slice, integers or a mask) gives a smaller object of the same
    class and reads nothing, so that
    :func:`~sklearn.model_selection.train_test_split` and cross-validation cost nothing.
    An integer, or :func:`numpy.asarray`, reads. Subclasses define `read`.

    Parameters
    ----------
    n_images : int
    image_shape : tuple (n_channels, height, width)
    dtype : dtype, default=uint8

    Attributes
    ----------
    rows : ndarray of int
        Row numbers of the whole that this object holds.
    image_shape, dtype : as given
    """

    ndim: ClassVar[int] = 4
    #: Whether `read` gives the same pixels in any thread and order, so that a net's next batch
    #: may be read while it computes.
    reads_in_threads: ClassVar[bool] = False
    #: Whether reading costs no decoding, because pixels are kept already.
    is_stored: bool = False

    def __init__(
        self, n_images: int, image_shape: tuple[int, ...], dtype: DTypeLike = np.uint8
    ) -> None:
        self.rows: NDArray[np.intp] = np.arange(n_images, dtype=np.intp)
        self.image_shape = tuple(map(int, image_shape))
        self.dtype = np.dtype(dtype)

    @abstractmethod
    def read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Pixels of some rows of the whole.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)

        Returns
        -------
        ndarray of shape (n, n_channels, height, width)
        """

    def identities(self) -> list[str] | None:
        """A name for each image that changes when its pixels do, found without reading it.

        None here: without reading pixels, the base class cannot tell. Subclasses may override it.
        """
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_samples, n_channels, height, width)"""
        return (len(self.rows), *self.image_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        rows = self.rows[self._row_key(key)]
        if rows.ndim == 0:
            return self.read(rows[None])[0]
        if rows.ndim != 1:
            raise IndexError(
                f"{type(self).__name__} is indexed by rows; got an index of shape {rows.shape}."
            )
        return self.subset(rows)

    def _row_key(self, key: Any) -> Any:
        name = type(self).__name__
        if isinstance(key, tuple):  # scikit-learn asks for array[rows, ...]
            row, rest = (key[0], key[1:]) if key and key[0] is not Ellipsis else (_ALL, key)
            if not all(index is Ellipsis or _is_full(index) for index in rest):
                raise IndexError(
                    f"{name} is indexed by rows only. For channels or pixels read first: "
                    "numpy.asarray(images[rows])[:, ...]."
                )
            key = row
        if key is Ellipsis:
            return _ALL
        if key is None:
            raise IndexError(f"{name} cannot take a new axis; read with numpy.asarray first.")
        if isinstance(key, (slice, int, np.integer)):
            return key
        array = np.asarray(key)
        return array.astype(np.intp) if array.size == 0 and array.dtype != bool else array

    def subset(self, rows: NDArray[np.intp]) -> Self:
        """An object with these rows of the whole."""
        smaller = copy.copy(self)
        smaller.rows = rows
        return smaller

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(
                f"{type(self).__name__} is decoded when it becomes an array, so copy=False is "
                "impossible. Leave it out."
            )
        images = self.read(self.rows)
        return images if dtype is None else images.astype(dtype, copy=False)


def _is_full(index: Any) -> bool:
    return isinstance(index, slice) and index == _ALL


class TakenRows(NDArrayOperatorsMixin, LazyImages):
    """Rows of an array of images in memory, by their numbers: a read copies only what it reads.

    Arithmetic and the methods of an array work, on a copy.

    Parameters
    ----------
    array : ndarray of shape (n_images, n_channels, height, width)
    rows : ndarray of int
    """

    is_stored = True

    def __init__(self, array: NDArray[Any], rows: NDArray[np.intp]) -> None:
        super().__init__(len(array), array.shape[1:], array.dtype)
        self.array = array
        self.ndim = array.ndim  # type: ignore[misc]
        self.rows = rows

    def read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Pixels of some rows of the array."""
        return self.array[rows]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not callable(getattr(np.ndarray, name, None)):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(np.asarray(self), name)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = (np.asarray(x) if isinstance(x, TakenRows) else x for x in inputs)
        return getattr(ufunc, method)(*plain, **kwargs)


class SortedReads(LazyImages):
    """An HDF5 data set: it is read by ascending row numbers only, each one once."""

    def __init__(self, images: Any) -> None:
        super().__init__(len(images), images.shape[1:], images.dtype)
        self.images = images

    def read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Pixels of some rows."""
        ascending, places = np.unique(rows, return_inverse=True)
        return np.asarray(self.images[ascending])[places]


def as_indexable(X: Any) -> Any:
    """X itself, or a lazy sequence of it where X takes sorted row numbers only."""
    of_hdf5 = type(X).__module__.partition(".")[0] == "h5py" and len(X.shape) > 2
    return SortedReads(X) if of_hdf5 else X


def rows_of(images: Any, rows: Any) -> Any:
    """Some rows of images without a copy of them, for code that reads them batch by batch.

    Parameters
    ----------
    images : array-like of shape (n_samples, n_channels, height, width)
    rows : ndarray of int or bool, or slice

    Returns
    -------
    `TakenRows` of an array or tensor in memory; of anything else, and of a table, what
    indexing gives
    """
    images = as_indexable(images)
    if isinstance(rows, slice) or getattr(images, "ndim", 0) < 3:
        return _safe_indexing(images, rows)
    if type(images) in (np.ndarray, np.memmap) or type(images).__module__ == "torch":
        array = np.asarray(images)
        return TakenRows(array, np.arange(len(array))[rows])
    return _safe_indexing(images, rows)

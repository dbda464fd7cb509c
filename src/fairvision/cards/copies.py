"""Pictures that lie in a data set more than once: the same bytes, or nearly the same picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["THUMBNAIL", "near_copies"]

#: Height and width of the grey thumbnails: twice the 8 x 9 pixels of the hash.
THUMBNAIL = (16, 18)
#: The 64 bits are cut into four bands: hashes that differ in fewer bits than that share a band.
_BANDS = 4
_MOST_BITS = 6
_LEAST_CORRELATION = 0.98

Rows = NDArray[np.intp]


def near_copies(thumbnails: NDArray[np.uint8], contents: NDArray[np.object_]) -> NDArray[np.int64]:
    """Sets of rows whose pictures are copies of each other, or nearly.

    Parameters
    ----------
    thumbnails : ndarray of shape (n_samples, 16, 18), uint8
        Small grey pictures.
    contents : ndarray of shape (n_samples,)
        A hash of each picture's bytes; rows with the same one are copies.

    Returns
    -------
    ndarray of shape (n_samples,), int
        The number of the set of each row; -1 for a picture that is there once.

    Notes
    -----
    Two pictures are near copies if their difference hashes (dHash: which of two neighbouring
    pixels is brighter, in 8 x 9 pixels) differ in at most 6 of 64 bits, and their thumbnails
    correlate by .98 or more. Pairs that differ in at most 3 bits are all seen; of the others,
    those that agree in one of four bands of 16 bits.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(thumbnails)
    if not n:
        return np.empty(0, dtype=np.int64)
    hashes = _hashes(thumbnails)
    normal = _normalised(thumbnails)
    edges = [_to_first(contents), *_alike(_to_first(hashes), hashes, normal)]
    distinct = np.unique(hashes, return_index=True)[1]
    for left, right in _neighbours(hashes[distinct]):
        edges += _alike((distinct[left], distinct[right]), hashes, normal)
    left, right = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    graph = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(n, n))
    sets = connected_components(graph, directed=False)[1]
    several = np.bincount(sets)[sets] > 1
    numbers = np.full(n, -1, dtype=np.int64)
    numbers[several] = np.unique(sets[several], return_inverse=True)[1]
    return numbers


def _hashes(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint64]:
    small = thumbnails.reshape(-1, 8, 2, 9, 2).astype(np.int64).sum((2, 4))
    bits = small[:, :, 1:] > small[:, :, :-1]
    return np.packbits(bits.reshape(len(bits), 64), axis=1).view(np.uint64).reshape(-1)


def _normalised(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Thumbnails of mean 0 and length 1; flat ones are zeros."""
    values = thumbnails.reshape(-1, THUMBNAIL[0] * THUMBNAIL[1]).astype(np.float32)
    values -= values.mean(1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 1)


def _to_first(values: NDArray[np.generic]) -> tuple[Rows, Rows]:
    """Each row that repeats a value, and the first row that has it."""
    _, first, codes = np.unique(values, return_index=True, return_inverse=True)
    repeats = np.flatnonzero(first[codes] != np.arange(len(values)))
    return first[codes[repeats]], repeats


def _neighbours(hashes: NDArray[np.uint64]) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of distinct hashes that agree in one band."""
    for band in hashes.view(np.uint16).reshape(-1, _BANDS).T:
        order = np.argsort(band, kind="stable")
        ordered, start = band[order], np.arange(len(order))
        for step in range(1, len(order)):
            start = start[start + step < len(order)]
            start = start[ordered[start] == ordered[start + step]]
            if not len(start):
                break
            yield order[start], order[start + step]


def _alike(
    pair: tuple[Rows, Rows], hashes: NDArray[np.uint64], normal: NDArray[np.float32]
) -> list[tuple[Rows, Rows]]:
    """Of pairs of rows, those whose hashes and thumbnails agree."""
    left, right = pair
    near = np.bitwise_count(hashes[left] ^ hashes[right]) <= _MOST_BITS
    left, right = left[near], right[near]
    alike = np.einsum("ij,ij->i", normal[left], normal[right]) >= _LEAST_CORRELATION
    return [(left[alike], right[alike])]

"""Features on disk, identified by the weights and by each picture."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from fairvision.base import take
from fairvision.exceptions import DatasetError

__all__ = ["FeatureCache"]

Features = NDArray[np.float32]

_BLOCK = 256  # pictures between two writes: a killed pass loses at most this many
_ROW = struct.Struct("<16sI")  # a picture's hash, and the checksum of its features


class FeatureCache:
    """The features that one net gives, a row a picture, in two files of a folder.

    ``features.f32`` holds the features; ``rows`` a hash of each picture and a checksum of its
    features. Both files only grow. A row is valid if it is complete in both files and its
    checksum is right. Rows that a killed process left incomplete are overwritten; damaged rows
    are computed again.

    Parameters
    ----------
    folder : path-like
        Created if it does not exist. Several nets and processes may share it.
    net : str
        A hash of all that decides the features of a picture.
    shape : tuple
        Of the features of one picture.
    """

    def __init__(self, folder: str | PathLike[str], net: str, shape: tuple[int, ...]) -> None:
        self.folder = Path(folder) / net
        self.shape = shape
        self._n_bytes = 4 * prod(shape)
        self._places: dict[bytes, int] = {}
        self._checksums: list[int] = []
        self._sound: set[int] = set()
        self._features: Features = np.empty((0, *shape), dtype=np.float32)

    def read(self, images: Any, compute: Callable[[Any], Features]) -> Features:
        """The features of all images; those that are not there yet are computed and kept.

        Parameters
        ----------
        images : array-like of shape (n_samples, n_channels, height, width)
        compute : callable
            From some of the images to their features.

        Returns
        -------
        ndarray of shape (n_samples, ...)
            Mapped from the file, without a copy, where the images stand in its order.

        Raises
        ------
        DatasetError
            If the folder cannot be written.
        """
        places = np.empty(len(images), dtype=np.int64)
        self._refresh()
        for start in range(0, len(images), _BLOCK):
            some, names = _named(images[start : start + _BLOCK])
            rows = self._find(names)
            if min(rows) < 0:
                self._add(some, names, compute)
                rows = self._find(names)
            places[start : start + len(names)] = rows
        if np.array_equal(places, np.arange(places[0], places[0] + len(places))):
            return self._features[places[0] : places[-1] + 1]
        return self._features[places]

    def _find(self, names: Sequence[bytes]) -> list[int]:
        """The row of each picture, -1 where there is none."""
        return [self._checked(self._places.get(name, -1)) for name in names]

    def _checked(self, row: int) -> int:
        """The row, or -1 if its features are damaged."""
        if row < 0 or row in self._sound:
            return row
        if zlib.crc32(self._features[row]) != self._checksums[row]:
            return -1
        self._sound.add(row)
        return row

    def _add(self, images: Any, names: Sequence[bytes], compute: Callable[[Any], Features]) -> None:
        """Compute what is missing, while other processes wait for it."""
        lock = FileLock(self.folder / ".lock")
        with self._guard():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            self._refresh()
            rows = self._find(names)
            missing = {n: i for i, (n, row) in enumerate(zip(names, rows, strict=True)) if row < 0}
            if missing:
                features = compute(images[np.array(list(missing.values()))])
                with self._guard():
                    self._append(list(missing), np.ascontiguousarray(features, dtype="<f4"))
                self._refresh()
        finally:
            lock.release()

    def _append(self, names: Sequence[bytes], features: Features) -> None:
        rows = [_ROW.pack(n, zlib.crc32(f)) for n, f in zip(names, features, strict=True)]
        n_rows = len(self._checksums)
        # Write the features first, so that every listed row is complete.
        _write(self.folder / "features.f32", n_rows * self._n_bytes, features.data)
        _write(self.folder / "rows", n_rows * _ROW.size, b"".join(rows))

    def _refresh(self) -> None:
        """Read the rows that were added since the last time."""
        file, rows = self.folder / "features.f32", self.folder / "rows"
        try:
            n_rows = min(
                file.stat().st_size // self._n_bytes,
                rows.stat().st_size // _ROW.size,
            )
        except OSError:  # not there yet
            n_rows = 0
        if n_rows < len(self._checksums):  # somebody cut the files
            self._places, self._checksums, self._sound = {}, [], set()
        known = len(self._checksums)
        if n_rows == known:
            return
        with rows.open("rb") as opened:
            opened.seek(known * _ROW.size)
            content = opened.read((n_rows - known) * _ROW.size)
        for row, (name, checksum) in enumerate(_ROW.iter_unpack(content), start=known):
            self._places[name] = row  # the last one counts, if the first was damaged
            self._checksums.append(checksum)
        self._features = np.memmap(file, dtype="<f4", mode="r", shape=(n_rows, *self.shape))

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DatasetError(
                f"cache {str(self.folder)!r} cannot be written: {error.strerror or error}. "
                "Free some space, name another folder, or pass cache=None."
            ) from error


def _write(path: Path, place: int, content: Any) -> None:
    """Write at a place, over whatever stands there.

    The write is not flushed to the disk; the checksum detects a torn row.
    """
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        file.seek(place)
        file.write(content)


def _named(images: Any) -> tuple[Any, list[bytes]]:
    """The images, and a hash of each: of its file where it has one, else of its pixels.

    Images that had to be decoded for the hash are returned decoded.
    """
    names = images.identities() if hasattr(images, "identities") else None
    if names is not None:
        return images, [_hash(name.encode("utf-8", "surrogatepass")) for name in names]
    images = take(images, slice(None))
    kind = f"{images.dtype} {images.shape[1:]}".encode()
    return images, [_hash(np.ascontiguousarray(image).data, kind) for image in images]


def _hash(content: Any, kind: bytes = b"file") -> bytes:
    return hashlib.blake2b(
        content, digest_size=16, person=hashlib.sha256(kind).digest()[:16]
    ).digest()

"""Image files as an array that decodes only the rows in use."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairvision.base.decoded_cache import Cache, stamp
from fairvision.base.image_decoder import Decoder
from fairvision.base.lazy_images import LazyImages
from fairvision.exceptions import BadImageError, InputError

__all__ = ["ImageFiles"]

_PIECE = 21_845  # bytes that are read of a large file at a time to know it again
_BATCH = 256  # images decoded at a time where all of them are read


def _content_hash(path: str) -> bytes:
    """A hash of a file. An unreadable file gets the hash of no bytes; decoding it raises."""
    digest = hashlib.sha256()
    if not os.path.isfile(path):  # a pipe could take forever
        return digest.digest()
    with contextlib.suppress(OSError), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        places = (0, (size - _PIECE) // 2, size - _PIECE) if size > 3 * _PIECE else (0,)
        digest.update(size.to_bytes(8, "little"))
        for place in places:
            file.seek(place)
            digest.update(file.read(_PIECE if len(places) > 1 else -1))
    return digest.digest()


class _Reader:
    """Shared by an ImageFiles and its subsets: settings, cache, threads, a count."""

    def __init__(
        self, paths: Sequence[str], decoder: Decoder, n_threads: int, cache: Any | None
    ) -> None:
        self.paths = paths
        self.decoder = decoder
        self.n_threads = n_threads
        self.cache = None if cache is None else Cache(cache, paths, decoder)
        self.n_decoded = 0

    def _decode_into(self, images: NDArray[np.uint8], rows: NDArray[np.intp]) -> dict[int, str]:
        errors = {}
        for i, row in enumerate(rows.tolist()):
            try:
                images[i] = self.decoder.read(self.paths[row])
            except BadImageError as error:
                errors[row] = str(error)
        return errors

    def decode(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.uint8], dict[int, str]]:
        """The images of `rows`, black where one is bad, and the errors by row."""
        images = np.zeros((len(rows), *self.decoder.shape), dtype=np.uint8)
        if self.n_threads > 1 and len(rows) > 4:
            # A few jobs per thread: one job per file would add about a tenth to its cost.
            parts = (np.array_split(whole, 4 * self.n_threads) for whole in (images, rows))
            with ThreadPoolExecutor(self.n_threads) as pool:
                failed = list(pool.map(self._decode_into, *parts))
        else:
            failed = [self._decode_into(images, rows)]
        self.n_decoded += len(rows)
        return images, {row: text for errors in failed for row, text in errors.items()}

    def _batches(self) -> Iterator[tuple[NDArray[np.uint8], dict[int, str]]]:
        for start in range(0, len(self.paths), _BATCH):
            yield self.decode(np.arange(start, min(start + _BATCH, len(self.paths))))

    def _cached(self) -> tuple[NDArray[np.uint8], dict[int, str]] | None:
        if self.cache is None:
            return None
        if self.cache.open() is None:
            self.cache.write(self._batches())
        return self.cache.open()

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        cached = self._cached()
        if cached is None:
            images, errors = self.decode(rows)
        else:
            images, errors = np.asarray(cached[0][rows]), cached[1]
        for row in rows.tolist() if errors else ():
            if row in errors:
                raise BadImageError(errors[row])
        return images

    def errors(self) -> dict[int, str]:
        """Try every image once; the errors by row."""
        cached = self._cached()
        if cached is not None:
            return cached[1]
        return {row: text for _, failed in self._batches() for row, text in failed.items()}


class ImageFiles(LazyImages):
    """Image files as a lazy array of shape (n_samples, n_channels, height, width).

    It has the ``shape``, ``dtype`` and ``ndim`` of a uint8 array. Indexing rows
    (by a slice, integers, or a mask) gives a smaller ImageFiles and decodes
    nothing, so :func:`~sklearn.model_selection.train_test_split` and
    cross-validation cost nothing; an integer, or :func:`numpy.asarray`, decodes.

    Parameters
    ----------
    paths : sequence of str or path-like
        One file per image: JPEG, PNG, WebP, BMP, GIF, TIFF or PPM.
    image_size : int or (height, width), default=64
        Size in pixels to which every image is scaled.
    mode : {"RGB", "L"}, default="RGB"
        Three channels, or one grey channel.
    resize : {"crop", "squash"}, default="crop"
        Scale the shorter side and crop the middle, or squash to the size.
        Photographs are rotated first, as their EXIF entry says.
    cache : path-like or None, default=None
        Folder for the decoded images, uint8, used by later runs. The first read
        decodes *all* files of this object, not only the rows in use.
    n_threads : int or None, default=None
        Threads that decode a batch; None takes the number of cores, at most 8.
    max_pixels : int, default=50_000_000
        Files whose header states more are refused before they are decoded.
    pixel_max : float or None, default=None
        The value of white in grey files of more than 8 bits, such as 4095 for X-rays of 12 bits.
        None takes what the header says (TIFF, PPM), else 65535 if the file has values above 32767;
        others are refused.

    Notes
    -----
    Transparency is dropped: a pixel has its colour, however transparent it is.

    Attributes
    ----------
    paths : list of str
        One per row.
    n_decoded : int
        Files decoded so far, by this object and all subsets of the same one.

    Raises
    ------
    BadImageError
        On reading, naming the file that is missing, truncated, too large or no image.

    Examples
    --------
    >>> from fairvision.datasets import ImageFiles
    >>> images = ImageFiles(["a.jpg", "b.jpg", "c.jpg"], image_size=32)
    >>> images.shape, images[1:].shape, images.n_decoded
    ((3, 3, 32, 32), (2, 3, 32, 32), 0)
    """

    reads_in_threads = True

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        image_size: int | tuple[int, int] = 64,
        mode: Literal["RGB", "L"] = "RGB",
        resize: Literal["crop", "squash"] = "crop",
        cache: str | os.PathLike[str] | None = None,
        n_threads: int | None = None,
        max_pixels: int = 50_000_000,
        pixel_max: float | None = None,
    ) -> None:
        if isinstance(paths, (str, os.PathLike)):
            raise InputError(f"paths must be a list of files; got the single {os.fspath(paths)!r}.")
        height, width = map(int, np.broadcast_to(image_size, 2))
        decoder = Decoder(height, width, mode, resize, max_pixels, pixel_max)
        threads = min(8, os.cpu_count() or 1) if n_threads is None else n_threads
        files = [os.fspath(path) for path in paths]
        self._reader = _Reader(files, decoder, threads, cache)
        super().__init__(len(files), decoder.shape)

    @property
    def paths(self) -> list[str]:
        return [self._reader.paths[row] for row in self.rows.tolist()]

    @property
    def settings(self) -> dict[str, Any]:
        """`image_size`, `mode`, `resize` and `pixel_max`, to read other files in the same way."""
        decoder = self._reader.decoder
        settings = {name: getattr(decoder, name) for name in ("mode", "resize", "pixel_max")}
        return {"image_size": (decoder.height, decoder.width), **settings}

    @property
    def is_stored(self) -> bool:  # type: ignore[override]
        return self._reader.cache is not None

    @property
    def n_decoded(self) -> int:
        return self._reader.n_decoded

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        return self._reader.read(rows)

    def decode(self) -> tuple[NDArray[np.uint8], dict[int, str]]:
        """Read every image once.

        Returns
        -------
        images : ndarray of shape (n_samples, n_channels, height, width), uint8
            Black where a file cannot be read.
        errors : dict of int to str
            The error of each such row, naming the file.
        """
        images, errors = self._reader.decode(self.rows)
        places = {row: place for place, row in enumerate(self.rows.tolist())}
        return images, {places[row]: error for row, error in errors.items()}

    def fingerprint(self) -> str:
        """A hash of the files' content, row by row, and of how they are decoded.

        It is the same for a copy in another folder. Of a file above 64 KB the size, the beginning,
        the middle and the end are read.
        """
        digest = hashlib.sha256(repr(asdict(self._reader.decoder)).encode())
        with ThreadPoolExecutor(max(1, self._reader.n_threads)) as pool:
            for content in pool.map(_content_hash, self.paths, chunksize=64):
                digest.update(content)
        return digest.hexdigest()[:32]

    def identities(self) -> list[str]:
        """Path, size, modification time and settings of each file."""
        settings = repr(self._reader.decoder)
        return [f"{os.path.abspath(path)}\0{stamp(path)}\0{settings}" for path in self.paths]

    def without_bad(self) -> tuple[ImageFiles, dict[int, str]]:
        """Read every image once and leave out those that cannot be read.

        Returns
        -------
        images : ImageFiles
        errors : dict of int to str
            The error of each bad row of this object, naming the file.
        """
        bad = self._reader.errors() if len(self) else {}
        errors = {i: bad[row] for i, row in enumerate(self.rows.tolist()) if row in bad}
        good = np.array([i not in errors for i in range(len(self))], dtype=bool)
        return self.subset(self.rows[good]), errors

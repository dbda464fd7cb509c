"""Decoded images on disk, believed only when complete."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.base import atomic_write
from fairvision.datasets._decode import Decoder
from fairvision.exceptions import DatasetError

__all__ = ["Cache"]

_VERSION = 1  # of the decoding; another one makes other keys
_ABANDONED = 600.0  # seconds without a new batch, after which whoever wrote a file is gone


def _stamp(path: str) -> str:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):  # a name that no file can have is a ValueError
        return "missing"
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _key(paths: Sequence[str], decoder: Decoder) -> str:
    """A hash of all that decides the pixels: files, their sizes and times, settings."""
    key = hashlib.sha256(json.dumps([_VERSION, asdict(decoder)], sort_keys=True).encode())
    for path in paths:
        name = os.path.abspath(path).encode("utf-8", "surrogatepass")
        key.update(b"\0" + name + b"\0" + _stamp(path).encode())
    return key.hexdigest()[:32]


class Cache:
    """All images of a list of files as one uint8 array in a folder.

    The name of the file is a hash of paths, sizes, modification times and
    settings, so a changed photograph or setting makes another cache. It is
    written beside and moved into place at the end: a process that was killed
    leaves a temporary file, never a cache that is believed.

    Parameters
    ----------
    folder : path
        Created if it is not there.
    paths : sequence of str
    decoder : Decoder
    """

    def __init__(self, folder: str | os.PathLike[str], paths: Sequence[str], decoder: Decoder):
        self.folder = Path(folder)
        self.shape = (len(paths), *decoder.shape)
        self._sources = paths, decoder
        self.name = _key(paths, decoder)
        self._opened: tuple[NDArray[np.uint8], dict[int, str]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would travel as its whole content; the other side opens its own.
        return {**self.__dict__, "_opened": None}

    @property
    def path(self) -> Path:
        """Where the array is, or will be."""
        return self.folder / f"{self.name}.npy"

    def open(self) -> tuple[NDArray[np.uint8], dict[int, str]] | None:
        """The array (a memory map) and the errors of bad images by row; None if not there."""
        if self._opened is None and self.path.exists():
            # Whatever someone else did to the files, at worst they are written anew.
            with contextlib.suppress(Exception):
                images = np.lib.format.open_memmap(self.path, mode="r")  # unpickles nothing
                errors = json.loads(self.path.with_suffix(".json").read_text("utf-8"))
                errors = {int(row): str(text) for row, text in errors.items()}
                kind = images.shape, images.dtype, images.flags.c_contiguous
                if kind == (self.shape, np.uint8, True):
                    self._opened = images, errors
        return self._opened

    def write(self, batches: Iterator[tuple[NDArray[np.uint8], dict[int, str]]]) -> None:
        """Write all images, given in order as batches with the errors of their rows."""
        self._sweep()
        header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        errors: dict[int, str] = {}
        with _written(self.path) as file:
            # Written rather than mapped: on a full disk a write is an error, a map a crash.
            np.lib.format.write_array_header_1_0(file, header)
            for images, failed in batches:
                file.write(images.tobytes())
                errors.update(failed)
            if _key(*self._sources) != self.name:
                raise DatasetError(
                    f"images changed while they were decoded into the cache {str(self.folder)!r}. "
                    "Wait until they are all there, and load them anew."
                )
            # First, since it is the array that makes the cache count as complete.
            with _written(self.path.with_suffix(".json")) as notes:
                notes.write(json.dumps(errors).encode())

    def _sweep(self) -> None:
        """Remove what a killed process left of this cache; who still writes has just done so."""
        for part in self.folder.glob(f".{self.name}*.partial"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _ABANDONED:
                    part.unlink()


@contextlib.contextmanager
def _written(path: Path) -> Iterator[Any]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, shared=True) as file:
            yield file
    except OSError as error:
        raise DatasetError(
            f"cache {str(path)!r} cannot be written: {error.strerror or error}. "
            "Free some space, name another folder, or pass cache=None."
        ) from error

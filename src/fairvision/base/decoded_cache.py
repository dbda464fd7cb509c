"""Decoded images on disk, used only when complete."""

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

from fairvision.base.files import atomic_write
from fairvision.base.image_decoder import Decoder
from fairvision.exceptions import DatasetError

__all__ = ["Cache", "stamp"]

_VERSION = 1  # of the decoding; a new version makes new keys
_ABANDONED = 600.0  # seconds without a new batch after which a writer counts as dead


def stamp(path: str) -> str:
    """Size and modification time of a file, as text."""
    try:
        stat = os.stat(path)
    except (OSError, ValueError):  # an impossible file name is a ValueError
        return "missing"
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _key(paths: Sequence[str], decoder: Decoder) -> str:
    """A hash of everything that affects the pixels: files, their sizes and times, settings."""
    key = hashlib.sha256(json.dumps([_VERSION, asdict(decoder)], sort_keys=True).encode())
    for path in paths:
        name = os.path.abspath(path).encode("utf-8", "surrogatepass")
        key.update(b"\0" + name + b"\0" + stamp(path).encode())
    return key.hexdigest()[:32]


class Cache:
    """All images of a list of files as one uint8 array in a folder.

    The name of the file is a hash of paths, sizes, modification times and
    settings, so a changed photograph or setting makes another cache. It is written
    to a temporary file and renamed at the end: a killed process leaves a temporary
    file, never an incomplete cache.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
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
        # Pickling a memory map would copy its content; the copy opens the file again.
        return {**self.__dict__, "_opened": None}

    @property
    def path(self) -> Path:
        """Where the array is, or will be."""
        return self.folder / f"{self.name}.npy"

    def open(self) -> tuple[NDArray[np.uint8], dict[int, str]] | None:
        """The array (a memory map) and the errors of bad images by row; None without a cache."""
        if self._opened is None and self.path.exists():
            # Files that are damaged in any way are written again.
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
                    "Wait until they are complete, and load them again."
                )
            # First, since it is the array that makes the cache count as complete.
            with _written(self.path.with_suffix(".json")) as notes:
                notes.write(json.dumps(errors).encode())

    def _sweep(self) -> None:
        """Remove files that a killed process left; a file that changed lately is still written."""
        for unfinished in self.folder.glob(f".{self.name}*.partial"):
            with contextlib.suppress(OSError):
                if time.time() - unfinished.stat().st_mtime > _ABANDONED:
                    unfinished.unlink()


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

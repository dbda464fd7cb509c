"""Maps on disk, identified by the input that they were computed from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.base import atomic_write
from fairvision.exceptions import InputError
from fairvision.nn import fingerprint

__all__ = ["MapCache"]


class MapCache:
    """One file for each batch of pictures, named by a hash of net, settings and pixels.

    So a changed picture, net or setting never gets an old map, an interrupted scan resumes, and
    several processes may share a folder.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    net : str
        `fairvision.nn.fingerprint` of the net and its settings.
    compute : callable
        Makes maps of pictures.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        net: str,
        compute: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> None:
        self.folder = Path(folder)
        self.net = net
        self.compute = compute

    def get(self, images: NDArray[Any]) -> NDArray[Any]:
        """The stored maps of these pictures, or new maps from `compute`, which are then stored."""
        path = self._path(images)
        # A file that cannot be read is computed anew, whatever happened to it.
        with contextlib.suppress(Exception), path.open("rb") as file:
            maps = np.load(file, allow_pickle=False)
            if isinstance(maps, np.ndarray) and len(maps) == len(images):
                return maps
        maps = self.compute(images)
        self._write(path, maps)
        return maps

    def _path(self, images: NDArray[Any]) -> Path:
        return self.folder / f"{fingerprint(self.net, images)}.npy"

    def _write(self, path: Path, maps: NDArray[Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, shared=True) as file:
                np.save(file, maps)
        except OSError as error:
            raise InputError(
                f"cache folder {str(self.folder)!r} cannot be written: "
                f"{error.strerror or error}. Name another folder, or pass cache=None."
            ) from error

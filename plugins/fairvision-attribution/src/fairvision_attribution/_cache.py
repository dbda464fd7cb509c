"""Maps kept on disk, found again by what they were computed from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fairvision.exceptions import InputError

__all__ = ["MapCache", "fingerprint"]


def fingerprint(module: nn.Module, *settings: Any) -> bytes:
    """A hash of a net's weights and of the settings it is used with."""
    key = hashlib.sha256(repr(settings).encode())
    for name, tensor in module.state_dict().items():
        key.update(name.encode())
        key.update(tensor.detach().cpu().numpy().tobytes())
    return key.digest()


class MapCache:
    """One file for each batch of pictures, named by a hash of net, settings and pixels.

    So a changed picture, net or setting is never answered with an old map, a
    scan that was cut off goes on where it stopped, and several processes may
    share a folder: files are written beside and moved into place.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    net : bytes
        From `fingerprint`.
    compute : callable
        Makes maps of pictures.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        net: bytes,
        compute: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> None:
        self.folder = Path(folder)
        self.net = net
        self.compute = compute

    def get(self, images: NDArray[Any]) -> NDArray[Any]:
        """What was kept for these pictures, or what `compute` makes of them, which is kept."""
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
        key = hashlib.sha256(self.net + repr((images.shape, images.dtype.str)).encode())
        key.update(np.ascontiguousarray(images).tobytes())
        return self.folder / f"{key.hexdigest()[:32]}.npy"

    def _write(self, path: Path, maps: NDArray[Any]) -> None:
        temporary = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(suffix=".part", dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                np.save(file, maps)
            os.replace(temporary, path)
        except OSError as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            raise InputError(
                f"cache folder {str(self.folder)!r} cannot be written: "
                f"{error.strerror or error}. Name another folder, or pass cache=None."
            ) from error

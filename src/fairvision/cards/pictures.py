"""Measurements of a data set's pictures: size, mode, brightness, copies, unreadable files."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.base import is_images
from fairvision.cards.copies import THUMBNAIL, near_copies
from fairvision.datasets import ImageFiles

__all__ = ["Pictures", "read_pictures"]

_BATCH = 256


@dataclass(frozen=True, eq=False)
class Pictures:
    """Every picture of a data set in numbers.

    Attributes
    ----------
    table : DataFrame
        By row, without those that cannot be read: `size` ("178 x 218"), `width`, `height`, `mode`,
        `format` ("" in memory), `brightness` and `contrast` (mean and standard deviation of the
        grey levels, 0 to 255), `content` (a hash) and `copies`, the number of its set of near
        copies or -1.
    errors : dict of int to str
        The error of each row that cannot be read.
    """

    table: pd.DataFrame
    errors: dict[int, str]


def read_pictures(images: Any) -> Pictures | None:
    """Read every picture once; None for features and maps.

    Parameters
    ----------
    images : ImageFiles, LazyImages or ndarray of shape (n_samples, n_channels, height, width)
    """
    if not is_images(images):
        return None
    errors: dict[int, str] = {}
    rows = np.arange(len(images))
    if isinstance(images, ImageFiles):
        small = {**images.settings, "image_size": THUMBNAIL, "mode": "L", "resize": "squash"}
        pixels, errors = ImageFiles(images.paths, **small).decode()
        rows = np.delete(rows, list(errors))
        thumbnails, paths = pixels[rows, 0], images[rows].paths
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            results = list(pool.map(_measure_file, paths, chunksize=64))
    else:
        batches = [
            _from_memory(np.asarray(images[rows[start : start + _BATCH]]))
            for start in range(0, len(rows), _BATCH)
        ]
        thumbnails = np.concatenate([batch[0] for batch in batches])
        results = [fact for batch in batches for fact in batch[1]]
    table = pd.DataFrame(
        results, columns=["width", "height", "mode", "format", "content"], index=rows
    )
    flat = thumbnails.reshape(-1, THUMBNAIL[0] * THUMBNAIL[1])
    table["size"] = table["width"].astype(str) + " x " + table["height"].astype(str)
    table["brightness"], table["contrast"] = flat.mean(1), flat.std(1)
    table["copies"] = near_copies(thumbnails, table["content"].to_numpy())
    return Pictures(table, errors)


def _measure_file(path: str) -> tuple[int, int, str, str, str]:
    from PIL import Image

    with open(path, "rb") as file:
        content = hashlib.file_digest(file, "blake2b").hexdigest()
        file.seek(0)
        with Image.open(file) as image:  # the header alone
            return image.width, image.height, image.mode, image.format or "", content


def _from_memory(pixels: NDArray[Any]) -> tuple[NDArray[np.uint8], list[tuple[Any, ...]]]:
    """Thumbnails and measurements of a batch of arrays."""
    from PIL import Image

    if pixels.dtype != np.uint8:
        pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    _, n_channels, height, width = pixels.shape
    mode = {1: "L", 3: "RGB"}.get(n_channels, f"{n_channels} channels")
    size = THUMBNAIL[::-1]
    thumbnails = [
        np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))
        for grey in pixels.mean(1).astype(np.uint8)
    ]
    contents = [hashlib.blake2b(image.tobytes()).hexdigest() for image in pixels]
    return np.stack(thumbnails), [(width, height, mode, "", content) for content in contents]

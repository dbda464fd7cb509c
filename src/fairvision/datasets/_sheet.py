"""Many images on one sheet, to look at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fairvision.base.images import check_images
from fairvision.exceptions import InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["contact_sheet"]


def contact_sheet(images: Any, *, n_columns: int = 10, gap: int = 2, scale: int = 1) -> Image.Image:
    """Lay images out on one white sheet, row by row.

    Parameters
    ----------
    images : array-like of shape (n_samples, n_channels, height, width)
        uint8, or floating in 0..1.
    n_columns : int, default=10
    gap : int, default=2
        White pixels around each image.
    scale : int, default=1
        Each pixel becomes `scale` x `scale` pixels.

    Returns
    -------
    PIL.Image.Image
        Save it with ``.save("sheet.png")``.
    """
    from PIL import Image

    if n_columns < 1 or gap < 0 or scale < 1:
        raise InputError(
            f"n_columns={n_columns}, gap={gap}, scale={scale}: pass n_columns and scale of 1 or "
            "more, and a gap of 0 or more."
        )
    pixels = np.asarray(check_images(images))
    if pixels.dtype != np.uint8:
        pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    pixels = pixels.repeat(scale, axis=2).repeat(scale, axis=3)
    pixels = np.broadcast_to(pixels, (len(pixels), 3, *pixels.shape[2:])).transpose(0, 2, 3, 1)
    height, width = pixels.shape[1] + gap, pixels.shape[2] + gap
    n_columns = min(n_columns, len(pixels))
    n_rows = math.ceil(len(pixels) / n_columns)
    sheet = np.full((n_rows * height + gap, n_columns * width + gap, 3), 255, dtype=np.uint8)
    for i, image in enumerate(pixels):
        top, left = divmod(i, n_columns)
        top, left = top * height + gap, left * width + gap
        sheet[top : top + height - gap, left : left + width - gap] = image
    return Image.fromarray(sheet)

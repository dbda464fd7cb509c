"""Many small pictures painted at once: shapes by signed distance, edges antialiased.

Only additions, products, roots and comparisons touch the pixels, so the bytes do not
depend on how the rows are cut into chunks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "Patch", "cover"]

Floats = NDArray[np.float32]


def cover(distance: Floats, edge: Floats) -> Floats:
    """Share of a pixel inside a shape: 1 well inside (negative), 0 outside.

    Parameters
    ----------
    distance : ndarray of shape (n, height, width)
        Signed distance to the outline.
    edge : ndarray of shape (n, 1, 1)
        Width of the soft edge, in the same unit.
    """
    share = distance * (np.float32(-1) / edge)
    share += np.float32(0.5)
    return np.clip(share, 0, 1, out=share)


@dataclass(frozen=True)
class Patch:
    """A rectangle of all pictures, with face coordinates of its pixels.

    Attributes
    ----------
    x, y : ndarray of shape (n, height, width)
        Face coordinates: right and down, the face about from -0.6 to 0.7.
    edge : ndarray of shape (n, 1, 1)
    where : tuple of two slices
        Rows and columns of the canvas.
    """

    x: Floats
    y: Floats
    edge: Floats
    where: tuple[slice, slice]

    def ellipse(self, cx: Any, cy: Any, rx: Any, ry: Any, *, mirrored: bool = False) -> Floats:
        """Coverage of an ellipse, or of it and its mirror image left of the nose."""
        x = np.abs(self.x) if mirrored else self.x
        level = ((x - cx) * (1 / rx)) ** 2
        level += ((self.y - cy) * (1 / ry)) ** 2
        level -= 1
        # The level grows by 2 / radius a unit near the outline: half a radius makes it a distance.
        level *= np.minimum(rx, ry) / 2
        return cover(level, self.edge)


class Canvas:
    """`n` pictures of ``size x size`` pixels, each with a pose of its own.

    Parameters
    ----------
    size : int
    shift_x, shift_y, scale, turn, soft : ndarray of shape (n, 1, 1)
        Pose of the face in the picture, whose sides run from -1 to 1; `turn` is the
        tangent of the angle, `soft` the width of edges in pixels.
    tags : iterable of str
        Names whose visible share of every pixel is kept.
    """

    def __init__(
        self,
        size: int,
        shift_x: Floats,
        shift_y: Floats,
        scale: Floats,
        turn: Floats,
        soft: Floats,
        tags: Iterable[str] = (),
    ) -> None:
        n, pixel = len(scale), np.float32(2 / size)
        axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * pixel - 1
        self.size = size
        self.rows, self.columns = axis[None, :, None], axis[None, None, :]
        cosine = 1 / np.sqrt(1 + turn * turn)
        self._turn = (cosine / scale, turn * cosine / scale)
        self._pose = (shift_x, shift_y, cosine * scale, turn * cosine * scale)
        across, down = self.columns - shift_x, self.rows - shift_y
        self.x = self._turn[0] * across + self._turn[1] * down
        self.y = self._turn[0] * down - self._turn[1] * across
        self.edge = pixel * soft / scale
        self._margin = pixel * float(soft.max())
        self.image = np.zeros((n, 3, size, size), dtype=np.float32)
        self.visible = {tag: np.zeros((n, size, size), dtype=np.float32) for tag in tags}

    def whole(self) -> Patch:
        """All pixels."""
        return Patch(self.x, self.y, self.edge, (slice(None), slice(None)))

    def patch(self, left: Any, right: Any, top: Any, bottom: Any) -> Patch:
        """The pixels that show a rectangle in face coordinates, in any of the poses."""
        shift_x, shift_y, cosine, sine = self._pose
        corners = [(x, y) for x in (left, right) for y in (top, bottom)]
        across = [shift_x + cosine * x - sine * y for x, y in corners]
        down = [shift_y + sine * x + cosine * y for x, y in corners]
        where = (self._span(down), self._span(across))
        return Patch(self.x[:, *where], self.y[:, *where], self.edge, where)

    def _span(self, values: list[Floats]) -> slice:
        low = min(float(v.min()) for v in values) - self._margin
        high = max(float(v.max()) for v in values) + self._margin
        ends = ((low + 1) / 2 * self.size - 1, (high + 1) / 2 * self.size + 1)
        start, stop = (min(max(int(end), 0), self.size) for end in ends)
        return slice(start, max(stop, start + 1) if start < self.size else self.size)

    def paint(self, patch: Patch, alpha: Floats, colour: Any, *tags: str) -> None:
        """Lay a colour over a patch.

        Parameters
        ----------
        alpha : ndarray of shape (n, height, width)
            0 leaves the pixel, 1 hides what was there.
        colour : sequence of 3 arrays that broadcast to `alpha`
        *tags : str
            What this layer shows.
        """
        # In this form alpha = 1 leaves no trace, not even a rounding, of what was there.
        keep = 1 - alpha
        for channel, value in enumerate(colour):
            pixels = self.image[:, channel, *patch.where]
            pixels *= keep
            pixels += alpha * value
        for tag, share in self.visible.items():
            pixels = share[:, *patch.where]
            pixels *= keep
            if tag in tags:
                pixels += alpha

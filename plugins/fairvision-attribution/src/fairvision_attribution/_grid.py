"""Where patches lie on a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairvision.exceptions import InputError
from fairvision_attribution._algorithm import coverage

__all__ = ["PatchGrid"]

_SMALLEST = 4  # pixels: below, the nets here have nothing left to look at
_MOST = 49  # positions along an axis that `grid=None` takes at most, as in the paper


@dataclass(frozen=True)
class PatchGrid:
    """Square patches at even distances, the first and the last at the picture's edges.

    Position i is in row ``i // n_columns``, column ``i % n_columns`` of the grid.

    Parameters
    ----------
    height, width : int
        Of the picture, in pixels.
    patch : int
        Height and width of a patch, in pixels.
    n_rows, n_columns : int
        Positions along each axis.

    Examples
    --------
    >>> from fairvision_attribution import PatchGrid
    >>> PatchGrid.fit((128, 128), 32, 49).stride
    (2, 2)
    """

    height: int
    width: int
    patch: int
    n_rows: int
    n_columns: int

    @classmethod
    def fit(cls, image: tuple[int, int], patch_size: int | None, grid: Any) -> PatchGrid:
        """A grid for pictures of this (height, width), or why there is none.

        Parameters
        ----------
        image : tuple (height, width)
        patch_size : int or None
            None takes a quarter of the shorter side.
        grid : int, tuple (n_rows, n_columns) or None
            None takes the closest positions of which there are 49 at most.

        Raises
        ------
        InputError
            Naming the nearest grids that fit.
        """
        patch = max(min(image) // 4, _SMALLEST) if patch_size is None else patch_size
        if not isinstance(patch, (int, np.integer)) or not _SMALLEST <= patch <= min(image):
            raise InputError(
                f"patch_size is {patch_size!r}; pass an int of {_SMALLEST} up to the picture's "
                f"shorter side, {min(image)}, or None for a quarter of it."
            )
        axes = []
        for n, size in zip(_pair(grid), image, strict=True):
            fitting = _fitting(size, int(patch))
            if n is None:
                n = max([g for g in fitting if g <= _MOST], default=fitting[0])
            if n not in fitting:
                raise InputError(_misfit(n, size, int(patch), fitting))
            axes.append(int(n))
        return cls(int(image[0]), int(image[1]), int(patch), *axes)

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels from one position to the next, down and across."""
        return (
            (self.height - self.patch) // max(self.n_rows - 1, 1),
            (self.width - self.patch) // max(self.n_columns - 1, 1),
        )

    def __len__(self) -> int:
        return self.n_rows * self.n_columns

    def spread(self, n: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """At most `n` rows and columns of the grid, evenly spread, the outer ones among them."""
        rows, columns = (
            np.unique(np.rint(np.linspace(0, g - 1, g if n is None else min(n, g))).astype(int))
            for g in (self.n_rows, self.n_columns)
        )
        return rows, columns

    @cached_property
    def coverage(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The two matrices that make pixels of regions (see `pixel_map`)."""
        down, across = self.stride
        return (
            coverage(self.height, self.patch, down, self.n_rows),
            coverage(self.width, self.patch, across, self.n_columns),
        )


def _pair(grid: Any) -> tuple[Any, Any]:
    if isinstance(grid, (tuple, list)) and len(grid) == 2:
        return tuple(grid)
    return grid, grid


def _fitting(size: int, patch: int) -> list[int]:
    """Positions along an axis with a whole stride that leaves no pixel uncovered."""
    room = size - patch
    if room == 0:
        return [1]
    return [room // stride + 1 for stride in range(patch, 0, -1) if room % stride == 0]


def _misfit(n: Any, size: int, patch: int, fitting: list[int]) -> str:
    near = fitting
    if isinstance(n, (int, np.integer)):
        below, above = [g for g in fitting if g < n], [g for g in fitting if g > n]
        near = [*below[-1:], *above[:1]]
    return (
        f"grid is {n!r}, which does not fit {size} pixels in patches of {patch}: the stride "
        f"({size} - {patch}) / (grid - 1) must be a whole number of 1 to {patch} pixels. The "
        f"nearest that fit: {' and '.join(map(str, near))}."
    )

"""Looking at many patches of each picture with a trained net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fairvision.nn import scale, to_device
from fairvision_attribution._algorithm import Confidence, confidence, interpolation, roughness
from fairvision_attribution._net import RegionNet

__all__ = ["Scanner"]

Floats = NDArray[Any]  # float32; numpy types a product of them as float64


@dataclass(frozen=True)
class Scanner:
    """A net and how it looks at pictures.

    Parameters
    ----------
    module : RegionNet
    n_scanned : int or None
        Rows and columns of the grid to look at; None looks at all.
    coarse_to_fine : float
        Share of the other positions to look at after all.
    confidence : {"neg_entropy", "top_softmax", "margin"}
    mixed_precision : bool
    """

    module: RegionNet
    n_scanned: int | None
    coarse_to_fine: float
    confidence: Confidence
    mixed_precision: bool

    def regions(self, images: NDArray[Any]) -> Floats:
        """Region maps (n, A, n_rows, n_columns): coarse ones, interpolated, then refined."""
        grid = self.module.grid
        rows, columns = grid.spread(self.n_scanned)
        places = rows[:, None] * grid.n_columns + columns[None]
        coarse = self._confidences(images, places.reshape(-1))
        coarse = coarse.reshape(*coarse.shape[:2], *places.shape)
        if places.size == len(grid):
            return coarse
        down, across = interpolation(rows, grid.n_rows), interpolation(columns, grid.n_columns)
        maps: Floats = np.ascontiguousarray(down @ coarse @ across.T)
        n_fine = round(self.coarse_to_fine * (len(grid) - places.size))
        if n_fine:
            rough = (down @ roughness(coarse) @ across.T).sum(1).reshape(len(images), -1)
            rough[:, places.reshape(-1)] = -1  # known already
            self._refine(images, maps, np.argpartition(-rough, n_fine - 1, axis=1)[:, :n_fine])
        return maps

    def _refine(self, images: NDArray[Any], maps: Floats, places: NDArray[np.intp]) -> None:
        """Look at each picture's own places (n, m)."""
        flat = maps.reshape(*maps.shape[:2], -1)
        confidences = self._confidences(images, places)
        np.put_along_axis(flat, places[:, None].repeat(flat.shape[1], 1), confidences, axis=2)

    def _confidences(self, images: NDArray[Any], places: NDArray[Any]) -> Floats:
        """(n, A, m) at places (m,) or (n, m)."""
        parts = [confidence(p, self.confidence) for p in self.probabilities(images, places)]
        return torch.stack(parts, 1).cpu().numpy()

    def probabilities(self, images: NDArray[Any], places: NDArray[Any]) -> list[torch.Tensor]:
        """Of each attribute's levels at each place: (n, m, K), float32."""
        module = self.module.eval()
        weight = module.head.weight
        precision = torch.autocast(
            weight.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision
        )
        with torch.inference_mode(), precision:
            pixels = scale(images, weight.device, weight.dtype)
            logits = module.scan(pixels, to_device(torch.from_numpy(places), weight.device))
            # What is left is cheap, and does badly with few digits.
            return [block.softmax(-1) for block in logits.float().split(module.sizes, dim=-1)]

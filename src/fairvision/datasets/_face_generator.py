"""Drawn faces as a function of a latent vector with known meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from fairvision.datasets._attributes import Correlation
from fairvision.datasets._faces import LEVELS, attribute_codes, attribute_frame, draw, traits
from fairvision.datasets._nuisances import NUISANCES
from fairvision.exceptions import DatasetError

__all__ = ["FaceGenerator"]


class FaceGenerator:
    """Draw the face that a vector of standard normal numbers describes.

    It is a perfect generative model of :func:`load_faces`: standard normal latents
    give faces of exactly that distribution, with known attributes.

    Parameters
    ----------
    image_size : int, default=64
    probabilities, correlation : mapping or None
        As in :func:`load_faces`.

    Attributes
    ----------
    names : tuple of str
        Meaning of each number: the attributes, then pose, light, colours, shapes.
    latent_dim : int

    Examples
    --------
    >>> import numpy as np
    >>> from fairvision.datasets import FaceGenerator
    >>> generator = FaceGenerator(32)
    >>> z = np.zeros((2, generator.latent_dim))
    >>> z[:, generator.names.index("hat")] = -2, 2
    >>> generator.attributes(z)["hat"].tolist()
    [False, True]
    >>> generator(z).shape
    (2, 3, 32, 32)
    """

    def __init__(
        self,
        image_size: int = 64,
        *,
        probabilities: Mapping[str, Any] | None = None,
        correlation: Correlation | None = None,
    ) -> None:
        self.image_size = image_size
        self.probabilities = probabilities
        self.correlation = correlation
        self.names = (*LEVELS, *NUISANCES)
        self.latent_dim = len(self.names)

    def _uniforms(self, latents: ArrayLike) -> dict[str, NDArray[np.float64]]:
        z = np.asarray(latents, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise DatasetError(f"latents have shape {z.shape}; expected (n, {self.latent_dim}).")
        # ndtr of a large number is 1, which lies outside [0, 1).
        uniform = np.minimum(ndtr(z), np.nextafter(1, 0))
        return dict(zip(self.names, uniform.T, strict=True))

    def attributes(self, latents: ArrayLike) -> pd.DataFrame:
        """The attributes of the faces, one per column."""
        uniforms = self._uniforms(latents)
        return attribute_frame(attribute_codes(uniforms, self.probabilities, self.correlation))

    def __call__(self, latents: ArrayLike) -> NDArray[np.uint8]:
        """Draw faces.

        Parameters
        ----------
        latents : array-like of shape (n, latent_dim)

        Returns
        -------
        ndarray of shape (n, 3, image_size, image_size), uint8
            The grain of the picture is the same in every call.
        """
        uniforms = self._uniforms(latents)
        codes = attribute_codes(uniforms, self.probabilities, self.correlation)
        grain = np.random.default_rng(0)
        return draw({**codes, **traits(uniforms)}, self.image_size, grain)[0]

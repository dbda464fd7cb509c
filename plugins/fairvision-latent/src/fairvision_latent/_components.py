"""Features of a pretrained net as their own latents: the generator of the preset "pretrained"."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import Tensor

from fairvision.base import are_maps, check_images, take
from fairvision.exceptions import InputError

__all__ = ["COMPONENTS", "Components", "check_features", "linear_judge"]

COMPONENTS = "components"
_N_COMPONENTS = 25
_LARGEST = np.float32(1e30)  # latents are float32


class Components:
    """The principal components of features, and beside them what these leave out.

    A latent is the whitened leading components of a row, followed by the rest of the
    row. Hyperplanes are sought among the components alone, so a partner keeps the rest,
    and the latent of a row gives back the row.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...), floating
        The features of the training rows.
    n_components : int or None
        None takes 25.
    seed : int
        Of the solver.
    """

    exact = True

    def __init__(self, X: NDArray[Any], n_components: int | None, seed: int) -> None:
        flat = _flat(X)
        n = min(n_components or _N_COMPONENTS, len(flat) - 1, flat.shape[1])
        self.shape = X.shape[1:]
        self.basis = make_pipeline(StandardScaler(), PCA(n, whiten=True, random_state=seed))
        self.basis.fit(flat)
        self.generator = self.basis
        self.n_searched = n

    def latents(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """None can be drawn; the sampler has refused before."""
        raise NotImplementedError

    def encode(self, X: Any) -> NDArray[np.float32]:
        """Latents of rows, of shape (n, n_components + n_features)."""
        flat = _flat(take(X, slice(None)))
        z = self.basis.transform(flat)
        return np.hstack([z, flat - self.basis.inverse_transform(z)]).astype(np.float32)

    def images(self, z: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Features of latents, of shape (n, ...)."""
        leading, rest = z[:, : self.n_searched], z[:, self.n_searched :]
        flat = self.basis.inverse_transform(leading.astype(np.float64)) + rest
        return flat.reshape(-1, *self.shape).astype(dtype)


def _flat(X: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(X, dtype=np.float64).reshape(len(X), -1)


def linear_judge() -> Pipeline:
    """Logistic regression on standardised features, for a few hundred rows."""
    flat = FunctionTransformer(_flat)
    return make_pipeline(flat, StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))


def check_features(X: Any) -> Any:
    """Check a table of features or the maps of an inner layer.

    Raises
    ------
    InputError
        If X is images, or a value is not finite.
    """
    if len(getattr(X, "shape", ())) == 4 and not are_maps(X):
        raise InputError(
            f"generator={COMPONENTS!r} takes features of a net, and X of shape {tuple(X.shape)} is "
            "images. Put fairvision.nn.FeatureExtractor before it (compare(features=...), "
            "`--features`), or take another generator."
        )
    if are_maps(X):
        return check_images(X, maps=True)
    if isinstance(X, Tensor):
        X = X.detach().cpu()
    values = np.asarray(X)
    if values.ndim != 2 or not values.shape[1] or values.dtype.kind not in "fiu":
        raise InputError(
            f"X is {type(X).__name__} of {values.dtype}, shape {values.shape}; "
            f"generator={COMPONENTS!r} takes an array of numbers of shape (n_samples, n_features)."
        )
    broken = np.flatnonzero(~(np.abs(values) < _LARGEST).all(0))
    if len(broken):
        raise InputError(
            f"Column {broken[0]} of X has values that are missing, infinite or beyond "
            f"{_LARGEST:g}; all must be finite. Fill in or drop them."
        )
    return values

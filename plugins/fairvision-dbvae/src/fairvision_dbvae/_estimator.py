"""`DBVAEClassifier`: the debiasing variational autoencoder as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from fairvision.exceptions import InputError
from fairvision.nn import Objective, ObjectiveClassifier
from fairvision_dbvae._module import DBVAEModule
from fairvision_dbvae._objective import DBVAEObjective, debiased_classes
from fairvision_dbvae._windows import check_windows, window_scores

__all__ = ["DBVAEClassifier"]


class DBVAEClassifier(ObjectiveClassifier):
    """Classify images, and show those with rare latent features more often (DB-VAE).

    A variational autoencoder [1]_ shares the classifier's encoder and learns how the images of a
    class vary. Before each epoch, every image of that class is encoded; the rarer its latents
    within its class, the likelier it is drawn. Group labels are never used. `sample_weight` is
    the number of images that a row stands for, in the loss and in the densities.

    Parameters
    ----------
    backbone : str, nn.Module or callable, default="small-cnn"
        The encoder, as in `TorchClassifier`, like every parameter not listed here.
        ``"fairvision_dbvae:lab_encoder"`` is the one of the authors' lab.
    n_latents : int, default=16
    alpha : float or None, default=0.05
        Smoothing: added to the probability of a histogram's bin. 0 debiases most; infinity
        samples uniformly, and so does None, without encoding.
    bins : int, default=10
        Of each latent's histogram.
    aggregate : {"product", "max"}, default="product"
        How latents combine: over all of them as in the paper, or the rarest one
        as in the authors' code.
    min_effective : float, default=0.25
        Smallest effective sample size, 1 / sum W^2, as a share of the class. The product over
        many latents can concentrate on a few images, which are then shown repeatedly; it is
        flattened until this share is reached. 0 leaves it as published.
    debias_classes : label, list of labels, "all" or None, default=None
        Classes that are reconstructed and resampled, each with its own densities. None takes the
        second of two classes, or all of more than two.
    class_shares : {"equal", "data"}, default="equal"
        Shares of the classes in a batch: equal, as in the authors' code, or as in the training
        data.
    classification_weight, reconstruction_weight, kl_weight : float, \
default=1.0, 1.0, 3e-3
        c1, c2 and c3 of the loss. Reconstruction is the mean absolute error a
        pixel, KL is summed over latents. The authors' lab has 5e-4 for the last: then
        every latent carries something, and what is rare in one hides among the others.
    decoder_filters : tuple of int, default=(64, 32, 16)
        Filters from the smallest map on; each one doubles the size.
    keep_images : int, default=8
        How many of the most and of the least likely training images to keep in
        the fitted estimator, for the report; 0 keeps none.
    windows : sequence of float or None, default=None
        Slide windows over each picture at prediction, as the paper does over whole
        photographs: their sides as shares of the largest that fits, such as
        ``(1.0, 0.7, 0.5)``. The debiased class of two is predicted if any window shows it;
        pictures may then have any size. None classifies the picture as it is; `fit`, `transform`
        and `reconstruct` always do.
    window_stride : float, default=0.25
        Largest step between windows, as a share of their side.
    window_threshold : float, default=0.5
        Probability from which a window makes `predict` return the class. With more windows, a
        false alarm is more likely.

    Attributes
    ----------
    sample_probabilities_ : ndarray of shape (n_samples,)
        How likely each training row would be drawn next; 0 for rows of weight 0.
    sample_odds_ : ndarray of shape (n_samples,)
        The same against a uniform draw from the row's class: 1 is as often.
    latent_densities_ : dict of label to LatentDensities
        Of each debiased class that has a row of some weight.
    debiased_classes_ : ndarray
    n_debiased_ : int
        Training rows of these classes.
    extreme_rows_ : tuple of two ndarrays
        Training rows of the debiased classes, most and least likely first, against
        a uniform draw from their class.
    extreme_images_ : tuple of two ndarrays of shape (keep_images, n_channels, height, width)
        The images of these rows. `fairvision.save` leaves them out, because a shared model should
        not contain photographs.

    References
    ----------
    .. [1] A. Amini, A. P. Soleimany, W. Schwarting, S. N. Bhatia, D. Rus: Uncovering
       and Mitigating Algorithmic Bias through Learned Latent Structure. AIES 2019,
       doi:10.1145/3306618.3314243.

    Examples
    --------
    >>> from fairvision.datasets import load
    >>> from fairvision_dbvae import DBVAEClassifier
    >>> faces = load("faces", n_samples=200, image_size=32, random_state=0)
    >>> model = DBVAEClassifier(max_epochs=2, random_state=0).fit(faces.images, faces.target)
    >>> model.transform(faces.images[:5]).shape
    (5, 16)
    >>> model.reconstruct(faces.images[:5]).shape
    (5, 3, 32, 32)
    """

    objective_class: ClassVar = DBVAEObjective

    def __init__(
        self,
        backbone: Any = "small-cnn",
        *,
        windows: Sequence[float] | None = None,
        window_stride: float = 0.25,
        window_threshold: float = 0.5,
        **params: Any,
    ) -> None:
        super().__init__(backbone, **params)
        self.windows = windows
        self.window_stride = window_stride
        self.window_threshold = window_threshold

    def fit_objective(self, objective: Objective, X: Any, y: ArrayLike, **metadata: Any) -> Self:
        """As `TorchClassifier.fit_objective`; checks the windows first."""
        if self.windows is not None:
            check_windows(self.windows, self.window_stride, self.window_threshold)
            _check_two_classes(len(set(np.asarray(y).tolist())))
        return super().fit_objective(objective, X, y, **metadata)

    @property
    def _n_features_out(self) -> int:
        return self.module_.n_latents

    def __fairvision_getstate__(self) -> dict[str, Any]:
        state = super().__fairvision_getstate__()
        if "extreme_images_" in state:
            nothing = np.empty((0, *self.input_shape_), dtype=np.uint8)
            state["extreme_images_"] = nothing, nothing
        return state

    # -- use ----------------------------------------------------------------------

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class, float64 of shape (n_samples, n_classes).

        With `windows`, that of the debiased class is the highest of any window.
        """
        check_is_fitted(self)
        if self.windows is None:
            return super().predict_proba(X)
        check_windows(self.windows, self.window_stride, self.window_threshold)
        if not hasattr(self, "input_shape_"):
            raise InputError("windows need the size of the net's images: pass input_shape.")
        code, score = self._window_class(), super().predict_proba
        highest = window_scores(
            lambda crops: score(crops)[:, code],
            X,
            shape=self.input_shape_[1:],
            windows=self.windows,
            stride=self.window_stride,
            device=next(self.module_.parameters()).device,
        )
        return np.stack([1 - highest, highest][:: 1 if code else -1], axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class, or the one that some window found, shape (n_samples,)."""
        if self.windows is None:
            return super().predict(X)
        code = self._window_class()
        detected = self.predict_proba(X)[:, code] >= self.window_threshold
        return self.classes_[np.where(detected, code, 1 - code)]

    def _window_class(self) -> int:
        """The code of the class that windows look for."""
        _check_two_classes(len(self.classes_))
        debiased = debiased_classes(self.debias_classes, self.classes_)
        return self.classes_.tolist().index(debiased[-1])

    def __fairvision_module__(self) -> torch.nn.Module:
        if self.windows is not None:
            raise InputError(
                "windows cannot be exported: a net takes whole pictures. Export with "
                "set_params(windows=None), and slide the windows in your own code."
            )
        return super().__fairvision_module__()

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The latents' means mu, shape (n_samples, n_latents)."""
        return self.apply(X, lambda x: self.module_.mu(x))

    def reconstruct(self, X: Any) -> NDArray[np.float32]:
        """Images drawn from their latents' means, in 0..1, of the shape of X.

        Only the debiased classes were ever reconstructed in training; others
        come out as the nearest that these can do.
        """
        return self.apply(X, lambda x: self.module_.decode(self.module_.mu(x)))

    def traverse(self, x: Any, latent: int, values: ArrayLike) -> NDArray[np.float32]:
        """One image drawn again and again with one latent set to other values.

        Parameters
        ----------
        x : array-like of shape (n_channels, height, width), or one such row
        latent : int
        values : array-like of shape (n_values,)
            For orientation: ``model.transform(X)[:, latent]``.

        Returns
        -------
        ndarray of shape (n_values, n_channels, height, width), in 0..1
        """
        check_is_fitted(self)
        image = np.asarray(x)
        image = image[None] if image.ndim == 3 else image
        if len(image) != 1:
            raise InputError(f"x holds {len(image)} images; traverse takes one: x[i].")
        if not 0 <= latent < self.module_.n_latents:
            raise InputError(
                f"latent is {latent!r}; the model has latents 0 to {self.module_.n_latents - 1}."
            )
        z = np.repeat(self.transform(image), len(np.atleast_1d(values)), axis=0)
        z[:, latent] = np.atleast_1d(values)
        weight = next(self.module_.parameters())
        with torch.inference_mode():
            drawn = self.module_.decode(torch.from_numpy(z).to(weight.device))
        return drawn.cpu().numpy()

    @classmethod
    def from_module(
        cls,
        module: torch.nn.Module,
        *,
        classes: ArrayLike,
        input_shape: tuple[int, int, int] | None = None,
        **params: Any,
    ) -> Self:
        """Wrap the ``module_`` of a DB-VAE that is already trained.

        Parameters
        ----------
        module, classes, input_shape, **params
            As in `TorchClassifier.from_module`.

        Raises
        ------
        InputError
            If the module has no latents; wrap it in a `TorchClassifier` then.
        """
        if not isinstance(module, DBVAEModule):
            raise InputError(
                f"module is a {type(module).__name__}, which has no latents. Wrap it with "
                "TorchClassifier.from_module, or pass it as the backbone and fit."
            )
        params = {"n_latents": module.n_latents, **params}
        return super().from_module(module, classes=classes, input_shape=input_shape, **params)


def _check_two_classes(n_classes: int) -> None:
    if n_classes != 2:
        raise InputError(f"windows need two classes, but y has {n_classes}. Pass windows=None.")

"""`AttributionNoise`: hide where a bias attribute can be seen, in training pictures only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from fairvision.base import (
    Groups,
    all_or_nothing,
    check_choices,
    check_groups,
    check_images,
    check_labels,
    check_numbers,
    check_pixels,
    independence_weights,
)
from fairvision.exceptions import InputError
from fairvision_attribution._algorithm import top_mask
from fairvision_attribution._noise import NOISES, Noise, NoisyImages
from fairvision_attribution._regions import RegionClassifier, as_labels

__all__ = ["AttributionNoise"]

Scope = Literal["general", "specific"]


@dataclass(eq=False, repr=False)
class AttributionNoise(TransformerMixin, BaseEstimator):
    """Hide the region that shows a bias attribute, so that a classifier cannot learn from it.

    A `RegionClassifier` finds where a patch of a training picture reveals the attribute; the
    pixels of which it is surest are hidden [1]_. Rows, labels and groups are kept; pictures are
    unchanged at prediction. Use it before a classifier in `fairvision.compose`, or as a
    transformer in a `Pipeline`: `fit_transform` hides the region, `transform` returns pictures
    unchanged.

    The bias attribute is `sensitive_features`. With several columns, a pixel is hidden if it
    shows any of them.

    It can only hide an attribute that has its own place in the picture. An attribute that shows
    everywhere, such as a skin tone, can still be read from the other pixels; if it shows where
    the target does, the target is hidden too. Check `mean_map_` and validation data.

    Parameters
    ----------
    scope : {"general", "specific"}, default="general"
        "general" hides the same region in all pictures, from the mean map; "specific" hides each
        picture's own region.
    noise : {"mask", "gaussian", "swap"}, default="swap"
        Content of the hidden region: mid-grey or additive Gaussian noise, as in the paper;
        ``"swap"`` inserts the same region of another training picture, drawn at random.
    quantile : float, default=0.8
        Hide the pixels above this quantile of the map; 0.8 hides a fifth. Choose it on
        validation data (`quantile_curve`), never on test data.
    std : float, default=0.5
        Of the Gaussian noise, where the range of a pixel is 0..1.
    attribution : RegionClassifier, FrozenEstimator, mapping or None, default=None
        The classifier that finds the region. A `FrozenEstimator` is used as it is; any other is
        cloned and fitted on the training rows. A mapping holds parameters of a
        `RegionClassifier`.
    decorrelate : bool, default=True
        Fit `attribution` with weights that make target and attribute independent. Without them,
        it also finds the target's own region in biased data.
    fresh : bool, default=True
        Whether to draw new noise each time a picture is read, hence in each epoch; otherwise
        once.
    device : str, default="auto"
        Of the region classifier, where `attribution` is None or a mapping.
    random_state : int, RandomState, Generator or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    attribution_ : RegionClassifier
        Fitted.
    mean_map_ : ndarray of shape (height, width)
        The general map, in 0..1.
    mask_ : ndarray of bool, shape (height, width)
        What of it is above the quantile: the region of scope "general".
    sensitive_features_ : of the rows that `fit_resample` returned, as they were given

    References
    ----------
    .. [1] S. De Coninck, S. Leroux, P. Simoens: Mitigating Bias Using Model-Agnostic Data
       Attribution. CVPR Workshops 2024, arXiv:2405.05031.

    Examples
    --------
    >>> import fairvision as fv
    >>> from fairvision.datasets import load_faces
    >>> from fairvision_attribution import AttributionNoise
    >>> faces = load_faces(200, 32, target="smiling", sensitive="hat", random_state=0)
    >>> noise = AttributionNoise(attribution={"max_epochs": 2}, random_state=0)
    >>> model = fv.compose(pre=noise, model=fv.nn.TorchClassifier(max_epochs=2, random_state=0))
    >>> model = model.fit(faces.images, faces.target, sensitive_features=faces.sensitive_features)
    >>> model.sampler_.mask_.mean().round(1)
    np.float64(0.2)
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    scope: Scope = "general"
    noise: Noise = "swap"
    _: KW_ONLY
    quantile: float = 0.8
    std: float = 0.5
    attribution: Any = None
    decorrelate: bool = True
    fresh: bool = True
    device: str = "auto"
    random_state: Any = None
    verbose: int = 0

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Find the region.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
        y : array-like of shape (n_samples,)
            The target, which is not to be hidden.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
            The bias attribute, or several.

        Returns
        -------
        self

        Raises
        ------
        GroupsRequiredError
            Without `sensitive_features`.
        InputError
            If no class shows two levels of the attribute: target and attribute then cannot be
            separated.
        """
        self._check_parameters()
        X = check_pixels(X, type(self).__name__)
        targets = check_labels(y, n_samples=len(X))
        groups = check_groups(
            sensitive_features, len(X), required_by=type(self).__name__, min_groups=2
        )
        assert groups is not None
        regions = self._region_classifier()
        if isinstance(regions, RegionClassifier):
            regions.fit(X, as_labels(groups), sample_weight=self._weights(targets, groups))
        else:
            regions = regions.estimator
        self.attribution_: RegionClassifier = regions
        check_images(X, fitted_shape=regions.input_shape_)
        self.mean_map_ = _over_attributes(regions.mean_map_, regions)
        self.mask_ = top_mask(self.mean_map_, self.quantile)
        return self

    def fit_resample(
        self, X: Any, y: ArrayLike, *, sensitive_features: Any = None
    ) -> tuple[Any, ArrayLike]:
        """Find the region and hide it.

        Returns
        -------
        X_new : NoisyImages, or ndarray if not `fresh`
            The same rows, treated.
        y : as it was given
        """
        self.fit(X, y, sensitive_features=sensitive_features)
        self.sensitive_features_ = sensitive_features
        return self._hide(X), y

    def fit_transform(self, X: Any, y: Any = None, *, sensitive_features: Any = None) -> Any:
        """Find the region and hide it: the pictures of `fit_resample`."""
        return self.fit_resample(X, y, sensitive_features=sensitive_features)[0]

    def transform(self, X: Any) -> Any:
        """Return the pictures unchanged: only training pictures are treated."""
        check_is_fitted(self)
        return check_images(X, fitted_shape=self.attribution_.input_shape_)

    def _hide(self, X: Any) -> Any:
        images = check_images(X)
        hidden = NoisyImages(
            images,
            self.mask_ if self.scope == "general" else self.masks(images),
            noise=self.noise,
            std=self.std,
            random_state=self.random_state,
        )
        return hidden if self.fresh else np.asarray(hidden)

    def masks(self, X: Any) -> NDArray[np.bool_]:
        """The region of each picture's own map, shape (n_samples, height, width)."""
        check_is_fitted(self)
        return np.concatenate(
            [
                top_mask(_over_attributes(maps, self.attribution_), self.quantile)
                for _, maps in self.attribution_.iter_pixel_maps(X)
            ]
        )

    def _region_classifier(self) -> Any:
        attribution = self.attribution
        if attribution is None or isinstance(attribution, Mapping):
            common = {
                "device": self.device, "random_state": self.random_state, "verbose": self.verbose
            }  # fmt: skip
            try:
                return RegionClassifier(**{**common, **(attribution or {})})
            except TypeError as error:
                raise InputError(f"attribution={dict(attribution or {})!r}: {error}") from error
        inner = attribution.estimator if isinstance(attribution, FrozenEstimator) else attribution
        if not isinstance(inner, RegionClassifier):
            raise InputError(
                f"attribution is {attribution!r}; pass a RegionClassifier, one in a "
                "FrozenEstimator, a mapping of its parameters, or None."
            )
        if isinstance(attribution, FrozenEstimator):
            check_is_fitted(inner)
            return attribution
        return clone(attribution)

    def _weights(self, targets: NDArray[Any], groups: Groups) -> NDArray[np.float64] | None:
        if not self.decorrelate:
            return None
        weights = independence_weights(targets, groups.codes, equal_groups=True)
        if not weights.any():
            raise InputError(
                "every class of y shows only one level of sensitive_features, so a map cannot "
                "separate the attribute from the class. Fit a RegionClassifier on data in which "
                "they vary and pass attribution=FrozenEstimator(it), or pass decorrelate=False."
            )
        return weights

    def _check_parameters(self) -> None:
        check_choices(self, scope=("general", "specific"), noise=NOISES)
        check_numbers(self, "quantile", high=1)


def _over_attributes(maps: NDArray[Any], regions: RegionClassifier) -> NDArray[Any]:
    """The maximum of several attributes' maps at each pixel."""
    return maps.max(-3) if len(regions.attribute_names_) > 1 else maps

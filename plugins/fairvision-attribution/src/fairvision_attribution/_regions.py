"""`RegionClassifier`: where in a picture can an attribute be seen?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from fairvision.base import (
    Groups,
    all_or_nothing,
    check_choices,
    check_groups,
    check_images,
    check_numbers,
    progress_bar,
    take,
)
from fairvision.exceptions import InputError
from fairvision.nn import ObjectiveClassifier, as_seed, computes_bfloat16, fingerprint
from fairvision_attribution._algorithm import CONFIDENCES, Confidence, min_max, pixel_map
from fairvision_attribution._cache import MapCache
from fairvision_attribution._calibration import Calibration, Reliability
from fairvision_attribution._objective import RegionObjective
from fairvision_attribution._scan import Scanner

__all__ = ["RegionClassifier", "as_labels"]

_PIXELS = 2**18  # of the pictures that are scanned at a time
_PIXELS_CUDA = 2**22

Floats = NDArray[Any]  # float32; numpy types a product of them as float64


class RegionClassifier(ObjectiveClassifier):
    """Predict an attribute from single patches, to find where in the pictures it shows.

    A net learns the attribute from random patches of each picture and their positions [1]_. Its
    confidence is high at positions whose patches show the attribute, and low elsewhere. The
    confidence at all positions is the *region map*; each pixel's mean over the patches that cover
    it is the *pixel map*.

    One net can learn several attributes: pass `y` of shape (n_samples, n_attributes). `predict`
    classifies whole pictures from all their patches.

    Parameters
    ----------
    backbone : {"patch-cnn", "cifar-resnet18"} or callable, default="patch-cnn"
        The second is the paper's. A callable gets (n_channels + 1, k, k) and gives an
        ``nn.Sequential`` that begins with an ``nn.Conv2d`` and ends in features.
    patch_size : int or None, default=None
        k, in pixels. None is a quarter of the picture's shorter side.
    grid : int, (int, int) or None, default=None
        Positions along each axis. None takes the closest that are 49 at most.
    confidence : {"neg_entropy", "top_softmax", "margin"}, default="neg_entropy"
        All are 0 for a guess and 1 for certainty.
    patches_per_image : int, default=8
        In each step; 1 in the paper.
    label_smoothing : float, default=0.1
    lr_drop : int or None, default=None
        Divide the learning rate by 10 after every so many epochs; 40 in the paper.
    scan_grid : int or None, default=13
        Number of rows and columns of the grid that are scanned for a map; positions between them
        are interpolated. None scans all.
    coarse_to_fine : float, default=0.0
        Share of the interpolated positions to scan in a second step: those where the coarse map
        changes most.
    map_rows : int, default=400
        Training pictures, drawn at random, that `mean_map_` is the mean over.
    amp : bool or "auto", default="auto"
        Train and scan in bfloat16; softmax and confidence stay in float32. ``"auto"`` does so on a
        CUDA device that computes in it.
    cache : path or None, default=None
        Folder that caches region maps and, if `random_state` is an int, the trained net. Entries
        are identified by content.
    lr, weight_decay, max_epochs : default=3e-3, 0.01, 20
        As in `TorchClassifier`, like all other parameters; ``verbose=1`` also shows a
        bar while maps are made.

    Attributes
    ----------
    classes_ : ndarray, or list of ndarray where y has several columns
    attribute_names_ : tuple of str
    grid_ : PatchGrid
    mean_map_ : ndarray of shape (h, w), or (n_attributes, h, w)
        Mean of the pixel maps, scaled to 0..1: the general map.
    module_ : RegionNet

    References
    ----------
    .. [1] S. De Coninck, S. Leroux, P. Simoens: Mitigating Bias Using Model-Agnostic Data
       Attribution. CVPR Workshops 2024, arXiv:2405.05031.

    Examples
    --------
    >>> from fairvision.datasets import load_faces
    >>> from fairvision_attribution import RegionClassifier
    >>> faces = load_faces(200, 32, target="hat", random_state=0)
    >>> where = RegionClassifier(max_epochs=2, random_state=0).fit(faces.images, faces.target)
    >>> where.pixel_map(faces.images[:4]).shape
    (4, 32, 32)
    """

    objective_class: ClassVar = RegionObjective

    def __init__(
        self,
        backbone: Any = "patch-cnn",
        *,
        confidence: Confidence = "neg_entropy",
        coarse_to_fine: float = 0.0,
        map_rows: int = 400,
        lr: float = 3e-3,
        weight_decay: float = 0.01,
        max_epochs: int = 20,
        **params: Any,
    ) -> None:
        super().__init__(
            backbone, lr=lr, weight_decay=weight_decay, max_epochs=max_epochs, **params
        )
        self.confidence = confidence
        self.coarse_to_fine = coarse_to_fine
        self.map_rows = map_rows

    # -- training -----------------------------------------------------------------

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn to tell the attribute from patches.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
        y : array-like of shape (n_samples,) or (n_samples, n_attributes)
            The attribute, or several, of any type; a DataFrame's columns give names.
        sensitive_features : array-like, default=None
            Checked for length, and not used.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        self._check_scan()
        several = np.ndim(y) == 2 and np.shape(y)[1] > 1
        check_groups(sensitive_features, len(X))
        if several and self.warm_start:
            raise InputError(
                "warm_start works with one attribute, but y has several columns. Pass "
                "one column, or warm_start=False."
            )
        if several and self.class_weight is not None:
            raise InputError(
                f"class_weight={self.class_weight!r} works with one attribute, but y has several "
                "columns. Pass one column, or class_weight=None."
            )
        if several:
            attributes = check_groups(y, len(X), required_by="RegionClassifier", min_groups=2)
            assert attributes is not None
            first, labels = attributes.column(0), as_labels(attributes)
        else:
            name = getattr(y, "name", None)
            first = np.asarray(y)
            labels = pd.Series(np.asarray(y).ravel(), name="attribute" if name is None else name)
        self.fit_objective(
            self.make_objective(),
            X,
            first,
            sensitive_features=labels,
            sample_weight=sample_weight,
        )
        # In training they were the attributes, which are the target here.
        attributes, self.groups_ = self.groups_, None
        assert attributes is not None
        self.attribute_names_ = attributes.names
        self.classes_: Any = list(attributes.categories) if several else attributes.categories[0]
        self.mean_map_ = self._mean_map(check_images(X))
        return self

    def _check_scan(self) -> None:
        check_choices(self, confidence=CONFIDENCES)
        check_numbers(self, "map_rows", low=1, whole=True)
        check_numbers(self, "coarse_to_fine", high=1)

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self.module_.sizes

    def _mean_map(self, X: Any) -> Floats:
        rows = np.arange(len(X))
        if len(X) > self.map_rows:
            rng = np.random.default_rng(as_seed(self.random_state))
            rows = np.sort(rng.choice(len(X), self.map_rows, replace=False))
        total, n = np.zeros(()), 0
        for _, maps in self._region_batches(X[rows]):
            total, n = total + maps.sum(0, dtype=np.float64), n + len(maps)
        return self._squeeze(min_max(self._to_pixels((total / n).astype(np.float32)))[None])[0]

    # -- maps ---------------------------------------------------------------------

    def region_map(self, X: Any) -> Floats:
        """Confidence at each position of the grid.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)

        Returns
        -------
        ndarray of shape (n_samples, n_rows, n_columns), or (n_samples, n_attributes, ...)
            In 0..1.
        """
        return self._squeeze(np.concatenate([maps for _, maps in self._batches(X)]))

    def pixel_map(self, X: Any, *, normalize: bool = True) -> Floats:
        """Mean confidence of the patches that cover each pixel.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
        normalize : bool, default=True
            Whether to scale each map to 0..1.

        Returns
        -------
        ndarray of shape (n_samples, height, width), or (n_samples, n_attributes, ...)
        """
        maps = np.concatenate([self._to_pixels(images) for _, images in self._batches(X)])
        return self._squeeze(min_max(maps) if normalize else maps)

    def iter_pixel_maps(self, X: Any) -> Iterator[tuple[NDArray[np.int64], Floats]]:
        """The rows and pixel maps of a batch at a time, each map scaled to 0..1.

        For more pictures than maps would fit into memory.
        """
        for rows, images in self._batches(X):
            yield rows, self._squeeze(min_max(self._to_pixels(images)))

    def _batches(self, X: Any) -> Iterator[tuple[NDArray[np.int64], Floats]]:
        check_is_fitted(self)
        return self._region_batches(check_images(X, fitted_shape=self.input_shape_))

    def _region_batches(self, X: Any) -> Iterator[tuple[NDArray[np.int64], Floats]]:
        """Region maps of all attributes, (n, A, n_rows, n_columns), some pictures at a time."""
        scan = self._scanner.regions
        if self.cache is not None:
            settings = (self.scan_grid, self.coarse_to_fine, self.confidence, self._in_bfloat16)
            key = fingerprint(self.module_, repr((self.grid_, *settings)))
            scan = MapCache(self.cache, key, scan).get
        for rows in progress_bar(self._parts(len(X)), "maps", show=bool(self.verbose)):
            yield rows, scan(take(X, rows))

    def _parts(self, n: int) -> list[NDArray[np.int64]]:
        room = _PIXELS_CUDA if self.module_.head.weight.is_cuda else _PIXELS
        size = max(1, room // int(np.prod(self.input_shape_[1:])))
        return np.array_split(np.arange(n), range(size, n, size))

    @property
    def _scanner(self) -> Scanner:
        return Scanner(
            self.module_,
            self.scan_grid,
            self.coarse_to_fine,
            self.confidence,
            self._in_bfloat16,
        )

    @property
    def _in_bfloat16(self) -> bool:
        if self.accelerator is not None:
            return self.accelerator.mixed_precision == "bf16"
        if self.amp != "auto":
            return bool(self.amp)
        device = self.module_.head.weight.device
        return device.type == "cuda" and computes_bfloat16(device)

    def _to_pixels(self, regions: Floats) -> Floats:
        return pixel_map(regions, *self.grid_.coverage)

    def _squeeze(self, maps: Floats) -> Floats:
        """Without the axis of attributes, where there is one attribute."""
        return maps if len(self._sizes) > 1 else maps[:, 0]

    # -- how far to believe it --------------------------------------------------------

    def calibration(
        self, X: Any, y: ArrayLike, *, n_bins: int = 100
    ) -> Calibration | list[Calibration]:
        """Expected calibration error and reliability curve over all patches of some pictures.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
            Held out from training.
        y : array-like of shape (n_samples,) or (n_samples, n_attributes)
        n_bins : int, default=100

        Returns
        -------
        Calibration, or a list of them, one an attribute
        """
        check_is_fitted(self)
        X, codes = check_images(X, fitted_shape=self.input_shape_), self._codes(y, len(X))
        curves = [Reliability(n_bins) for _ in self._sizes]
        every = np.arange(len(self.grid_))
        for rows in progress_bar(self._parts(len(X)), "patches", show=bool(self.verbose)):
            probabilities = self._scanner.probabilities(take(X, rows), every)
            for curve, p, column in zip(curves, probabilities, codes[rows].T, strict=True):
                curve.add(p.cpu().numpy(), column)
        results = [c.result(name) for c, name in zip(curves, self.attribute_names_, strict=True)]
        return results if len(results) > 1 else results[0]

    def _codes(self, y: Any, n: int) -> NDArray[np.int64]:
        names = self.attribute_names_
        given = check_groups(y, n, required_by="calibration", names=names)
        assert given is not None
        categories = tuple(self.classes_) if len(names) > 1 else (self.classes_,)
        known = Groups(names, np.empty((0, len(names)), np.int64), categories)
        return known.encode(given)

    # -- whole pictures ---------------------------------------------------------------

    def predict_proba(self, X: Any) -> Any:
        """Probabilities for whole pictures: (n_samples, n_classes), or a list, one an attribute."""
        joined = self.apply(X, lambda x: torch.cat(self.module_.probabilities(x), 1))
        parts = np.split(joined, np.cumsum(self._sizes)[:-1], axis=1)
        return parts if len(parts) > 1 else parts[0]

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest level, shape (n_samples,), or (n_samples, n_attributes)."""
        probabilities = self.predict_proba(X)
        if isinstance(probabilities, list):
            columns = [c[p.argmax(1)] for c, p in zip(self.classes_, probabilities, strict=True)]
            alike = len({column.dtype.kind for column in columns}) == 1
            # Words beside numbers stay what they are: stacked, numpy makes words of both.
            return np.stack(columns if alike else [c.astype(object) for c in columns], axis=1)
        return self.classes_[probabilities.argmax(1)]

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean accuracy, over the attributes too."""
        right = np.asarray(y).reshape(len(X), -1) == self.predict(X).reshape(len(X), -1)
        weights = None if sample_weight is None else np.asarray(sample_weight)
        return float(np.average(right.mean(1), weights=weights))


def as_labels(groups: Groups) -> Any:
    """Groups in the form that `RegionClassifier.fit` takes, with their names."""
    columns = [groups.column(i) for i in range(len(groups.names))]
    if len(columns) == 1:
        return pd.Series(columns[0], name=groups.names[0])
    return pd.DataFrame(dict(zip(groups.names, columns, strict=True)))

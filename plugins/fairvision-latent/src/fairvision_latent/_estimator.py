"""`LatentPairSampler`: a sampler that adds generated pairs to the training images."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from torch import nn

from fairvision.base import (
    all_or_nothing,
    check_choices,
    check_groups,
    check_labels,
    check_numbers,
    check_pixels,
    code_labels,
    take,
)
from fairvision.exceptions import InputError, SavingError
from fairvision.nn import TorchClassifier, as_seed, choose_device
from fairvision_latent._algorithm import Variant
from fairvision_latent._components import COMPONENTS, Components, check_features, linear_judge
from fairvision_latent._gan import GAN_PRESETS, ProgressiveGAN
from fairvision_latent._groups import as_given, check_cells, check_protected, count_rows
from fairvision_latent._labels import Labellers, find_hyperplanes, split_cells
from fairvision_latent._pairs import Pairs, agreement, make_pairs
from fairvision_latent._source import Source

__all__ = ["LatentPairSampler"]

_JUDGED = 500
_RECUT = 500


# A dataclass writes each parameter once; its `__init__` stores them and does nothing else.
@dataclass(eq=False, repr=False)
class LatentPairSampler(BaseEstimator):
    """Add generated images in pairs that share the target and differ in the protected attribute.

    A generative model of the training images is searched for hyperplanes in its
    latent space that separate the target's values, and those of each protected
    attribute. Every latent gets a partner: the nearest one with the same score
    for the target and the opposite one for the protected attribute [1]_. In what
    is added, the two attributes are independent; with "components", in real rows and
    partners together.

    Parameters
    ----------
    generator : ProgressiveGAN, nn.Module, callable, str or None, default=None
        None trains ``ProgressiveGAN.from_preset("demo")``, which takes seconds and draws blurred
        images; "quick" and "paper" are its other presets, and any other string is the folder of a
        saved GAN. A `ProgressiveGAN` is cloned and fitted; in `sklearn.frozen.FrozenEstimator` it
        is used as it is, for any number of targets. A module or function maps latents (n,
        latent_dim) to images of X's size, in 0..1 or uint8. "components" is for features of a
        pretrained net: their principal components are the latents, and nothing is trained.
    generator_seed : int or None, default=None
        Seed of a GAN that is trained here; None draws one from `random_state`. With
        an int, the GAN is the same for every `random_state`.
    cache : path or None, default=None
        Folder for a GAN that is trained here. It is identified by its images,
        parameters and seed, so it is trained once for all targets, and resumed after
        an interrupt. Not used if neither `random_state` nor `generator_seed` is an int.
    latent_dim : int or None, default=None
        For a module or function without an attribute of this name; for "components"
        their number, 25 if None.
    variant : {"pair", "protected-only", "on-hyperplane"}, default="pair"
        "pair": partners keep the target's score. "protected-only": partners may change it.
        "on-hyperplane": partners lie on the protected hyperplane, between the groups, and keep
        the group of their latent.
    domain_dependent : bool, default=False
        A hyperplane of the target for each group.
    latents : {"normal", "encoded"}, default="normal"
        "encoded" takes the latents of the real images, by the generator's
        ``encode(images)``, and their own labels: no classifier is needed to label.
        "components" needs "encoded".
    n_pairs : int or None, default=None
        Latents that get partners. None takes as many as there are training rows;
        "encoded" latents are at most as many.
    n_hyperplane : int, default=3000
        Latents that the hyperplanes are fitted on; a third measures their accuracy.
    C : float, default=1.0
        Of the linear SVMs.
    classifier : classifier or None, default=None
        Labels generated images, a clone for each attribute; needs ``predict_proba``.
        None takes `TorchClassifier` with 10 epochs, for "components" logistic regression.
    reweigh_labels : bool, default=False
        Whether to train on real rows with weights that make target and protected attributes
        independent. This applies to the classifiers, if their `fit` takes sample_weight, and with
        "encoded" latents to the hyperplanes.
    threshold_fraction : float, default=0.2
        Share of the rows on which each classifier's cut is chosen, by F1.
    judge_fraction : float, default=0.3
        Share of the rows that the judges are trained on, the classifiers behind
        `label_agreement_`. 0 trains no judges.
    device : str, default="auto"
        Of a generator or classifier that is made here, and of modules.
    random_state : int, RandomState, Generator or None, default=None
    verbose : int, default=0
        1 shows a progress bar of the GAN.

    Attributes
    ----------
    generator_ : the generator that was used
    hyperplanes_ : dict of str to Hyperplane
        The target's and each protected attribute's, by name (``"target"``; with
        `domain_dependent` one ``"target | ..."`` a domain).
    labellers_ : Labellers or None
        Called with images, gives the labels of the target and the protected attributes.
    label_agreement_ : DataFrame or None
        Shares of partners that keep the target and flip the attribute, by
        classifiers trained on other rows. A row for each set of changed attributes.
    pairs_ : Pairs
        Latents and labels of what `fit_resample` added.
    sensitive_features_ : like the sensitive_features that were given
        Groups of the rows that `fit_resample` returned.
    table_ : DataFrame
        Rows of each (target, group) before and after.
    classes_ : ndarray of shape (2,)
    groups_ : Groups

    References
    ----------
    .. [1] V. V. Ramaswamy, S. S. Y. Kim, O. Russakovsky: Fair Attribute Classification
       through Latent Space De-biasing. CVPR 2021, arXiv:2012.01469.

    Examples
    --------
    >>> from fairvision.datasets import FaceGenerator, load_faces
    >>> from fairvision_latent import LatentPairSampler
    >>> faces = load_faces(400, 32, target="eyeglasses", sensitive="hat",
    ...                    correlation={("eyeglasses", "hat"): 0.8}, random_state=0)
    >>> sampler = LatentPairSampler(FaceGenerator(32), n_hyperplane=600, random_state=0)
    >>> X, y = sampler.fit_resample(faces.images, faces.target,
    ...                             sensitive_features=faces.sensitive_features)
    >>> len(faces.images), len(X), len(y), len(sampler.sensitive_features_)
    (400, 1200, 1200, 1200)
    """

    generator: Any = None
    _: KW_ONLY
    generator_seed: int | None = None
    cache: Any = None
    latent_dim: int | None = None
    variant: Variant = "pair"
    domain_dependent: bool = False
    latents: str = "normal"
    n_pairs: int | None = None
    n_hyperplane: int = 3000
    C: float = 1.0
    classifier: Any = None
    reweigh_labels: bool = False
    threshold_fraction: float = 0.2
    judge_fraction: float = 0.3
    device: str = "auto"
    random_state: Any = None
    verbose: int = 0

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Find the hyperplanes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
            uint8 in 0..255 or floating in 0..1, or a lazy image sequence; for
            "components" features, of shape (n_samples, n_features), or maps.
        y : array-like of shape (n_samples,)
            Two classes.
        sensitive_features : array-like of shape (n_samples,) or \
(n_samples, n_sensitive)
            Columns of two values each.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a target is absent in a group, an attribute has other than two
            values, a generator's images do not fit X, X is features and the generator
            not "components" (or the reverse), an SVM would have too few images on one
            side, or hyperplanes are parallel.
        """
        self._fit(X, y, sensitive_features)
        return self

    def _fit(self, X: Any, y: ArrayLike, sensitive_features: Any) -> tuple[Any, NDArray[np.bool_]]:
        of_features = _is_components(self.generator)
        X = check_features(X) if of_features else check_pixels(X, type(self).__name__)
        labels = self._check(X, y, sensitive_features)
        self._rng = np.random.default_rng(as_seed(self.random_state))
        self.n_features_in_ = int(X.shape[1])
        self._dtype = np.dtype(str(X.dtype).removeprefix("torch."))
        if of_features and self._dtype not in (np.float32, np.float64):
            self._dtype = np.dtype(np.float32)
        self.source_ = self._make_source(X)
        self.generator_ = self.source_.generator
        threshold, judge = self.threshold_fraction, self.judge_fraction
        label_rows, threshold_rows, judge_rows = split_cells(
            np.unique(labels, axis=0, return_inverse=True)[1].ravel(),
            (1 - threshold - judge, threshold, judge),
            self._rng,
        )
        classifier = self.classifier
        if classifier is None:
            small = TorchClassifier(max_epochs=10, device=self.device, deterministic=True)
            classifier = linear_judge() if of_features else small
        train = partial(
            Labellers.train,
            classifier,
            X,
            labels,
            ["target", *self.groups_.names],
            threshold_rows=threshold_rows,
            reweigh=self.reweigh_labels,
            rng=self._rng,
        )
        self.labellers_ = None
        if self.latents == "normal":
            self.labellers_ = train(rows=label_rows)
            z = self.source_.latents(_RECUT, self._rng.spawn(1)[0])
            self.labellers_ = self.labellers_.recut(self._images(z), labels.mean(0))
        self._find_hyperplanes(X, labels)
        self.label_agreement_ = None
        if len(judge_rows):
            judges = train(rows=judge_rows)
            # Pairs that were used for nothing else.
            pairs = self._pairs(*self._labelled(X, labels, _JUDGED))
            partners = [self._images(z) for z in pairs.partners]
            self.label_agreement_ = agreement(pairs, judges, self._images(pairs.z), partners)
        return X, labels

    @all_or_nothing
    def fit_resample(
        self, X: Any, y: ArrayLike, *, sensitive_features: Any = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Find the hyperplanes, and add pairs of generated images to the real ones.

        Returns
        -------
        X_new : ndarray of shape (n_new, n_channels, height, width)
            The real images, then those of `n_pairs` latents, then their partners,
            one block for each set of changed attributes. With "components" the latents
            are of real rows, so only the partners are added.
        y_new : ndarray of shape (n_new,)
            `sensitive_features_` has the groups of the same rows.
        """
        X, labels = self._fit(X, y, sensitive_features)
        n_pairs = len(X) if self.n_pairs is None else self.n_pairs
        self.pairs_ = self._pairs(*self._labelled(X, labels, n_pairs))
        own = not self.source_.exact  # else the images of the latents are the real rows
        drawn = self._images(self.pairs_.latents(own=own))
        after = np.concatenate([labels, self.pairs_.all_labels(own=own)])
        groups = replace(self.groups_, codes=after[:, 1:].astype(np.int64))
        self.sensitive_features_ = as_given(sensitive_features, groups)
        y_new = self.classes_[after[:, 0].astype(np.int64)]
        before = self.classes_[labels[:, 0].astype(np.int64)]
        counts = {"before": count_rows(before, self.groups_), "after": count_rows(y_new, groups)}
        self.table_ = pd.DataFrame(counts).fillna(0).astype(np.int64)
        real = take(X, np.arange(len(X))).astype(drawn.dtype, copy=False)
        return np.concatenate([real, drawn]), y_new

    def __fairvision_getstate__(self) -> dict[str, Any]:
        """Save unfitted samplers only: the fitted state is large, and prediction needs none."""
        if hasattr(self, "source_"):
            raise SavingError(
                "A fitted LatentPairSampler is not saved alone. Save the classifier that was "
                "trained on its pairs (the Resampled around both), clone(sampler), or its GAN: "
                "sampler.generator_.save(folder)."
            )
        return {}

    # -- input --------------------------------------------------------------------

    def _check(self, X: Any, y: ArrayLike, sensitive_features: Any) -> NDArray[np.bool_]:
        """Labels of the target and of the protected attributes, (n_samples, 1 + n_protected)."""
        self._check_parameters()
        targets = check_labels(y, n_samples=len(X))
        groups = check_groups(
            sensitive_features, len(X), required_by="LatentPairSampler", min_groups=2
        )
        assert groups is not None
        codes, self.classes_ = code_labels(targets)
        if len(self.classes_) != 2:
            raise InputError(
                f"y has {len(self.classes_)} classes; a hyperplane has two sides. Pass a target of "
                "two classes."
            )
        check_protected(groups)
        self.groups_ = groups
        labels = np.column_stack([codes, groups.codes]).astype(bool)
        # One row for each split of the data, and one more.
        check_cells(labels, groups, self.classes_, fewest=4 if self.judge_fraction else 3)
        return labels

    def _check_parameters(self) -> None:
        variants = ("pair", "protected-only", "on-hyperplane")
        check_choices(self, variant=variants, latents=("normal", "encoded"))
        if _is_components(self.generator) and self.latents != "encoded":
            raise InputError(
                f"generator={COMPONENTS!r} needs latents='encoded', but latents is "
                f"{self.latents!r}: features cannot be generated. Use the preset 'pretrained'."
            )
        check_numbers(self, "latent_dim", low=1, whole=True, optional=True)
        check_numbers(self, "C", low=1e-12)
        check_numbers(self, "n_hyperplane", low=60, whole=True)
        check_numbers(self, "n_pairs", low=1, whole=True, optional=True)
        threshold, judge = self.threshold_fraction, self.judge_fraction
        if not (threshold > 0 and judge >= 0 and threshold + judge < 1):
            raise InputError(
                f"threshold_fraction is {threshold!r}, judge_fraction {judge!r}; pass a "
                "threshold_fraction above 0 and a judge_fraction of 0 or more, below 1 together."
            )

    def _make_source(self, X: Any) -> Source | Components:
        generator = "demo" if self.generator is None else self.generator
        if _is_components(generator):
            rows = take(X, slice(None))
            return Components(rows, self.latent_dim, int(self._rng.integers(2**32)))
        if isinstance(generator, (str, Path)):
            if str(generator) in GAN_PRESETS:
                generator = ProgressiveGAN.from_preset(str(generator))
            else:
                generator = ProgressiveGAN.load(generator, device=self.device)
                return Source(generator, None, X.shape[1:], torch.device("cpu"))
        if isinstance(generator, ProgressiveGAN):
            generator = self._own(generator).fit(X)
        elif isinstance(generator, nn.Module):
            generator = clone(generator, safe=False)  # a copy, whose mode and device may change
        return Source(generator, self.latent_dim, X.shape[1:], choose_device(self.device))

    def _own(self, gan: ProgressiveGAN) -> ProgressiveGAN:
        """A copy to train here; if it has no seed, device or cache, it gets the sampler's."""
        gan = clone(gan).set_params(
            device=self.device if gan.device == "auto" else gan.device,
            verbose=max(self.verbose, gan.verbose),
        )
        # Drawn even if it is not used, so that the later draws are the same.
        drawn = int(self._rng.integers(2**32))
        seeds = [gan.random_state, self.generator_seed, self.random_state]
        if gan.random_state is None:
            seed = drawn if self.generator_seed is None else self.generator_seed
            gan.set_params(random_state=seed)
        known = next((seed for seed in seeds if seed is not None), None)
        if gan.checkpoint is None and gan.cache is None and isinstance(known, (int, np.integer)):
            gan.set_params(cache=self.cache)
        return gan

    # -- labels and hyperplanes ---------------------------------------------------

    def _images(self, z: NDArray[np.float32]) -> NDArray[Any]:
        """Generated images, in the dtype of the real ones."""
        return self.source_.images(z, self._dtype)

    def _labelled(
        self, X: Any, labels: NDArray[np.bool_], n: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """`n` latents (as many as there are, if they are of real images), and labels."""
        if self.latents == "encoded":
            rows = self._rng.permutation(len(X))[:n]
            return self.source_.encode(X[rows]), labels[rows]
        assert self.labellers_ is not None
        z = self.source_.latents(n, self._rng)
        return z, self.labellers_(self._images(z))

    def _find_hyperplanes(self, X: Any, labels: NDArray[np.bool_]) -> None:
        z, labels = self._labelled(X, labels, self.n_hyperplane)
        planes = find_hyperplanes(
            z[:, : self.source_.n_searched],
            labels,
            self.groups_,
            self.C,
            of_real_rows=self.latents == "encoded",
            reweigh=self.reweigh_labels,
            keeps_target=self.variant != "protected-only",
            domain_dependent=self.domain_dependent,
        )
        self._targets, self._protected = ([h.padded(z.shape[1]) for h in kind] for kind in planes)
        self.hyperplanes_ = {h.name: h for h in (*self._targets, *self._protected)}

    def _pairs(self, z: NDArray[np.float32], labels: NDArray[np.bool_]) -> Pairs:
        return make_pairs(z, labels, self._targets, self._protected, self.variant)


def _is_components(generator: Any) -> bool:
    return isinstance(generator, str) and generator == COMPONENTS

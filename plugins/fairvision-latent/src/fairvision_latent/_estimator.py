"""`LatentPairSampler`: real training images and generated pairs as a sampler."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from torch import nn

from fairvision.base import Groups, all_or_nothing, check_groups, check_images, take
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier, as_seed, choose_device
from fairvision_latent._algorithm import Hyperplane, Variant
from fairvision_latent._gan import GAN_PRESETS, ProgressiveGAN
from fairvision_latent._labels import Labellers, fit_hyperplane, split_cells
from fairvision_latent._pairs import Pairs, agreement, make_pairs
from fairvision_latent._source import Source

__all__ = ["LatentPairSampler"]

_CHOICES = {
    "variant": ("pair", "protected-only", "on-hyperplane"),
    "latents": ("normal", "encoded"),
}
_HELD_OUT = 1 / 3  # of the latents for the hyperplanes, as in the paper (5,000 of 15,000)
_JUDGED = 500
_RECUT = 500


class LatentPairSampler(BaseEstimator):
    """Add generated images in pairs that share the target and differ in the protected attribute.

    A generative model of the training images is searched for hyperplanes in its
    latent space that separate the target's values, and those of each protected
    attribute. Every latent gets a partner: the nearest one with the same score
    for the target and the opposite one for the protected attribute [1]_. In what
    is added, the two attributes are independent.

    Parameters
    ----------
    generator : ProgressiveGAN, nn.Module, callable, str or None, default=None
        None trains ``ProgressiveGAN.from_preset("demo")``, which takes seconds and
        shows it; "quick" and "paper" name its other presets, any other text a
        folder that it was saved to. An unfitted or bare `ProgressiveGAN` is cloned
        and fitted; in `sklearn.frozen.FrozenEstimator` it is used as it is, for as
        many targets as wanted. A module or function takes latents (n, latent_dim)
        and gives images of X's size, in 0..1 or uint8.
    generator_seed : int or None, default=None
        Of a GAN that is trained here; None takes one from `random_state`. With a
        number one GAN serves every `random_state`.
    cache : path or None, default=None
        Folder for a GAN that is trained here, found again by its images, parameters and
        seed: trained once, it serves every target, and one that was interrupted
        goes on. Not used where `random_state` and `generator_seed` are no ints.
    latent_dim : int or None, default=None
        Of a module or function without such an attribute.
    variant : {"pair", "protected-only", "on-hyperplane"}, default="pair"
        Partners with the target's score kept; without regard to it; or on the
        protected hyperplane, neither of one group nor of the other (they carry
        the group of the latent that they come from).
    domain_dependent : bool, default=False
        A hyperplane of the target for each group.
    latents : {"normal", "encoded"}, default="normal"
        "encoded" takes the latents of the real images, by the generator's
        ``encode(images)``, and their own labels: no classifier is needed to label.
    n_pairs : int or None, default=None
        Latents that get partners. None takes as many as there are training rows.
    n_hyperplane : int, default=3000
        Latents that the hyperplanes are found with; a third only measures them.
    C : float, default=1.0
        Of the linear SVMs.
    classifier : classifier or None, default=None
        Labels generated images, one clone an attribute; with ``predict_proba``.
        None takes `TorchClassifier` with 10 epochs.
    reweigh_labels : bool, default=False
        Whether the labelling classifiers see target and protected attributes
        weighted to be independent, if their `fit` takes sample_weight.
    validation_fraction : float, default=0.2
        Share of the rows that choose each classifier's cut, by F1.
    judge_fraction : float, default=0.3
        Share of the rows for the judges behind `label_agreement_`, which label
        nothing. 0 has no judges.
    device : str, default="auto"
        Of a generator or classifier that is made here, and of modules.
    random_state : int, RandomState, Generator or None, default=None
    verbose : int, default=0
        1 shows how far the GAN is.

    Attributes
    ----------
    generator_ : the generator that was used
    hyperplanes_ : dict of str to Hyperplane
        The target's and each protected attribute's, by name (``"target"``; with
        `domain_dependent` one ``"target | ..."`` a domain).
    labellers_ : Labellers or None
        Called with images, gives the labels of the target and the protected attributes.
    label_agreement_ : DataFrame or None
        Do partners keep the target and flip the attribute, in the eyes of
        classifiers trained on other rows? A row for each set of changed attributes.
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

    def __init__(
        self,
        generator: Any = None,
        *,
        generator_seed: int | None = None,
        cache: Any = None,
        latent_dim: int | None = None,
        variant: Variant = "pair",
        domain_dependent: bool = False,
        latents: str = "normal",
        n_pairs: int | None = None,
        n_hyperplane: int = 3000,
        C: float = 1.0,
        classifier: Any = None,
        reweigh_labels: bool = False,
        validation_fraction: float = 0.2,
        judge_fraction: float = 0.3,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.generator = generator
        self.generator_seed = generator_seed
        self.cache = cache
        self.latent_dim = latent_dim
        self.variant = variant
        self.domain_dependent = domain_dependent
        self.latents = latents
        self.n_pairs = n_pairs
        self.n_hyperplane = n_hyperplane
        self.C = C
        self.classifier = classifier
        self.reweigh_labels = reweigh_labels
        self.validation_fraction = validation_fraction
        self.judge_fraction = judge_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Self:
        """Find the hyperplanes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
            uint8 in 0..255 or floating in 0..1, or a lazy image sequence.
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
            values, a generator's images do not fit X, an SVM would have too few
            images on one side, or hyperplanes are parallel.
        """
        self._fit(X, y, sensitive_features)
        return self

    def _fit(self, X: Any, y: ArrayLike, sensitive_features: Any) -> tuple[Any, NDArray[np.bool_]]:
        X = check_images(X)
        labels = self._check(X, y, sensitive_features)
        self._rng = np.random.default_rng(as_seed(self.random_state))
        self.n_features_in_ = int(X.shape[1])
        self.source_ = self._make_source(X)
        self.generator_ = self.source_.generator
        label_rows, validation, judge_rows = split_cells(
            np.unique(labels, axis=0, return_inverse=True)[1].ravel(),
            (
                1 - self.validation_fraction - self.judge_fraction,
                self.validation_fraction,
                self.judge_fraction,
            ),
            self._rng,
        )
        self.labellers_ = None
        if self.latents == "normal":
            self.labellers_ = self._train_labellers(X, labels, label_rows, validation)
        self._find_hyperplanes(X, labels)
        self.label_agreement_ = None
        if len(judge_rows):
            judge = self._train_labellers(X, labels, judge_rows, validation)
            self.label_agreement_ = self._judge(X, labels, judge)
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
            one block for each set of changed attributes.
        y_new : ndarray of shape (n_new,)
            `sensitive_features_` has the groups of the same rows.
        """
        X, labels = self._fit(X, y, sensitive_features)
        n_pairs = len(X) if self.n_pairs is None else self.n_pairs
        self.pairs_ = self._pairs(*self._labelled(X, labels, n_pairs))
        dtype = _dtype(X)
        drawn = self.source_.images(self.pairs_.latents(), dtype)
        everything = np.concatenate([labels, self.pairs_.all_labels()])
        self.sensitive_features_ = self._as_given(sensitive_features, everything[:, 1:])
        self.table_ = self._table(labels, everything)
        real = take(X, np.arange(len(X))).astype(dtype, copy=False)
        return np.concatenate([real, drawn]), self.classes_[everything[:, 0].astype(np.int64)]

    # -- what goes in -------------------------------------------------------------

    def _check(self, X: Any, y: ArrayLike, sensitive_features: Any) -> NDArray[np.bool_]:
        """Labels of the target and of the protected attributes, (n_samples, 1 + n_protected)."""
        self._check_parameters()
        targets = np.asarray(y)
        if targets.shape != (len(X),):
            raise InputError(
                f"y has shape {targets.shape}, X has {len(X)} rows. Pass one label per image."
            )
        groups = check_groups(
            sensitive_features, len(X), required_by="LatentPairSampler", min_groups=2
        )
        assert groups is not None
        self.classes_, codes = np.unique(targets, return_inverse=True)
        if len(self.classes_) != 2:
            raise InputError(
                f"y has {len(self.classes_)} classes; a hyperplane has two sides. Pass a target of "
                "two classes."
            )
        for name, categories in zip(groups.names, groups.categories, strict=True):
            if len(categories) != 2:
                raise InputError(
                    f"sensitive feature {name!r} has {len(categories)} groups; LatentPairSampler "
                    "flips attributes of two values. Merge groups, or pass several columns of two."
                )
        self.groups_ = groups
        labels = np.column_stack([codes, groups.codes]).astype(bool)
        self._check_cells(labels, groups)
        return labels

    def _check_parameters(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; pass one of {', '.join(choices)}."
                )
        for name, least in (("n_pairs", 1), ("n_hyperplane", 60)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, (int, np.integer)) or value < least):
                raise InputError(f"{name} is {value!r}; pass an int of {least} or more.")
        validation, judge = self.validation_fraction, self.judge_fraction
        if not (validation > 0 and judge >= 0 and validation + judge < 1):
            raise InputError(
                f"validation_fraction is {validation!r}, judge_fraction {judge!r}; pass a first "
                "one above 0 and a second from 0, below 1 together."
            )

    def _check_cells(self, labels: NDArray[np.bool_], groups: Groups) -> None:
        fewest = 4 if self.judge_fraction else 3  # one row for each part of the data, and to spare
        for j, name in enumerate(groups.names):
            for code, group in enumerate(groups.categories[j].tolist()):
                for target, label in enumerate(self.classes_.tolist()):
                    n = int(((labels[:, 0] == target) & (labels[:, 1 + j] == code)).sum())
                    if n < fewest:
                        raise InputError(
                            f"Target {label!r} has {n} row(s) with {name}={group!r}; "
                            f"LatentPairSampler needs {fewest} or more in every group, to tell the "
                            "target from the attribute. Add rows, or another attribute."
                        )

    def _make_source(self, X: Any) -> Source:
        generator = "demo" if self.generator is None else self.generator
        if isinstance(generator, (str, Path)):
            if str(generator) in GAN_PRESETS:
                generator = ProgressiveGAN.from_preset(str(generator))
            else:
                generator = ProgressiveGAN.load(generator, device=self.device)
                return Source(generator, None, X.shape[1:], torch.device("cpu"))
        if isinstance(generator, ProgressiveGAN):
            generator = self._own(generator).fit(X)
        elif isinstance(generator, nn.Module):
            generator = clone(generator, safe=False)  # a copy: modes and devices are its own
        return Source(generator, self.latent_dim, X.shape[1:], choose_device(self.device))

    def _own(self, gan: ProgressiveGAN) -> ProgressiveGAN:
        """A copy to train here: its seed, device and place are the sampler's where it has none."""
        gan = clone(gan).set_params(
            device=self.device if gan.device == "auto" else gan.device,
            verbose=max(self.verbose, gan.verbose),
        )
        drawn = self._seed()  # drawn whether it is used or not: what follows is then the same
        found_again = [gan.random_state, self.generator_seed, self.random_state]
        if gan.random_state is None:
            seed = drawn if self.generator_seed is None else self.generator_seed
            gan.set_params(random_state=seed)
        known = next((seed for seed in found_again if seed is not None), None)
        if gan.checkpoint is None and gan.cache is None and isinstance(known, (int, np.integer)):
            gan.set_params(cache=self.cache)
        return gan

    # -- labels and hyperplanes ---------------------------------------------------

    def _seed(self) -> int:
        return int(self._rng.integers(2**32))

    @property
    def _names(self) -> list[str]:
        return ["target", *self.groups_.names]

    def _train_labellers(
        self,
        X: Any,
        labels: NDArray[np.bool_],
        rows: NDArray[np.intp],
        validation: NDArray[np.intp],
    ) -> Labellers:
        classifier = self.classifier
        if classifier is None:
            classifier = TorchClassifier(max_epochs=10, device=self.device)
        return Labellers.train(
            classifier,
            X,
            labels,
            self._names,
            rows,
            validation,
            reweigh=self.reweigh_labels,
            rng=self._rng,
        )

    def _labelled(
        self, X: Any, labels: NDArray[np.bool_], n: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """`n` latents (as many as there are, if they are of real images), and labels."""
        if self.latents == "encoded":
            rows = self._rng.permutation(len(X))[:n]
            return self.source_.encode(X[rows]), labels[rows]
        assert self.labellers_ is not None
        z = self.source_.latents(n, self._rng)
        return z, self.labellers_(self.source_.images(z, _dtype(X)))

    def _find_hyperplanes(self, X: Any, labels: NDArray[np.bool_]) -> None:
        if self.labellers_ is not None and self.latents != "encoded":
            z = self.source_.latents(_RECUT, self._rng.spawn(1)[0])
            images = self.source_.images(z, _dtype(X))
            self.labellers_ = self.labellers_.recut(images, labels.mean(0))
        z, found = self._labelled(X, labels, self.n_hyperplane)
        held_out = np.arange(len(z)) >= round(len(z) * (1 - _HELD_OUT))

        def plane(column: int, name: str, among: NDArray[np.bool_]) -> Hyperplane:
            return fit_hyperplane(z[among], found[among, column], held_out[among], name, self.C)

        everywhere = np.ones(len(z), dtype=bool)
        self._protected = [plane(1 + j, n, everywhere) for j, n in enumerate(self.groups_.names)]
        if self.domain_dependent:
            bits = 1 << np.arange(len(self._protected))[::-1]
            domains = found[:, 1:] @ bits
            self._targets = [
                plane(0, self._domain_name(d), domains == d) for d in range(2 ** len(bits))
            ]
        else:
            self._targets = [plane(0, "target", everywhere)]
        self.hyperplanes_ = {h.name: h for h in (*self._targets, *self._protected)}

    def _domain_name(self, domain: int) -> str:
        k = len(self.groups_.names)
        sides = [(domain >> (k - 1 - j)) & 1 for j in range(k)]
        pairs = zip(self.groups_.names, self.groups_.categories, sides, strict=True)
        return "target | " + ", ".join(f"{n}={c.tolist()[side]}" for n, c, side in pairs)

    def _pairs(self, z: NDArray[np.float32], labels: NDArray[np.bool_]) -> Pairs:
        return make_pairs(z, labels, self._targets, self._protected, self.variant)

    def _judge(self, X: Any, labels: NDArray[np.bool_], judge: Labellers) -> pd.DataFrame:
        """Fresh pairs in the eyes of classifiers that had no part in making them."""
        pairs = self._pairs(*self._labelled(X, labels, _JUDGED))
        dtype = _dtype(X)
        partners = [self.source_.images(z, dtype) for z in pairs.partners]
        return agreement(pairs, judge, self.source_.images(pairs.z, dtype), partners)

    # -- what comes out -----------------------------------------------------------

    def _as_given(self, sensitive_features: Any, codes: NDArray[np.bool_]) -> Any:
        """Group labels of the new rows in the form of those given."""
        groups = self.groups_
        columns = [c[codes[:, j].astype(np.int64)] for j, c in enumerate(groups.categories)]
        if isinstance(sensitive_features, dict) or hasattr(sensitive_features, "columns"):
            named = dict(zip(groups.names, columns, strict=True))
            if isinstance(sensitive_features, dict):
                return named
            frame = pd.DataFrame(named)
            given = getattr(sensitive_features, "dtypes", None)
            return frame.astype(given.to_dict()) if isinstance(given, pd.Series) else frame
        if np.ndim(sensitive_features) == 2:
            return np.column_stack(columns)
        if isinstance(sensitive_features, pd.Series):
            return pd.Series(columns[0], name=sensitive_features.name).astype(
                sensitive_features.dtype
            )
        return columns[0]

    def _table(self, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> pd.DataFrame:
        def rows(labels: NDArray[np.bool_]) -> pd.Series:
            named = {"target": self.classes_[labels[:, 0].astype(np.int64)]}
            for j, name in enumerate(self.groups_.names):
                named[name] = self.groups_.categories[j][labels[:, 1 + j].astype(np.int64)]
            return pd.DataFrame(named).groupby(list(named)).size()

        counts = {"before": rows(before), "after": rows(after)}
        return pd.DataFrame(counts).fillna(0).astype(np.int64)


def _dtype(X: Any) -> np.dtype[Any]:
    return np.dtype(str(X.dtype).removeprefix("torch."))

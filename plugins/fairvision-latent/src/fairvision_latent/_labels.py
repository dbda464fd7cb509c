"""Who labels generated images: classifiers trained on real ones, cut where F1 is largest."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.svm import LinearSVC

from fairvision.base import accepts, independence_weights
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision_latent._algorithm import Hyperplane, f1_cut

__all__ = ["Labeller", "Labellers", "fit_hyperplane", "split_cells"]

_FEWEST = 20  # latents on either side of a hyperplane
_ONE_SIDED = 0.05  # a smaller share of images on one side of a cut says that the cut does not fit


@dataclass(frozen=True, eq=False)
class Labeller:
    """One attribute's classifier: true where the score of the second value reaches the cut."""

    name: str
    classifier: Any
    cut: float

    def __call__(self, images: Any) -> NDArray[np.bool_]:
        return self.classifier.predict_proba(images)[:, 1] >= self.cut


@dataclass(frozen=True, eq=False)
class Labellers:
    """A classifier an attribute, the target's first."""

    each: tuple[Labeller, ...]

    @classmethod
    def train(
        cls,
        classifier: Any,
        X: Any,
        labels: NDArray[np.bool_],
        names: Sequence[str],
        rows: NDArray[np.intp],
        validation: NDArray[np.intp],
        *,
        reweigh: bool,
        rng: np.random.Generator,
    ) -> Labellers:
        """Train on some rows, choose the cuts on others.

        Parameters
        ----------
        labels : ndarray of shape (n_samples, n_attributes)
        reweigh : bool
            Weight rows so that attributes look independent of each other.
        """
        if not hasattr(classifier, "predict_proba"):
            raise InputError(
                f"classifier is {type(classifier).__name__}, which has no predict_proba. The cut "
                "is on probabilities: wrap it in CalibratedClassifierCV, or use another."
            )
        images, held_out = X[rows], X[validation]
        weights = independence_weights(labels[rows, 0], labels[rows, 1:]) if reweigh else None
        each = []
        for name, truth in zip(names, labels.T, strict=True):
            model = clone(classifier)
            if model.get_params().get("random_state", 0) is None:
                model.set_params(random_state=int(rng.integers(2**32)))
            more = {}
            if weights is not None and accepts(model.fit, "sample_weight"):
                more["sample_weight"] = weights
            model.fit(images, truth[rows].astype(np.int64), **more)
            scores = model.predict_proba(held_out)[:, 1]
            each.append(Labeller(name, model, f1_cut(truth[validation], scores)))
        return cls(tuple(each))

    def recut(self, images: Any, shares: NDArray[np.floating]) -> Labellers:
        """Cuts that fit generated images, where those chosen on real ones do not.

        The scores of a poor generator's images may all lie on one side. Then
        the images with the highest scores get the label, as many as have it
        among the real ones.

        Parameters
        ----------
        images : generated images
        shares : ndarray of shape (n_attributes,)
            Of the real rows that have each attribute.
        """
        each = []
        for labeller, share in zip(self.each, shares, strict=True):
            scores = labeller.classifier.predict_proba(images)[:, 1]
            found = float((scores >= labeller.cut).mean())
            one_sided = min(found, 1 - found) < _ONE_SIDED < min(share, 1 - share)
            if one_sided and np.ptp(scores) > 0:  # no order can be had from equal scores
                warnings.warn(
                    f"{found:.1%} of the generated images are labelled {labeller.name!r}, of the "
                    f"real ones {share:.1%}: the generator hardly shows the attribute. The "
                    f"{share:.1%} with the highest scores are labelled instead; train the "
                    "generator for longer, and look at label_agreement_.",
                    FairvisionWarning,
                    stacklevel=2,
                )
                labeller = replace(labeller, cut=float(np.quantile(scores, 1 - share)))
            each.append(labeller)
        return Labellers(tuple(each))

    def __call__(self, images: Any) -> NDArray[np.bool_]:
        """Labels of shape (n, n_attributes)."""
        return np.stack([labeller(images) for labeller in self.each], axis=1)


def split_cells(
    cells: NDArray[Any], shares: Sequence[float], rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Row numbers of parts in the given shares of every cell, however small the cell."""
    part = np.empty(len(cells), dtype=np.int64)
    ends = np.cumsum(shares)[:-1]
    for cell in np.unique(cells):
        rows = rng.permutation(np.flatnonzero(cells == cell))
        part[rows] = np.searchsorted(ends, (np.arange(len(rows)) + 0.5) / len(rows))
    return [np.flatnonzero(part == i) for i in range(len(shares))]


def fit_hyperplane(
    z: NDArray[Any], truth: NDArray[np.bool_], held_out: NDArray[np.bool_], name: str, C: float
) -> Hyperplane:
    """A linear SVM between latents whose images have a label and those whose have not.

    Parameters
    ----------
    z : ndarray of shape (n, latent_dim)
    truth : ndarray of shape (n,)
    held_out : ndarray of shape (n,)
        Latents that only measure the accuracy.

    Raises
    ------
    InputError
        If fewer than 20 latents are on one side.
    """
    train = ~held_out
    positives, n = int(truth[train].sum()), int(train.sum())
    if min(positives, n - positives) < _FEWEST:
        raise InputError(
            f"Of {n} generated images {positives} are labelled {name!r}; a hyperplane needs "
            f"{_FEWEST} with and {_FEWEST} without. Raise n_hyperplane, train the generator for "
            "longer, or look at whether it shows the attribute at all."
        )
    # Its primal form needs no random numbers, but without a seed it would draw a global one.
    svm = LinearSVC(C=C, dual=False, random_state=0).fit(z[train], truth[train])
    plane = Hyperplane.of(svm.coef_, svm.intercept_[0], name=name)
    right = (plane.distance(z[held_out]) > 0) == truth[held_out]
    accuracy = float(right.mean()) if len(right) else float("nan")
    return Hyperplane(plane.normal, plane.intercept, accuracy, name)

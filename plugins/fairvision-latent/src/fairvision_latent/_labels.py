"""Labels of generated images, from classifiers that are trained on real images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.svm import LinearSVC

from fairvision.base import Groups, accepts, independence_weights
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision_latent._algorithm import Hyperplane, f1_cut

__all__ = ["Labellers", "find_hyperplanes", "split_cells"]

_HELD_OUT = 1 / 3  # of the latents for the hyperplanes, as in the paper (5,000 of 15,000)
_FEWEST = 20  # latents on each side of a hyperplane
_ONE_SIDED = 0.05  # a cut is moved if the share of images on one side is smaller


@dataclass(frozen=True, eq=False)
class Labellers:
    """One classifier for each attribute, the target's first.

    An image has the label if the score of the second class is at least the cut.
    """

    names: tuple[str, ...]
    classifiers: tuple[Any, ...]
    cuts: tuple[float, ...]

    @classmethod
    def train(
        cls,
        classifier: Any,
        X: Any,
        labels: NDArray[np.bool_],
        names: Sequence[str],
        rows: NDArray[np.intp],
        threshold_rows: NDArray[np.intp],
        *,
        reweigh: bool,
        rng: np.random.Generator,
    ) -> Labellers:
        """Train on `rows`, choose the cuts on `threshold_rows`.

        Parameters
        ----------
        labels : ndarray of shape (n_samples, n_attributes)
        reweigh : bool
            Weight the rows so that the attributes are independent of each other.
        """
        if not hasattr(classifier, "predict_proba"):
            raise InputError(
                f"classifier is {type(classifier).__name__}, which has no predict_proba. The cut "
                "is on probabilities: wrap it in CalibratedClassifierCV, or use another."
            )
        images, held_out = X[rows], X[threshold_rows]
        weights = independence_weights(labels[rows, 0], labels[rows, 1:]) if reweigh else None
        classifiers, cuts = [], []
        for truth in labels.T:
            model = clone(classifier)
            if model.get_params().get("random_state", 0) is None:
                model.set_params(random_state=int(rng.integers(2**32)))
            more = {}
            if weights is not None and accepts(model.fit, "sample_weight"):
                more["sample_weight"] = weights
            model.fit(images, truth[rows].astype(np.int64), **more)
            scores = model.predict_proba(held_out)[:, 1]
            classifiers.append(model)
            cuts.append(f1_cut(truth[threshold_rows], scores))
        return cls(tuple(names), tuple(classifiers), tuple(cuts))

    def _scores(self, images: Any) -> list[NDArray[np.float64]]:
        return [model.predict_proba(images)[:, 1] for model in self.classifiers]

    def recut(self, images: Any, shares: NDArray[np.floating]) -> Labellers:
        """Move a cut if nearly all generated images lie on one side of it.

        The images with the highest scores then get the label, in the share that
        it has among the real images.

        Parameters
        ----------
        images : generated images
        shares : ndarray of shape (n_attributes,)
            Of the real rows that have each attribute.
        """
        cuts = list(self.cuts)
        for i, (scores, share) in enumerate(zip(self._scores(images), shares, strict=True)):
            drawn = float((scores >= cuts[i]).mean())
            one_sided = min(drawn, 1 - drawn) < _ONE_SIDED < min(share, 1 - share)
            if one_sided and np.ptp(scores) > 0:  # equal scores have no order
                warnings.warn(
                    f"{drawn:.1%} of the generated images are labelled {self.names[i]!r}, of the "
                    f"real ones {share:.1%}: the generator hardly shows the attribute. The "
                    f"{share:.1%} with the highest scores are labelled instead; train the "
                    "generator for longer, and look at label_agreement_.",
                    FairvisionWarning,
                    stacklevel=2,
                )
                cuts[i] = float(np.quantile(scores, 1 - share))
        return replace(self, cuts=tuple(cuts))

    def __call__(self, images: Any) -> NDArray[np.bool_]:
        """Labels of shape (n, n_attributes)."""
        return np.stack(self._scores(images), axis=1) >= np.array(self.cuts)


def split_cells(
    cells: NDArray[Any], shares: Sequence[float], rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Split the rows into the given shares of every cell, however small; returns row numbers."""
    split = np.empty(len(cells), dtype=np.int64)
    ends = np.cumsum(shares)[:-1]
    for cell in np.unique(cells):
        rows = rng.permutation(np.flatnonzero(cells == cell))
        split[rows] = np.searchsorted(ends, (np.arange(len(rows)) + 0.5) / len(rows))
    return [np.flatnonzero(split == i) for i in range(len(shares))]


def _fit(
    z: NDArray[Any],
    truth: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    name: str,
    C: float,
    weights: NDArray[np.floating],
    *,
    refit: bool = False,
) -> Hyperplane:
    """A linear SVM between latents whose images have a label and latents whose images do not.

    Parameters
    ----------
    z : ndarray of shape (n, latent_dim)
    truth : ndarray of shape (n,)
    held_out : ndarray of shape (n,)
        Latents that are used for the accuracy only.
    weights : ndarray of shape (n,)
    refit : bool
        Whether the plane that is returned is fitted on the held-out latents, too.

    Raises
    ------
    InputError
        If fewer than 20 latents are on one side.
    """
    train = ~held_out
    positives, n = int(truth[train].sum()), int(train.sum())
    if min(positives, n - positives) < _FEWEST and refit:
        raise InputError(
            f"Of {n} training rows, two thirds of those given, {positives} have {name!r}; a "
            f"hyperplane needs {_FEWEST} with and {_FEWEST} without. Add rows of the rarer value, "
            "or set domain_dependent=False."
        )
    if min(positives, n - positives) < _FEWEST:
        raise InputError(
            f"Of {n} generated images {positives} are labelled {name!r}; a hyperplane needs "
            f"{_FEWEST} with and {_FEWEST} without. Raise n_hyperplane, train the generator for "
            "longer, or check whether it shows the attribute at all."
        )
    # The primal form needs no random numbers, but random_state=None would read the global state.
    svm = LinearSVC(C=C, dual=False, random_state=0)
    svm.fit(z[train], truth[train], sample_weight=weights[train])
    plane = Hyperplane.of(svm.coef_, svm.intercept_[0], name=name)
    right = (plane.distance(z[held_out]) > 0) == truth[held_out]
    accuracy = float(right.mean()) if len(right) else float("nan")
    if refit:
        svm.fit(z, truth, sample_weight=weights)
        plane = Hyperplane.of(svm.coef_, svm.intercept_[0], name=name)
    return replace(plane, accuracy=accuracy)


def find_hyperplanes(
    z: NDArray[Any],
    labels: NDArray[np.bool_],
    groups: Groups,
    C: float,
    *,
    of_real_rows: bool,
    reweigh: bool,
    keeps_target: bool,
    domain_dependent: bool,
) -> tuple[list[Hyperplane], list[Hyperplane]]:
    """The target's hyperplanes, one or one for each domain, and each protected attribute's.

    Parameters
    ----------
    z : ndarray of shape (n, n_searched)
    labels : ndarray of shape (n, 1 + n_protected)
    of_real_rows : bool
        These are few: once the accuracy is known, a plane is fitted on all of them.
    reweigh : bool
        Weight real rows so that target and protected attributes are independent.
    keeps_target : bool
        Whether partners keep the target's score, a constraint more.
    """
    n_constraints = len(groups.names) + keeps_target
    if z.shape[1] < n_constraints:
        raise InputError(
            f"The latents have {z.shape[1]} value(s), and partners are under {n_constraints} "
            "constraints, one for each attribute. Raise latent_dim, or give more features."
        )
    held_out = np.arange(len(z)) >= round(len(z) * (1 - _HELD_OUT))
    weights = np.ones(len(z))
    if of_real_rows and reweigh:
        weights = independence_weights(labels[:, 0], labels[:, 1:])

    def plane(column: int, name: str, rows: Any = slice(None)) -> Hyperplane:
        truth, weight = labels[rows, column], weights[rows]
        return _fit(z[rows], truth, held_out[rows], name, C, weight, refit=of_real_rows)

    protected = [plane(1 + j, name) for j, name in enumerate(groups.names)]
    if not domain_dependent:
        return [plane(0, "target")], protected
    domains = labels[:, 1:] @ (1 << np.arange(len(groups.names))[::-1])
    targets = []
    for domain, cell in enumerate(product(*(c.tolist() for c in groups.categories))):
        values = ", ".join(f"{n}={v}" for n, v in zip(groups.names, cell, strict=True))
        targets.append(plane(0, f"target | {values}", domains == domain))
    return targets, protected

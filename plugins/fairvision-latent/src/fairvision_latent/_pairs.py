"""Pairs of latents, their labels, and whether other classifiers agree with the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision_latent._algorithm import Hyperplane, Variant, flips, moved
from fairvision_latent._labels import Labellers

__all__ = ["Pairs", "agreement", "make_pairs"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Latents and their partners.

    Attributes
    ----------
    z : ndarray of shape (n, latent_dim), float32
    partners : ndarray of shape (n_flips, n, latent_dim), float32
    flips : ndarray of shape (n_flips, n_protected), bool
        The attributes that each kind of partner changes.
    labels : ndarray of shape (n, 1 + n_protected), bool
        Of the images of `z`: the target, then the protected attributes.
    partner_labels : ndarray of shape (n_flips, n, 1 + n_protected), bool
    """

    z: NDArray[np.float32]
    partners: NDArray[np.float32]
    flips: NDArray[np.bool_]
    labels: NDArray[np.bool_]
    partner_labels: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.z)

    def latents(self, *, own: bool = True) -> NDArray[np.float32]:
        """First `z`, unless `own` is False, then each kind of partner; (n_all, latent_dim)."""
        return np.concatenate([self.z, *self.partners] if own else self.partners)

    def all_labels(self, *, own: bool = True) -> NDArray[np.bool_]:
        """Labels of `latents`."""
        return np.concatenate([self.labels, *self.partner_labels] if own else self.partner_labels)


def make_pairs(
    z: NDArray[np.float32],
    labels: NDArray[np.bool_],
    targets: list[Hyperplane],
    protected: list[Hyperplane],
    variant: Variant,
) -> Pairs:
    """Every latent's partners, one for each set of attributes to change."""
    sets = flips(len(protected))
    partners = np.empty((len(sets), *z.shape), dtype=z.dtype)
    partner_labels = np.repeat(labels[None], len(sets), axis=0)
    for i, flip in enumerate(sets):
        moved(z, targets, protected, flip, variant, out=partners[i])
        if variant != "on-hyperplane":  # where partners keep the group of their latent
            partner_labels[i, :, 1:] ^= flip
    return Pairs(z, partners, sets, labels, partner_labels)


def agreement(pairs: Pairs, judge: Labellers, images: Any, partner_images: Any) -> pd.DataFrame:
    """Compare the pairs' labels with classifiers that were trained on other rows.

    Parameters
    ----------
    pairs : Pairs
    judge : Labellers
        Trained on other rows than the classifiers that labelled the images.
    images : array-like of shape (n, ...)
    partner_images : list of array-like of shape (n, ...)

    Returns
    -------
    DataFrame
        A row for each set of changed attributes. Shares of pairs: ``target_kept`` and
        ``flipped`` (all attributes that should change) by the judges before and after,
        ``both``, ``others_kept`` (attributes that should not change), and
        ``target_right``: the judges agree with the partner's target label.
    """
    before, rows = judge(images), {}
    for flip, labels, images_of_partners in zip(
        pairs.flips, pairs.partner_labels, partner_images, strict=True
    ):
        after = judge(images_of_partners)
        kept = after[:, 0] == before[:, 0]
        changed = after[:, 1:] != before[:, 1:]
        flipped = changed[:, flip].all(1)
        rows[" and ".join(n for n, f in zip(judge.names[1:], flip, strict=True) if f)] = {
            "target_kept": kept.mean(),
            "flipped": flipped.mean(),
            "both": (kept & flipped).mean(),
            "others_kept": (~changed[:, ~flip]).all(1).mean(),
            "target_right": (after[:, 0] == labels[:, 0]).mean(),
        }
    return pd.DataFrame(rows).T.rename_axis("changed")

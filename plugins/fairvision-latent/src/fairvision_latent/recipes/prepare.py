"""Rows as the paper has them: a natural skew, parts that are the same for every attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

__all__ = ["with_glasses_on_both", "with_hats", "with_parts", "with_parts_of_people"]

_TRAIN, _VALID, _TEST = 1200, 300, 1000
_HATS, _BOTH = 0.85, 0.75


def with_hats(data: Bunch) -> Bunch:
    """Drawn faces on whom three attributes agree with the hat in 85 % of the rows.

    Parameters
    ----------
    data : Bunch
        Drawn faces, all attributes independent, six times as many as are wanted.

    Returns
    -------
    Bunch
        2,500 of them, the same whatever the target is, so that one GAN serves all;
        ``split``: 1,200 "train", 300 "valid", 1,000 "test".
    """
    return _parted(data, _skewed(data, {"hat": ("eyeglasses", "smiling", "beard")}, _HATS))


def with_glasses_on_both(data: Bunch) -> Bunch:
    """Drawn faces on whom hat and beard each agree with the glasses in 75 % of the rows."""
    return _parted(data, _skewed(data, {"eyeglasses": ("hat", "beard")}, _BOTH))


def with_parts(data: Bunch) -> Bunch:
    """2,500 rows of any data in memory, drawn without regard to labels, in the same parts."""
    return _parted(data, np.random.default_rng(0).permutation(len(data.target)))


def with_parts_of_people(data: Bunch) -> Bunch:
    """All rows in memory: half of the people "train", a tenth "valid", the others "test"."""
    people, codes = np.unique(np.asarray(data.identity), return_inverse=True)
    place = np.random.default_rng(0).permutation(len(people))[codes.reshape(-1)] / len(people)
    split = np.select([place < 0.5, place < 0.6], ["train", "valid"], "test")
    return Bunch(**{**data, "images": np.asarray(data.images), "split": split})


def _skewed(data: Bunch, agree: Mapping[str, Sequence[str]], rate: float) -> NDArray[np.intp]:
    """Rows kept so that attributes agree as often; independent of each other given the first."""
    frame = data.attributes
    keep_probability = np.ones(len(frame))
    for first, others in agree.items():
        for other in others:
            same = frame[first].to_numpy() == frame[other].to_numpy()
            keep_probability *= np.where(same, 1.0, (1 - rate) / rate)
    return np.flatnonzero(np.random.default_rng(0).random(len(frame)) < keep_probability)


def _parted(data: Bunch, rows: NDArray[np.intp]) -> Bunch:
    sizes = {"train": _TRAIN, "valid": _VALID, "test": _TEST}
    rows = rows[: sum(sizes.values())]
    split = np.repeat(list(sizes), list(sizes.values()))[: len(rows)]
    frames: dict[str, Any] = {
        name: data[name].iloc[rows].reset_index(drop=True)
        for name in ("sensitive_features", "attributes")
    }
    # Photographs are decoded once, not in every epoch of every row.
    images = np.asarray(data.images[rows])
    return Bunch(
        **{**data, **frames, "images": images, "target": data.target[rows], "split": split}
    )

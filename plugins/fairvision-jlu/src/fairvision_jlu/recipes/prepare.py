"""The report's biased set: young women and old men to train on, everyone to test on."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

__all__ = ["young_women_and_old_men"]

_MIDDLE = 36  # the bin of 36 to 39 years is in neither


def young_women_and_old_men(data: Bunch) -> Bunch:
    """Give UTKFace the report's split.

    Parameters
    ----------
    data : Bunch
        Of `fairvision.datasets.load_utkface` with the target ``age_bin``.

    Returns
    -------
    Bunch
        With the column ``split``: in each bin as many women as men are ``test``, a
        fifth of the rarer; of the others the women under 36 and the men from 40
        are ``train``, and the rest ``unused``.
    """
    attributes = data.attributes.reset_index(drop=True)
    rng = np.random.default_rng(0)
    split = np.full(len(attributes), "unused", dtype="<U6")
    for name, rows in attributes.groupby("age_bin"):
        of = {
            g: rng.permutation(candidates.index.to_numpy())
            for g, candidates in rows.groupby("gender")
        }
        n_test = min(len(candidates) for candidates in of.values()) // 5
        for candidates in of.values():
            split[candidates[:n_test]] = "test"
        low = int(str(name).partition("-")[0])
        if low != _MIDDLE:
            split[of["female" if low < _MIDDLE else "male"][n_test:]] = "train"
    return Bunch(**{**data, "split": split})

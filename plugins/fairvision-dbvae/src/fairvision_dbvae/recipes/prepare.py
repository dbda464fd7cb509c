"""Face or no face, with few dark faces among the training rows."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

__all__ = ["faces_and_scrambled"]

_LIGHT = ("I", "II", "III")
_TEST, _DARK = 0.3, 0.05


def faces_and_scrambled(data: Bunch) -> Bunch:
    """Turn pictures of faces into a task with non-faces.

    Parameters
    ----------
    data : Bunch
        Faces in memory, with the sensitive feature ``skin_tone``.

    Returns
    -------
    Bunch
        The first half are faces; in the others two of four bands are exchanged,
        so that they have every tone as well. ``split``: three tenths are ``test``;
        of the others the faces of the tones IV to VI are mostly ``unused``, so that
        they are a twentieth of the ``train`` faces.
    """
    rng = np.random.default_rng(0)
    images = np.array(data.images)
    n, height = len(images), images.shape[2]
    is_face = np.arange(n) < n // 2
    band = height // 4
    for i in np.flatnonzero(~is_face):
        first, second = rng.choice(4, 2, replace=False) * band
        above = images[i, :, first : first + band].copy()
        images[i, :, first : first + band] = images[i, :, second : second + band]
        images[i, :, second : second + band] = above
    dark = ~data.sensitive_features["skin_tone"].isin(_LIGHT).to_numpy()
    split = np.where(rng.random(n) < _TEST, "test", "train").astype("<U6")
    rare = np.flatnonzero((split == "train") & is_face & dark)
    n_light = int(((split == "train") & is_face & ~dark).sum())
    split[rng.permutation(rare)[round(n_light * _DARK / (1 - _DARK)) :]] = "unused"
    return Bunch(
        images=images,
        target=is_face.astype(np.int64),
        target_name="face",
        target_names=["no face", "face"],
        sensitive_features=data.sensitive_features,
        split=split,
    )

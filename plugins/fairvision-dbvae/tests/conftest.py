"""Drawn faces and scrambles, small enough to train on in a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from sklearn.utils import Bunch


@pytest.fixture(scope="session")
def data() -> Bunch:
    """200 faces, labelled "face", and the same number of rearranged ones."""
    from sklearn.utils import Bunch

    from fairvision.datasets import load_faces

    drawn = load_faces(400, image_size=32, random_state=0)
    images = drawn.images.copy()
    images[200:] = images[200:, :, np.random.default_rng(0).permutation(32)]
    target = np.repeat(["face", "not a face"], 200)
    order = np.random.default_rng(1).permutation(400)
    return Bunch(
        images=images[order],
        target=target[order],
        tone=drawn.attributes["skin_tone"].to_numpy()[order],
    )

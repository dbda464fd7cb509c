"""Drawn faces whose generator is known, small enough to fit on in a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sklearn.utils import Bunch


@pytest.fixture(scope="session")
def faces() -> Bunch:
    """600 faces: hat the target, the background protected; 80 % of hats are outdoors."""
    from fairvision.datasets import load_faces

    return load_faces(
        600,
        24,
        target="hat",
        sensitive="background",
        correlation={("hat", "background"): 0.8},
        random_state=0,
    )

"""What the recipes do to their data before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from fairvision_latent.recipes.prepare import with_glasses_on_both, with_hats, with_parts

NAMES = ("hat", "eyeglasses", "smiling", "beard", "age_lines")


def people(target: str, n: int = 16_000) -> Bunch:
    """Attributes tossed independently, with pictures that hold their own row number."""
    frame = pd.DataFrame(np.random.default_rng(1).random((n, len(NAMES))) < 0.5, columns=NAMES)
    return Bunch(
        images=np.arange(n, dtype=np.float64).reshape(n, 1, 1, 1),
        target=frame[target].to_numpy(),
        sensitive_features=frame[["hat"]],
        attributes=frame,
    )


@pytest.mark.parametrize(
    ("prepare", "agree", "rate"),
    [
        (with_hats, [("hat", "eyeglasses"), ("hat", "smiling"), ("hat", "beard")], 0.85),
        (with_glasses_on_both, [("eyeglasses", "hat"), ("eyeglasses", "beard")], 0.75),
        (with_parts, [], 0.5),
    ],
)
def test_rows_are_as_skewed_as_it_says(prepare: Any, agree: Any, rate: float) -> None:
    found = prepare(people("smiling"))
    frame, rows = found.attributes, found.images[:, 0, 0, 0].astype(int)
    pd.testing.assert_frame_equal(frame, people("hat").attributes.iloc[rows].reset_index(drop=True))
    assert (found.target == frame["smiling"]).all()
    assert (found.sensitive_features["hat"] == frame["hat"]).all()
    assert len(set(rows)) == 2500
    for name, part in (("train", 1200), ("valid", 300), ("test", 1000)):
        assert (found.split == name).sum() == part
    for first, other in agree:
        assert (frame[first] == frame[other]).mean() == pytest.approx(rate, abs=0.03)
    for name in NAMES:
        assert frame[name].mean() == pytest.approx(0.5, abs=0.04)
    assert (frame["hat"] == frame["age_lines"]).mean() == pytest.approx(0.5, abs=0.04)
    # One GAN can serve every target only if the pictures are the same ones.
    np.testing.assert_array_equal(prepare(people("hat")).images, found.images)

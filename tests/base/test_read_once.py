"""Lazy images are decoded once, whoever reads them how often."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fairvision as fv
from fairvision.base import LazyImages, read_once
from fairvision.comparison import compare


class Counted(LazyImages):
    """Pixels that count how often each row is read."""

    def __init__(self, pixels: Any) -> None:
        super().__init__(len(pixels), pixels.shape[1:], pixels.dtype)
        self.pixels, self.times = pixels, np.zeros(len(pixels), dtype=int)

    def read(self, rows: Any) -> Any:
        np.add.at(self.times, rows, 1)
        return self.pixels[rows]


@pytest.fixture
def images() -> Counted:
    return Counted(np.random.default_rng(0).integers(0, 256, (40, 1, 24, 24), dtype=np.uint8))


@pytest.mark.parametrize("n_kept", [40, 7, 0])
def test_any_rows_in_any_order_are_the_same_pixels(
    images: Counted, n_kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairvision.base.stored_images.MOST_BYTES", n_kept * 24 * 24)
    once = read_once(images)
    for rows in ([3, 3, 39, 0], slice(None, None, -1), [], np.arange(40) % 2 == 0):
        assert (np.asarray(once[rows]) == images.pixels[rows]).all()
    assert (images.times[:n_kept] == 1).all()
    assert once[5:8].shape == (3, 1, 24, 24)


def test_what_needs_no_decoding_stays_as_it_is(images: Counted) -> None:
    assert read_once(images.pixels) is images.pixels
    once = read_once(images)
    assert read_once(once) is once


def test_evaluating_decodes_every_picture_once(images: Counted) -> None:
    y, a = np.arange(40) % 2, np.repeat(["a", "b"], 20)
    model = fv.make("erm", max_epochs=1, random_state=0).fit(images.pixels, y)
    found = fv.evaluate(model, images, y, sensitive_features=a, n_boot=0)
    assert (images.times == 1).all()
    plain = fv.evaluate(model, images.pixels, y, sensitive_features=a, n_boot=0)
    np.testing.assert_array_equal(found.estimates["value"], plain.estimates["value"])


def test_a_comparison_decodes_every_test_picture_once(images: Counted) -> None:
    from sklearn.utils import Bunch

    parts = np.array(["train"] * 16 + ["valid"] * 8 + ["test"] * 16)
    y, a = np.arange(40) % 2, np.tile(["a", "a", "b", "b"], 10)
    data = Bunch(images=images, target=y, sensitive_features=a, split=parts)
    compare(data, "erm", seeds=1, max_epochs=1, n_boot=0, progress=False, report=True)
    # Once for what identifies the data; and once more, whatever is measured of them.
    assert (images.times[parts == "test"] == 2).all()
    assert (images.times[parts == "valid"] == 2).all()

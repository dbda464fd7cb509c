"""Lazy images are indexed as an array is, and read only when pixels are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from fairvision.base import LazyImages, check_images, take

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)


class Counted(LazyImages):
    def __init__(self) -> None:
        super().__init__(len(PIXELS), PIXELS.shape[1:])
        self.n_read: list[int] = []

    def read(self, rows: Any) -> Any:
        self.n_read.append(len(rows))
        return PIXELS[rows]


KEYS: list[Any] = [
    slice(1, 4),
    slice(None, None, -1),
    [5, 0, 0],
    [],
    np.array([True, False] * 3),
    np.array([-1, 2]),
    ...,
    (slice(2, 4), ...),
    (..., slice(None)),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_rows_are_those_of_the_array_and_nothing_is_read(key: Any) -> None:
    images = Counted()
    some, expected = images[key], PIXELS[np.array(key, int) if isinstance(key, list) else key]
    assert isinstance(some, Counted)
    assert (some.shape, len(some), some.ndim, some.dtype) == (
        expected.shape,
        len(expected),
        4,
        np.uint8,
    )
    assert images.n_read == []
    np.testing.assert_array_equal(np.asarray(some), expected)
    np.testing.assert_array_equal(np.asarray(some[1:][:1]), expected[1:2])


def test_a_number_reads_one_image() -> None:
    images = Counted()
    np.testing.assert_array_equal(images[2:][-1], PIXELS[5])
    assert images.n_read == [1]
    assert [image.shape for image in images] == [(3, 4, 5)] * 6


def test_it_is_an_array_to_numpy_and_scikit_learn() -> None:
    images = Counted()
    train, test = train_test_split(check_images(images), random_state=0)
    assert images.n_read == []
    assert len(train) + len(test) == 6
    np.testing.assert_array_equal(take(images, np.array([3])), PIXELS[[3]])
    assert np.asarray(images, dtype=np.float32).dtype == np.float32
    assert repr(test) == "Counted(shape=(2, 3, 4, 5), dtype=uint8)"


@pytest.mark.parametrize(
    ("key", "message"),
    [((0, 1), "by rows only"), (None, "new axis"), (np.zeros((2, 2), int), "index of shape")],
)
def test_pixels_are_not_indexed(key: Any, message: str) -> None:
    with pytest.raises(IndexError, match=f"Counted .*{message}"):
        Counted()[key]


def test_there_is_nothing_to_share_without_a_copy() -> None:
    with pytest.raises(ValueError, match="copy=False"):
        Counted().__array__(copy=False)

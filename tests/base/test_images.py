"""Which objects are images, and which of them an estimator takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairvision.base import check_images, is_images, take
from fairvision.exceptions import InputError

IMAGES = np.zeros((2, 3, 5, 4), np.uint8)


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (IMAGES, True),
        (IMAGES[:, 0], True),  # an image short: refused as images, not as a table
        (IMAGES[None], True),
        (IMAGES.tolist(), True),
        (list(IMAGES), True),
        (torch.zeros(2, 3, 5, 4), True),
        (np.zeros((2, 3)), False),
        ([[1, 2], [3, 4]], False),
        ([1, 2], False),
        (None, False),
    ],
)
def test_images_have_more_than_two_dimensions(X, expected):
    assert is_images(X) is expected


class Lazy:
    """Only what a lazy sequence must have; it fails when anything is read."""

    shape = (10, 3, 5, 4)
    dtype = np.dtype(np.float32)

    def __array__(self, *args, **kwargs):
        raise AssertionError("decoded")


def test_checking_neither_copies_nor_decodes():
    lazy, tensor = Lazy(), torch.rand(2, 3, 5, 4)
    assert check_images(lazy) is lazy
    assert check_images(tensor) is tensor
    assert check_images(IMAGES) is IMAGES


def test_a_nested_list_becomes_an_array():
    images = check_images((IMAGES / 255).tolist())
    assert images.shape == IMAGES.shape


@pytest.mark.parametrize("X", [IMAGES, torch.from_numpy(IMAGES)])
@pytest.mark.parametrize("rows", [slice(1, 2), np.array([1])])
def test_rows_are_taken_as_arrays(X, rows):
    part = take(X, rows)
    assert isinstance(part, np.ndarray)
    assert part.shape == (1, 3, 5, 4)


def test_rounding_beyond_the_range_is_let_pass():
    check_images(np.full((1, 1, 2, 2), 1 + 1e-7))
    with pytest.raises(InputError, match="values from"):
        check_images(np.full((1, 1, 2, 2), 1 + 1e-5))


def test_the_size_must_be_that_of_fit():
    assert check_images(IMAGES, fitted_shape=(3, 5, 4)) is IMAGES
    with pytest.raises(InputError, match=r"shape \(3, 5, 4\).*fitted on \(3, 4, 4\)"):
        check_images(IMAGES, fitted_shape=(3, 4, 4))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 5, 4, 3)), r"5 channels.*channels seem to be last"),
        (np.zeros((2, 4, 5, 5)), r"4 channels.*Convert the images to grey \(1\) or RGB \(3\)"),
        (np.zeros((2, 3), np.uint8), r"shape \(2, 3\); images need"),
        ([IMAGES[0], IMAGES[0, :, 1:]], "a list whose 2 items have different shapes. Resize"),
        (np.full((1, 1, 2, 2), -np.inf), "infinite values"),
        (np.array([np.inf, np.nan] * 2).reshape(1, 1, 2, 2), "NaN"),
        (torch.full((1, 1, 2, 2), torch.nan), "NaN"),
        (IMAGES.astype(complex), "dtype complex128"),
        (IMAGES.astype(">f4"), r"dtype >f4.*astype\('float32'\)"),
    ],
)
def test_what_does_not_fit_is_named(X, message):
    with pytest.raises(InputError, match=message):
        check_images(X)

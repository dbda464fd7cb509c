"""`NoisyImages`: what is hidden, how, and that it is drawn anew."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from fairvision.exceptions import InputError
from fairvision_attribution import NoisyImages


@pytest.fixture
def images() -> np.ndarray:
    """30 grey-free pictures; every pixel of picture i is i."""
    return np.tile(np.arange(30, dtype=np.uint8)[:, None, None, None], (1, 3, 6, 8))


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((6, 8), dtype=bool)
    mask[:2, 3:] = True
    return mask


@pytest.fixture
def own(mask) -> np.ndarray:
    """A region for each picture: one column, which moves."""
    masks = np.zeros((30, 6, 8), dtype=bool)
    masks[np.arange(30), :, np.arange(30) % 8] = True
    return masks


@pytest.mark.parametrize("noise", ["mask", "gaussian", "swap"])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "tensor"])
@pytest.mark.parametrize("each", [False, True])
def test_the_region_is_hidden_and_nothing_else(images, mask, own, noise, kind, each):
    given = images if kind == "uint8" else images / 255
    given = torch.from_numpy(given) if kind == "tensor" else given.astype(kind)
    before = np.asarray(given).copy()
    where = own if each else mask
    hidden = NoisyImages(given, where, noise=noise, random_state=0)
    seen = np.asarray(hidden)
    assert (seen.dtype, seen.shape) == (before.dtype, (30, 3, 6, 8))
    inside = np.broadcast_to(where if each else where[None], (30, 6, 8))[:, None]
    inside = np.broadcast_to(inside, seen.shape)
    np.testing.assert_array_equal(seen[~inside], before[~inside])
    assert (seen[inside] != before[inside]).mean() > 0.4  # a swap may draw the picture itself
    assert seen.min() >= 0
    assert seen.max() <= (255 if kind == "uint8" else 1)
    np.testing.assert_array_equal(np.asarray(given), before)


def test_mid_grey(images, mask):
    assert (np.asarray(NoisyImages(images, mask))[:, :, mask] == 128).all()
    assert (np.asarray(NoisyImages(images / 255, mask))[:, :, mask] == 0.5).all()


def test_gaussian_noise_is_additive_in_pixel_space(mask):
    grey = np.full((400, 1, 6, 8), 0.5)
    values = np.asarray(NoisyImages(grey, mask, noise="gaussian", std=0.1, random_state=0))
    values = values[:, :, mask]
    assert values.mean() == pytest.approx(0.5, abs=0.005)
    assert values.std() == pytest.approx(0.1, abs=0.005)
    still = NoisyImages(grey, mask, noise="gaussian", std=0, random_state=0)
    np.testing.assert_array_equal(still, grey)


def test_a_swap_shows_one_other_picture(images, mask):
    seen = np.asarray(NoisyImages(images, mask, noise="swap", random_state=0))[:, :, mask]
    seen = seen.reshape(30, -1)
    assert (seen == seen[:, :1]).all()  # the whole region from the same one
    assert len(set(seen[:, 0])) > 10
    some = NoisyImages(images, mask, noise="swap", random_state=0)[:2]
    drawn = {int(np.asarray(some)[0, 0, 0, 3]) for _ in range(40)}
    assert len(drawn) > 10  # from all pictures, not from the two


def test_rows_keep_their_own_region_however_they_are_cut(images, own):
    hidden = NoisyImages(images, own)
    order = np.random.default_rng(0).permutation(30)[:20]
    for part, rows in (
        (hidden[order], order),
        (hidden[order][5:10], order[5:10]),
        (hidden[order.tolist()], order),
        (hidden[np.arange(30) % 2 == 0], np.arange(0, 30, 2)),
        (hidden[::-1], np.arange(30)[::-1]),
        (hidden[order, ...], order),
    ):
        assert part.shape == (len(rows), 3, 6, 8)
        np.testing.assert_array_equal(part.masks, own[rows])
        expected = np.where(own[rows][:, None], 128, images[rows])
        np.testing.assert_array_equal(np.asarray(part), expected)
    np.testing.assert_array_equal(hidden[3], np.where(own[3], 128, 3)[None].repeat(3, 0))
    assert [int(picture.min()) for picture in hidden] == list(range(30))


@pytest.mark.parametrize("noise", ["gaussian", "swap"])
def test_noise_is_drawn_at_each_reading_and_decided_by_the_seed(images, mask, noise):
    def read(seed):
        hidden = NoisyImages(images, mask, noise=noise, random_state=seed)
        return [np.asarray(hidden[:10]), np.asarray(hidden[:10])]

    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = read(0)
    assert (first != second).any()
    np.testing.assert_array_equal(read(0), [first, second])
    assert (read(1)[0] != first).any()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_it_travels_to_other_processes(images, own):
    hidden = NoisyImages(images, own, noise="gaussian", random_state=0)
    again = pickle.loads(pickle.dumps(hidden))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(hidden))
    assert np.asarray(hidden, dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mask": np.zeros((8, 6), bool)}, "mask has shape .8, 6."),
        ({"mask": np.zeros((6, 8))}, "dtype float64"),
        ({"mask": np.zeros((29, 6, 8), bool)}, "one such mask for each of 30"),
        ({"noise": "blur"}, "noise is 'blur'"),
        ({"std": -1}, "std is -1"),
    ],
)
def test_what_it_refuses(images, mask, params, message):
    with pytest.raises(InputError, match=message):
        NoisyImages(images, **{"mask": mask, **params})


def test_it_is_indexed_by_rows_and_read_by_copying(images, mask):
    hidden = NoisyImages(images, mask)
    with pytest.raises(IndexError, match="by rows only"):
        hidden[:, 0]
    with pytest.raises(ValueError, match="copy=False"):
        np.asarray(hidden, copy=False)

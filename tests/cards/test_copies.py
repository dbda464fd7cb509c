"""Copies of pictures, made in the ways in which they come about."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from fairvision.cards import near_copies
from fairvision.cards.pictures import read_pictures
from fairvision.datasets import load_faces


def sets_of(pictures: list[Image.Image]) -> list[int]:
    pixels = np.stack([np.asarray(p.convert("RGB")).transpose(2, 0, 1) for p in pictures])
    found = read_pictures(pixels)
    assert found is not None
    return found.table["copies"].tolist()


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    pixels = np.asarray(load_faces(n_samples=60, image_size=64, random_state=0).images)
    return [Image.fromarray(image.transpose(1, 2, 0)) for image in pixels]


def as_jpeg(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p,
        as_jpeg,
        lambda p: ImageEnhance.Brightness(p).enhance(0.8),
        lambda p: p.resize((32, 32)).resize((64, 64)),
    ],
    ids=["same", "jpeg", "darker", "smaller"],
)
def test_a_copy_is_known(faces: list[Image.Image], change: Callable[..., Image.Image]) -> None:
    before = sets_of(faces)
    after = sets_of([*faces, change(faces[3])])
    assert after[-1] == after[3] >= 0
    assert sum(one >= 0 for one in before) <= 2  # other drawn faces are other pictures


def test_it_misses_no_pair_that_differs_in_three_bits() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (16, 18))
    noisy = base + rng.normal(0, 2, (200, 16, 18))
    others = rng.integers(0, 256, (200, 16, 18))
    thumbnails = np.clip(np.concatenate([noisy, others]), 0, 255).astype(np.uint8)
    sets = near_copies(thumbnails, np.arange(400).astype(str).astype(object))
    assert set(sets[:200]) == {0}
    assert set(sets[200:]) == {-1}


def test_flat_pictures_are_copies_only_with_the_same_bytes() -> None:
    thumbnails = np.full((3, 16, 18), 7, dtype=np.uint8)
    sets = near_copies(thumbnails, np.array(["a", "b", "a"], dtype=object))
    assert sets.tolist() == [0, -1, 0]

"""Face or no face, with few faces of some groups among the training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Bunch
from torch.nn.functional import interpolate

from fairvision.datasets import subset
from fairvision.exceptions import InputError

__all__ = [
    "celebrities_and_scrambled",
    "faces_and_scrambled",
    "photographs_and_scrambled",
    "whole_photographs",
    "whole_pictures",
]

#: Whose faces are common among the training rows, by sensitive feature.
_COMMON = {"skin_tone": ("I", "II", "III"), "race": ("White",)}
_TEST, _RARE, _TEST_PEOPLE = 0.3, 0.05, 0.4
_PHOTOGRAPHS = 4000
_TILES = 4  # a side
_SIDES = (0.5, 1.0)  # of a face, as a share of the picture
_AROUND = 0.12  # of a face's side: how far a training crop may lie off


def faces_and_scrambled(data: Bunch) -> Bunch:
    """Turn pictures of faces into a task with non-faces.

    Parameters
    ----------
    data : Bunch
        Faces with one sensitive feature, ``skin_tone`` or ``race`` (perceived).

    Returns
    -------
    Bunch
        The first half are faces; in the others two of four bands are exchanged,
        so that they are of every group as well. ``split``: three tenths are ``test``;
        of the others most faces of the tones IV to VI, or not perceived as White, are
        ``unused``, so that they are a twentieth of the ``train`` faces.
    """
    rng = np.random.default_rng(0)
    is_face = np.arange(len(data.target)) < len(data.target) // 2
    images = _scrambled(data, is_face, rng)
    return _task(data, images, is_face, _parts(data, is_face, rng))


def _scrambled(
    data: Bunch, is_face: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The pictures; those without a face have two of four bands exchanged."""
    images = np.array(data.images)
    band = images.shape[2] // 4
    for i in np.flatnonzero(~is_face):
        first, second = rng.choice(4, 2, replace=False) * band
        above = images[i, :, first : first + band].copy()
        images[i, :, first : first + band] = images[i, :, second : second + band]
        images[i, :, second : second + band] = above
    return images


def celebrities_and_scrambled(data: Bunch) -> Bunch:
    """The same of photographs of known people: groups as rare as they are, no parts.

    Which half of them are faces is drawn. A comparison splits them by ``identity``.
    """
    rng = np.random.default_rng(0)
    is_face = rng.random(len(data.target)) < 0.5
    return _task(data, _scrambled(data, is_face, rng), is_face)


def _parts_of_people(data: Bunch, rng: np.random.Generator) -> NDArray[Any]:
    people, codes = np.unique(np.asarray(data.identity), return_inverse=True)
    tested = rng.random(len(people)) < _TEST_PEOPLE
    return np.where(tested[codes.reshape(-1)], "test", "train")


def photographs_and_scrambled(data: Bunch) -> Bunch:
    """The same of photographs in files: of 4,000 of them, drawn at random.

    What `faces_and_scrambled` leaves unused is tested on: rare faces are few enough.
    """
    rows = np.random.default_rng(0).permutation(len(data.target))[:_PHOTOGRAPHS]
    made = faces_and_scrambled(subset(data, rows))
    made.split[made.split == "unused"] = "test"
    return made


def whole_pictures(data: Bunch) -> Bunch:
    """Faces somewhere in a picture to test on, and cuts of such pictures to train on.

    Parameters
    ----------
    data : Bunch
        Faces in memory, with ``masks`` and the sensitive feature ``skin_tone``.

    Returns
    -------
    Bunch
        Of every picture the 4 x 4 tiles are shuffled. In the first half its face lies
        upon that, without the background, at any place, half to all as high as the
        picture. Rows of the part ``test`` are these whole pictures; of the others ``images``
        holds the box around the face, up to an eighth of its side off, or without a face
        any square as large, enlarged to the same size. Parts as in `faces_and_scrambled`.
    """
    rng = np.random.default_rng(0)
    n = len(data.images)
    is_face = np.arange(n) < n // 2
    split = _parts(data, is_face, rng)
    cut = np.concatenate([data.images, 255 * ~data.masks["background"][:, None]], axis=1)
    return _task(data, _placed(data, cut, is_face, split, rng), is_face, split)


def whole_photographs(data: Bunch) -> Bunch:
    """The same of photographs of known people, which have no masks.

    Parameters
    ----------
    data : Bunch
        With ``identity``. Whole photographs are laid upon their shuffled tiles, with two parts
        exchanged in pictures without a face. Two fifths of the people are ``test``.
    """
    rng = np.random.default_rng(0)
    is_face = rng.random(len(data.target)) < 0.5
    images = _scrambled(data, is_face, rng)
    split = _parts_of_people(data, rng)
    cut = np.concatenate([images, np.full_like(images[:, :1], 255)], axis=1)
    laid = np.ones(len(images), dtype=bool)
    return _task(data, _placed(data, cut, laid, split, rng), is_face, split)


def _placed(
    data: Bunch, cut: Any, laid: Any, split: Any, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The cut-out (red, green, blue, alpha) of the rows `laid`, upon the tiles of each picture."""
    size = data.images.shape[2]
    pictures = _shuffled(np.asarray(data.images), rng).astype(np.float32)
    for i, (face, name) in enumerate(zip(cut, split, strict=True)):
        side = int(rng.integers(round(_SIDES[0] * size), round(_SIDES[1] * size) + 1))
        top, left = rng.integers(0, size - side + 1, 2)
        if laid[i]:
            *colours, alpha = _resized(face.astype(np.float32), side)
            region = pictures[i, :, top : top + side, left : left + side]
            region += (np.stack(colours) - region) * (alpha / 255)
        if name != "test":
            off = np.rint(rng.uniform(-_AROUND, _AROUND, 2) * side)
            top, left = np.clip(np.array([top, left]) + off, 0, size - side).astype(int)
            pictures[i] = _resized(pictures[i, :, top : top + side, left : left + side], size)
    return np.rint(np.clip(pictures, 0, 255)).astype(np.uint8)


def _shuffled(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The 4 x 4 tiles of each picture in an order of its own."""
    n, channels, size, _ = images.shape
    tile = size // _TILES
    tiles = images.reshape(n, channels, _TILES, tile, _TILES, tile)
    tiles = tiles.transpose(0, 2, 4, 1, 3, 5).reshape(n, _TILES**2, channels, tile, tile)
    mixed = rng.permuted(np.tile(np.arange(_TILES**2), (n, 1)), axis=1)
    tiles = np.take_along_axis(tiles, mixed[:, :, None, None, None], axis=1)
    tiles = tiles.reshape(n, _TILES, _TILES, channels, tile, tile).transpose(0, 3, 1, 4, 2, 5)
    return tiles.reshape(images.shape)


def _resized(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    batch = torch.from_numpy(np.ascontiguousarray(image))[None]
    return interpolate(batch, (side, side), mode="bilinear", antialias=True)[0].numpy()


def _parts(data: Bunch, is_face: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[Any]:
    """Train, test, or unused: faces of the rare groups beyond a twentieth of the train faces."""
    (name,) = data.sensitive_features.columns
    if name not in _COMMON:
        raise InputError(f"the sensitive feature is {name!r}; pass one of {sorted(_COMMON)}.")
    rare = ~data.sensitive_features[name].isin(_COMMON[name]).to_numpy()
    split = np.where(rng.random(len(rare)) < _TEST, "test", "train").astype("<U6")
    faces = np.flatnonzero((split == "train") & is_face & rare)
    n_common = int(((split == "train") & is_face & ~rare).sum())
    split[rng.permutation(faces)[round(n_common * _RARE / (1 - _RARE)) :]] = "unused"
    return split


def _task(data: Bunch, images: Any, is_face: NDArray[np.bool_], split: Any = None) -> Bunch:
    return Bunch(
        images=images,
        target=is_face.astype(np.int64),
        target_name="face",
        target_names=["no face", "face"],
        sensitive_features=data.sensitive_features,
        split=split,
        identity=data.get("identity"),
    )

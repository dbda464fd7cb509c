"""Drawn faces whose every attribute is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch, gen_batches

from fairvision.base import RandomState, as_generator
from fairvision.datasets._attributes import Correlation, draw_attributes
from fairvision.datasets._bunch import make_bunch
from fairvision.datasets._canvas import Canvas
from fairvision.datasets._nuisances import NUISANCES
from fairvision.datasets._portrait import paint_portrait
from fairvision.exceptions import DatasetError

__all__ = ["load_faces"]

_BINARY = (False, True)
LEVELS: dict[str, tuple[Any, ...]] = {
    "skin_tone": ("I", "II", "III", "IV", "V", "VI"),
    "skin_group": ("light", "dark"),
    "hair_colour": ("black", "brown", "blond", "red", "grey"),
    "eyeglasses": _BINARY,
    "smiling": _BINARY,
    "hat": _BINARY,
    "beard": _BINARY,
    "age_lines": _BINARY,
    "background": ("indoor", "outdoor"),
}
_DRAWN = tuple(name for name in LEVELS if name != "skin_group")
_LABELS = {"smiling": ("not smiling", "smiling"), "eyeglasses": ("no eyeglasses", "eyeglasses")}
_PIXELS = 2**18  # of a chunk: its planes then stay in the processor's cache
_SMALLEST = 24

_DESCR = """Drawn faces with known attributes

{n} faces of {size} x {size} pixels, made by fairvision's own drawing code; nobody is shown.
Attributes: skin_tone (Fitzpatrick I to VI; skin_group is light for I to III, dark for IV to VI),
hair_colour, eyeglasses, smiling, hat, beard, age_lines, background. Pose, light, colours, the
shape of the face and of each part, focus and noise vary independently of all of them.
probabilities: {probabilities}
correlation: {correlation}
"""


def attribute_codes(
    uniforms: Mapping[str, NDArray[np.float64]],
    probabilities: Mapping[str, Any] | None,
    correlation: Correlation | None,
) -> dict[str, NDArray[np.int64]]:
    """Levels of all attributes; the skin's tone and group are two views of one."""
    for name, value in {"probabilities": probabilities, "correlation": correlation}.items():
        if value is not None and not isinstance(value, Mapping):
            raise DatasetError(f"{name} is {value!r}; pass a dict, or None.")
    named = set(probabilities or {}) | {name for key in correlation or {} for name in key}
    if {"skin_tone", "skin_group"} <= named:
        raise DatasetError(
            "probabilities and correlation name both skin_tone and skin_group, which follows "
            "from it. Name one of the two."
        )
    derived = "skin_group" if "skin_tone" in named else "skin_tone"
    levels: dict[str, Sequence[Any]] = {k: v for k, v in LEVELS.items() if k != derived}
    codes = draw_attributes(levels, uniforms, probabilities=probabilities, correlation=correlation)
    if derived == "skin_group":
        codes["skin_group"] = codes["skin_tone"] // 3
    else:
        within = (uniforms["skin_tone"] * 3).astype(np.int64)
        codes["skin_tone"] = codes["skin_group"] * 3 + within
    return {name: codes[name] for name in LEVELS}


def attribute_frame(codes: Mapping[str, NDArray[np.int64]]) -> pd.DataFrame:
    """A column of levels for each attribute."""
    columns = {}
    for name, levels in LEVELS.items():
        dtype = bool if levels == _BINARY else object
        columns[name] = np.array(levels, dtype=dtype)[codes[name]]
    return pd.DataFrame(columns)


def traits(uniforms: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """What differs between faces of the same attributes."""
    return {k: low + (high - low) * uniforms[k] for k, (low, high) in NUISANCES.items()}


def draw(
    columns: Mapping[str, NDArray[Any]], size: int, noise: np.random.Generator, masks: bool = False
) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]:
    """Images and, with `masks`, the pixels where each attribute shows."""
    n = len(columns["scale"])
    images = np.empty((n, 3, size, size), dtype=np.uint8)
    masks_by_attribute = {name: np.empty((n, size, size), dtype=bool) for name in _DRAWN if masks}
    for rows in gen_batches(n, max(1, _PIXELS // size**2)):
        p = SimpleNamespace(
            **{k: v[rows].astype(np.float32)[:, None, None] for k, v in columns.items()}
        )
        tags = _DRAWN if masks else ()
        canvas = Canvas(size, p.shift_x, p.shift_y, p.scale, p.turn, p.soft, tags)
        paint_portrait(canvas, p)
        grain = noise.standard_normal(canvas.x.shape, dtype=np.float32)
        pixels = canvas.image
        pixels += (grain * p.noise)[:, None]
        pixels *= 255
        np.rint(np.clip(pixels, 0, 255, out=pixels), out=pixels)
        images[rows] = pixels
        for name, mask in masks_by_attribute.items():
            mask[rows] = canvas.visible[name] > 0
    return images, masks_by_attribute


def load_faces(
    n_samples: int = 2000,
    image_size: int = 64,
    *,
    target: str = "smiling",
    sensitive: str | Sequence[str] = "skin_tone",
    probabilities: Mapping[str, Any] | None = None,
    correlation: Correlation | None = None,
    random_state: RandomState = 0,
    return_masks: bool = False,
) -> Bunch:
    """Draw faces with known attributes, independent of each other or correlated as asked.

    Parameters
    ----------
    n_samples : int, default=2000
        A larger number adds faces after the same first ones.
    image_size : int, default=64
        Height and width in pixels, at least 24.
    target : str, default="smiling"
        Attribute to predict; ``"hair_colour=blond"`` makes a binary one of a level.
    sensitive : str or list of str, default="skin_tone"
        Attributes in ``sensitive_features``; ``"skin_group"`` has two levels.
    probabilities : mapping or None, default=None
        Of an attribute being true (``{"hat": 0.2}``) or of each level
        (``{"skin_tone": {"I": 0.8, "VI": 0.2}}``). Levels of an attribute that is not
        named are equally likely.
    correlation : mapping or None, default=None
        ``{("hat", "eyeglasses"): 0.9}``: hat equals eyeglasses in 90 % of faces.
        ``{("smiling", "skin_group"): 0.95}`` pairs levels by their order (not smiling
        with light). A table in place of the number gives the joint probabilities of
        the named attributes, one axis each, of two attributes or more. Entries are
        drawn in order, each given what came before. Not the `confounding` of
        :func:`biased_split`, which is the share of the confounder in one class: this
        holds over all faces, for any attributes.
    random_state : int, Generator, RandomState or None, default=0
        With the same seed, changing `probabilities` of one attribute changes that
        attribute alone: ``{"hat": 0}`` and ``{"hat": 1}`` are counterfactual pairs.
    return_masks : bool, default=False
        Whether to add ``masks``.

    Returns
    -------
    Bunch
        ``images`` (n_samples, 3, image_size, image_size) uint8, ``target``,
        ``target_names``, ``sensitive_features``, ``attributes``, ``DESCR``,
        ``covered`` (the share of the target's place in the image that each attribute's place
        covers), and
        ``masks``: for each attribute a boolean array (n_samples, image_size,
        image_size) of the pixels where it shows. That of smiling is the mouth, smiling
        or not; that of hair_colour covers brows and beard too.

    Raises
    ------
    DatasetError
        Listing the attributes or levels that there are.

    Examples
    --------
    >>> from fairvision.datasets import load_faces
    >>> faces = load_faces(200, image_size=32, correlation={("smiling", "hat"): 0.95})
    >>> faces.images.shape
    (200, 3, 32, 32)
    """
    if n_samples < 1 or image_size < _SMALLEST:
        raise DatasetError(
            f"n_samples={n_samples}, image_size={image_size}: pass n_samples of 1 or more and an "
            f"image_size of {_SMALLEST} or more."
        )
    rng = as_generator(random_state)
    drawn, noise = (np.random.default_rng(seed) for seed in rng.integers(2**63, size=2))
    names = [*LEVELS, *NUISANCES]
    uniform = dict(zip(names, drawn.random((n_samples, len(names))).T, strict=True))
    codes = attribute_codes(uniform, probabilities, correlation)
    images, masks = draw({**codes, **traits(uniform)}, image_size, noise, return_masks)
    text = _DESCR.format(
        n=n_samples, size=image_size, probabilities=probabilities, correlation=correlation
    )
    more = {"masks": masks} if return_masks else {}
    faces = make_bunch(
        images,
        attribute_frame(codes),
        target=target,
        sensitive=sensitive,
        labels=_LABELS,
        descr=text,
        **more,
    )
    faces.covered = _covered({**codes, **traits(uniform)}, image_size, target)
    return faces


def _covered(columns: Mapping[str, NDArray[Any]], size: int, target: str) -> dict[str, float]:
    """The share of the target's place that each attribute's place covers, over some faces."""
    first = {name: values[:32] for name, values in columns.items()}
    _, masks = draw(first, size, np.random.default_rng(0), masks=True)
    seen = {name: mask.sum(0) / max(mask.any((1, 2)).sum(), 1) for name, mask in masks.items()}
    seen["skin_group"] = seen["skin_tone"]
    own = seen[target.partition("=")[0]]
    places = {name: share > 0.1 for name, share in seen.items()}
    return {name: float(own[place].sum() / max(own.sum(), 1e-9)) for name, place in places.items()}

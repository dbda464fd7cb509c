"""scikit-learn's scanned digits in colours that go with the label: Coloured MNIST, small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fairvision.base import RandomState, as_generator
from fairvision.datasets._bunch import make_bunch
from fairvision.exceptions import DatasetError

__all__ = ["load_digits"]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (255, 40, 40),
    "green": (40, 220, 60),
    "blue": (70, 90, 255),
    "yellow": (245, 235, 60),
    "magenta": (235, 60, 235),
    "cyan": (60, 230, 235),
    "orange": (255, 145, 30),
    "white": (245, 245, 245),
    "brown": (150, 95, 50),
    "violet": (140, 60, 200),
}

_DESCR = """Scanned digits in colours

{n} digits of 8 x 8 pixels (UCI, as scikit-learn ships them), enlarged to {size} x {size}, on
black. The colour agrees with the label in {confounding:.0%} of rows and is one of the others
elsewhere; {label_noise:.0%} of labels are changed at random before they are coloured.
After Arjovsky, Bottou, Gulrajani, Lopez-Paz, "Invariant Risk Minimization", 2019.
"""


def _other(codes: NDArray[np.int64], n: int, shift: NDArray[np.float64]) -> NDArray[np.int64]:
    """One of the n - 1 other codes, uniformly."""
    return (codes + 1 + (shift * (n - 1)).astype(np.int64)) % n


def _pixels(scans: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Scans (n, 8, 8) in 0..16, enlarged bilinearly to (n, size, size) in 0..1."""
    at = np.clip((np.arange(size) + 0.5) * 8 / size - 0.5, 0, 7)
    low = np.minimum(at.astype(int), 6)
    weights = np.zeros((size, 8))
    weights[np.arange(size), low] = 1 - (at - low)
    weights[np.arange(size), low + 1] += at - low
    return np.clip(weights @ (scans / 16) @ weights.T, 0, 1).astype(np.float32)


def load_digits(
    *,
    target: str = "large",
    sensitive: str | Sequence[str] = "colour",
    confounding: float = 0.9,
    label_noise: float = 0.0,
    image_size: int = 28,
    random_state: RandomState = 0,
) -> Bunch:
    """Digits whose colour goes with the label (the Coloured-MNIST protocol [1]_).

    Parameters
    ----------
    target : {"large", "digit"} or another attribute, default="large"
        ``"large"``: digit >= 5, two colours. ``"digit"``: ten classes, ten colours.
    sensitive : str or list of str, default="colour"
        Attributes in ``sensitive_features``.
    confounding : float, default=0.9
        Share of each class whose colour is the one of its label; the others get
        another colour at random. No confounding is 0.5 with two colours, 0.1 with ten.
    label_noise : float, default=0.0
        Share of labels changed to another class, before colouring; 0.25 in [1]_.
    image_size : int, default=28
        Height and width in pixels, at least 8.
    random_state : int, Generator, RandomState or None, default=0

    Returns
    -------
    Bunch
        ``images`` (1797, 3, image_size, image_size) uint8, ``target``,
        ``target_names``, ``sensitive_features``, ``attributes`` (digit and large as
        labelled, ``true_digit``, ``true_large``, colour), ``DESCR``.

    References
    ----------
    .. [1] Arjovsky, Bottou, Gulrajani, Lopez-Paz, "Invariant Risk Minimization", 2019.
    """
    from sklearn.datasets import load_digits as load_scans

    for name, value in {"confounding": confounding, "label_noise": label_noise}.items():
        if not 0 <= value <= 1:
            raise DatasetError(f"{name} must be in 0..1; got {value!r}.")
    if image_size < 8:
        raise DatasetError(f"image_size is {image_size}; the scans have 8 pixels a side.")
    scans = load_scans()
    noisy, agree, other_label, other_colour = as_generator(random_state).random(
        (4, len(scans.target))
    )
    n = 10 if target.partition("=")[0] == "digit" else 2
    true = scans.target if n == 10 else (scans.target >= 5).astype(np.int64)
    label = np.where(noisy < label_noise, _other(true, n, other_label), true)
    colour = np.where(agree < confounding, label, _other(label, n, other_colour))
    attributes = pd.DataFrame({"large": label >= (5 if n == 10 else 1)})
    if n == 10:  # with two classes a changed label says no digit
        attributes["digit"] = label
    attributes["true_large"] = scans.target >= 5
    attributes["true_digit"] = scans.target
    attributes["colour"] = np.array(list(COLOURS), dtype=object)[colour]
    grey = _pixels(scans.images, image_size)
    paint = np.array(list(COLOURS.values()), dtype=np.float32)[colour]
    images = np.rint(grey[:, None] * paint[:, :, None, None]).astype(np.uint8)
    return make_bunch(
        images,
        attributes,
        target=target,
        sensitive=sensitive,
        labels={"large": ("0 to 4", "5 to 9"), "true_large": ("0 to 4", "5 to 9")},
        descr=_DESCR.format(
            n=len(images), size=image_size, confounding=confounding, label_noise=label_noise
        ),
    )

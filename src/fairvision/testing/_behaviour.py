"""Checks of what a method does: on drawn faces whose bias is known, against plain training.

Nets are small and seeds few, so what is asked is little: a gain is a difference of the
worst cell's accuracy, target by group, that six paired trainings tell from noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from fairvision.testing._data import Rows, faces, stripes
from fairvision.testing._outcome import NotApplicable, require
from fairvision.testing._subject import Subject

__all__ = [
    "does_nothing_when_disabled",
    "no_gain_from_shuffled_groups",
    "no_great_harm_without_bias",
    "recovers_planted_bias",
]

Kind = Literal["plain", "method", "shuffled"]

# With three seeds every other method that helps would be called noise.
GAIN_SEEDS = tuple(range(6))
SEEDS = (0, 1, 2)
EPOCHS = 8
CONFOUNDED, UNBIASED = 0.95, 0.5
GAIN_LEVEL = 0.9  # one-sided: to believe a gain that is claimed
ACCUSE_LEVEL = 0.975  # one-sided: to say that there is one where none may be
LEAST, HARM = 0.05, 0.10


def _rows(rate: float, kind: Kind, seed: int) -> tuple[Rows, Rows]:
    train, test = faces(rate, seed)
    if kind == "shuffled":
        groups = np.random.default_rng(seed).permutation(train.groups)
        train = Rows(train.X, train.y, groups)
    return train, test


def _right(subject: Subject, rate: float, kind: Kind, seed: int) -> tuple[float, float]:
    """Accuracy in the worst cell, and over all, on rows without bias."""
    key = rate, kind, seed
    if key not in subject.trained:
        train, test = _rows(rate, kind, seed)
        if kind == "plain":
            model: Any = subject.plain(seed, epochs=EPOCHS).fit(train.X, train.y)
            predicted = model.predict(test.X)
        else:
            model = subject.fitted(train, seed, epochs=EPOCHS)
            predicted = subject.predict(model, test)
        right = predicted == test.y
        cells = [
            right[(test.y == target) & (test.groups == group)].mean()
            for target in np.unique(test.y)
            for group in np.unique(test.groups)
        ]
        subject.trained[key] = float(min(cells)), float(right.mean())
    return subject.trained[key]


def _differences(
    subject: Subject, rate: float, kind: Kind, part: int, seeds: Sequence[int] = SEEDS
) -> NDArray[np.float64]:
    pairs = [(_right(subject, rate, kind, s), _right(subject, rate, "plain", s)) for s in seeds]
    return np.array([theirs[part] - plain[part] for theirs, plain in pairs])


def _lower(differences: NDArray[np.float64], level: float) -> float:
    """Lower end of the one-sided t interval of their mean."""
    n = len(differences)
    spread = differences.std(ddof=1) / np.sqrt(n)
    return float(differences.mean() - t.ppf(level, n - 1) * spread)


def _shown(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:+.3f}" for value in values)


def recovers_planted_bias(subject: Subject) -> None:
    """On confounded faces its worst cell is better than plain training's, beyond noise."""
    if subject.claims.no_gain_reason:
        raise NotApplicable(f"it does not claim to: {subject.claims.no_gain_reason}")
    found = _differences(subject, CONFOUNDED, "method", 0, GAIN_SEEDS)
    lower = _lower(found, GAIN_LEVEL)
    require(
        lower > 0,
        f"the worst cell's accuracy against plain training is {_shown(found)} with {len(found)} "
        f"seeds, lower bound {lower:+.3f}; state Claims.no_gain_reason, or "
        "set parameters in Claims.params that reach a gain in seconds",
    )


def no_gain_from_shuffled_groups(subject: Subject) -> None:
    """With group labels that mean nothing the gain is gone: it came from the labels."""
    if not subject.shown_at_fit:
        raise NotApplicable("it reads no groups at fit")
    # Where a gain is claimed, looked at as closely as the gain itself.
    seeds = SEEDS if subject.claims.no_gain_reason else GAIN_SEEDS
    found = _differences(subject, CONFOUNDED, "shuffled", 0, seeds)
    require(
        _lower(found, ACCUSE_LEVEL) <= 0 or found.mean() < LEAST,
        f"with shuffled groups the worst cell still gains {_shown(found)}: what helps is not "
        "what the groups say",
    )


def no_great_harm_without_bias(subject: Subject) -> None:
    """Where there is no bias it costs no more than 10 points of accuracy."""
    found = _differences(subject, UNBIASED, "method", 1)
    require(
        bool(found.mean() > -HARM),
        f"on unbiased faces the accuracy against plain training is {_shown(found)}",
    )


def does_nothing_when_disabled(subject: Subject) -> None:
    """With the parameters that it declares to switch it off, it predicts as plain training."""
    if subject.claims.disabled_params is None:
        raise NotApplicable("it declares no parameters that switch it off (Claims.disabled_params)")
    rows = stripes()
    plain = subject.plain(epochs=3).fit(rows.X, rows.y).predict_proba(rows.X)
    model = subject.fitted(rows, epochs=3, **subject.claims.disabled_params)
    found = subject.predict(model, rows, scores=True)
    require(
        found.shape == plain.shape and np.allclose(found, plain, atol=1e-6),
        f"with {dict(subject.claims.disabled_params)!r} its probabilities are up to "
        f"{np.abs(found - plain).max():.3g} from plain training's",
    )

"""Checks of the effect: on drawn faces with a known bias, against ERM training.

Nets are small and seeds few, so the checks ask for little. A gain is a higher accuracy in
the worst cell (target by group), beyond the noise between the seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.frozen import FrozenEstimator

from fairvision.base import leaves_worse_off, worst_cell
from fairvision.nn import TorchClassifier
from fairvision.testing._data import Samples, faces, stripes
from fairvision.testing._require import NotApplicable, require
from fairvision.testing._subject import Subject

_Kind = Literal["erm", "method", "shuffled groups"]

# With three seeds, every second gain would count as noise.
_SEEDS, _GAIN_SEEDS = range(3), range(6)
_EPOCHS = 8
_CONFOUNDED, _UNBIASED = 0.95, 0.5
_GAIN_LEVEL = 0.9  # one-sided, to accept a gain that the method claims
_EARLY_LEVEL = 0.975  # the same, after half of the seeds
_SHUFFLED_LEVEL = 0.975  # one-sided, to report a gain from shuffled groups
_MIN_GAIN, _MAX_LOSS, _NO_LOSS = 0.05, 0.10, 0.02


def _accuracies(subject: Subject, rate: float, kind: _Kind, seed: int) -> tuple[float, float]:
    """Accuracy in the worst cell and overall, on unbiased test samples."""
    key = rate, kind, seed
    if key in subject.accuracies:
        return subject.accuracies[key]
    train, test = faces(rate, seed)
    if kind == "erm":
        erm, plain = subject.erm(seed, epochs=_EPOCHS), _plain(seed, subject.training)
        if repr(erm.get_params()) == repr(plain.get_params()):
            return _plain_accuracies(rate, seed, tuple(subject.training.items()))
        predicted = erm.fit(train.X, train.y).predict(test.X)
    else:
        groups = train.groups
        if kind == "shuffled groups":
            groups = np.random.default_rng(seed).permutation(groups)
        model = subject.fit(subject.model(seed, epochs=_EPOCHS), train, groups)
        predicted = subject.predict(model, test)
    subject.accuracies[key] = _worst_and_overall(test, predicted)
    return subject.accuracies[key]


def _plain(seed: int, training: Mapping[str, Any]) -> TorchClassifier:
    return TorchClassifier(max_epochs=_EPOCHS, random_state=seed, **training)


@cache
def _plain_accuracies(
    rate: float, seed: int, training: tuple[tuple[str, Any], ...]
) -> tuple[float, float]:
    """Those of the baseline that methods without training parameters have in common."""
    train, test = faces(rate, seed)
    erm = _plain(seed, dict(training)).fit(train.X, train.y)
    return _worst_and_overall(test, erm.predict(test.X))


def _worst_and_overall(test: Samples, predicted: NDArray[Any]) -> tuple[float, float]:
    worst = worst_cell(test.y, test.groups, predicted)
    return worst.accuracy, float((predicted == test.y).mean())


def _gains(subject: Subject, rate: float, kind: _Kind, seeds: range) -> NDArray[np.float64]:
    """Accuracy minus that of ERM training: a row per seed, columns worst cell and overall."""
    pairs = [
        (_accuracies(subject, rate, kind, s), _accuracies(subject, rate, "erm", s)) for s in seeds
    ]
    return np.array([np.subtract(method, erm) for method, erm in pairs])


def _lower(gains: NDArray[np.float64], level: float) -> float:
    """Lower end of the one-sided t interval of the mean."""
    n = len(gains)
    return float(gains.mean() - t.ppf(level, n - 1) * gains.std(ddof=1) / np.sqrt(n))


def _text(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:+.3f}" for value in values)


def does_nothing_when_disabled(subject: Subject) -> None:
    """With the parameters in `Claims.disabled_params` it predicts as ERM training does."""
    params = subject.claims.disabled_params
    if params is None:
        raise NotApplicable("it has no Claims.disabled_params")
    data = stripes()
    erm = subject.erm(epochs=3).fit(data.X, data.y).predict_proba(data.X)
    scores = subject.scores(subject.fitted(data, epochs=3, **params), data)
    require(
        scores.shape == erm.shape and np.allclose(scores, erm, atol=1e-6),
        f"with {dict(params)!r} its probabilities are up to {np.abs(scores - erm).max():.3g} "
        "from those of ERM training",
    )


def recovers_planted_bias(subject: Subject) -> None:
    """On confounded faces its worst cell is better than that of ERM training, beyond noise."""
    if subject.claims.no_gain_reason:
        raise NotApplicable(f"it does not claim to: {subject.claims.no_gain_reason}")
    gains = _gains(subject, _CONFOUNDED, "method", _SEEDS)[:, 0]
    if _lower(gains, _EARLY_LEVEL) > 0:
        return
    gains = _gains(subject, _CONFOUNDED, "method", _GAIN_SEEDS)[:, 0]
    lower = _lower(gains, _GAIN_LEVEL)
    require(
        lower > 0,
        f"the worst cell's accuracy against ERM training is {_text(gains)} with {len(gains)} "
        f"seeds, lower bound {lower:+.3f}; state Claims.no_gain_reason, or set parameters in "
        "Claims.params that reach a gain in seconds",
    )


def no_gain_from_shuffled_groups(subject: Subject) -> None:
    """With shuffled group labels the gain is gone: it came from the labels."""
    if not subject.reads_groups_at_fit:
        raise NotApplicable("it reads no groups at fit")
    if subject.claims.no_gain_reason:
        raise NotApplicable("it claims no gain")
    gains = _gains(subject, _CONFOUNDED, "shuffled groups", _SEEDS)[:, 0]
    if -_lower(-gains, _GAIN_LEVEL) < _MIN_GAIN:  # surely a smaller gain
        return
    gains = _gains(subject, _CONFOUNDED, "shuffled groups", _GAIN_SEEDS)[:, 0]
    require(
        _lower(gains, _SHUFFLED_LEVEL) <= 0 or gains.mean() < _MIN_GAIN,
        f"with shuffled groups the worst cell still gains {_text(gains)}, so the gain does not "
        "come from the groups",
    )


def no_great_harm_without_bias(subject: Subject) -> None:
    """On unbiased faces it costs at most 10 points of accuracy."""
    if _gains(subject, _UNBIASED, "method", _SEEDS[:1]).item(1) > -_NO_LOSS:
        return
    gains = _gains(subject, _UNBIASED, "method", _SEEDS)[:, 1]
    require(
        bool(gains.mean() > -_MAX_LOSS),
        f"on unbiased faces the accuracy against ERM training is {_text(gains)}",
    )


def leaves_nobody_worse_off(subject: Subject) -> None:
    """Given few rows, post-processing does not lower the worst cell of the net it was given.

    Once the net is good, and once it is biased.
    """
    if subject.method.stage != "post":
        raise NotApplicable("only a post-processing method is given a net")
    few = np.arange(40)
    nets = {"good": (stripes(128), stripes(440, seed=1)), "biased": faces(_CONFOUNDED, 0)}
    for kind, (train, held) in nets.items():
        given = subject.erm(0, epochs=_EPOCHS).fit(train.X, train.y)
        rest = np.arange(len(few), len(held.y))
        rows, test = held.take(few), held.take(rest)
        before = given.predict(test.X)
        for seed in _SEEDS:
            model = subject.make(seed, estimator=FrozenEstimator(given))
            after = subject.predict(subject.fit(model, rows), test)
            require(
                not leaves_worse_off(test.y, test.groups, before, after),
                f"on {len(few)} rows around a {kind} net, the worst cell falls from "
                f"{worst_cell(test.y, test.groups, before)} to "
                f"{worst_cell(test.y, test.groups, after)}; keep the given net where "
                "fairvision.base.leaves_worse_off says so, or the rows show no gain",
            )

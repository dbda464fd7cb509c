"""Checks of state: nothing is kept that should not be, nothing touched that is not its own."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from fairvision.testing._data import stripes
from fairvision.testing._outcome import NotApplicable, require, same, trying
from fairvision.testing._subject import Subject

__all__ = [
    "fit_forgets_an_earlier_fit",
    "global_random_state_is_left_alone",
    "input_is_left_alone",
    "parameters_are_left_alone",
    "same_seed_same_result",
]


def fit_forgets_an_earlier_fit(subject: Subject) -> None:
    """Fitted on other rows first, it predicts as if it had not been."""
    rows, first = stripes(), stripes(96, seed=1)
    model = subject.fit(subject.model(), first)
    with trying("a second fit"):
        again = subject.fit(model, rows)
    one, two = (subject.predict(m, rows, scores=True) for m in (again, subject.fitted(rows)))
    require(same(one, two), "a second fit is not what a first one would be")


def input_is_left_alone(subject: Subject) -> None:
    """Images, targets and groups are as they were, and may be read-only."""
    rows = stripes()
    copies = rows.X.copy(), rows.y.copy(), rows.groups.copy()
    model = subject.fitted(rows)
    subject.predict(model, rows)
    for name, array, copy in zip(("X", "y", "groups"), vars(rows).values(), copies, strict=True):
        require(same(array, copy), f"fit or predict changes {name}")
        array.flags.writeable = False
    with trying("read-only input"):
        subject.predict(subject.fitted(rows), rows)


def parameters_are_left_alone(subject: Subject) -> None:
    """`fit` changes no parameter, and fits no estimator that it was given."""
    model = subject.model()
    before = {name: (value, repr(value)) for name, value in model.get_params().items()}
    subject.fit(model, stripes())
    after = model.get_params()
    changed = [k for k, (v, r) in before.items() if after[k] is not v or repr(after[k]) != r]
    require(not changed, f"fit changes the parameters {', '.join(changed)}")
    for name, value in after.items():
        fitted = (
            [a for a in vars(value) if a.endswith("_") and not a.startswith("_")]
            if (hasattr(value, "fit") and hasattr(value, "get_params"))
            else []
        )
        require(not fitted, f"fit fits the {name} that it was given; clone it first")


def same_seed_same_result(subject: Subject) -> None:
    """The same random_state gives the same result, bit for bit."""
    rows = stripes()
    one, two = (subject.predict(subject.fitted(rows), rows, scores=True) for _ in range(2))
    require(same(one, two), "two fits with random_state=0 predict differently")
    if "random_state" not in subject.parameters and subject.method.stage == "in":
        raise NotApplicable("it has no random_state, and gives the same result all the same")


def _states() -> list[Any]:
    numpy: Any = np.random.get_state()  # noqa: NPY002
    return [
        numpy[1].tobytes(),
        numpy[2],
        torch.get_rng_state().numpy().tobytes(),
        random.getstate(),
    ]


def global_random_state_is_left_alone(subject: Subject) -> None:
    """Neither numpy's, torch's nor Python's global generator moves."""
    rows, before = stripes(), _states()
    model = subject.fitted(rows)
    subject.predict(model, rows)
    names = ("numpy's", "numpy's", "torch's", "Python's")
    moved = [n for n, a, b in zip(names, before, _states(), strict=True) if a != b]
    require(not moved, f"fit or predict moves {moved[0] if moved else ''} global generator")

"""Checks of state: `fit` starts anew, and changes nothing but the estimator."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from fairvision.testing._data import stripes
from fairvision.testing._require import NotApplicable, identical, require, step
from fairvision.testing._subject import Subject


def fit_forgets_an_earlier_fit(subject: Subject) -> None:
    """A second `fit` gives what a first one on the same data would give."""
    data = stripes()
    model = subject.fit(subject.model(), stripes(96, seed=1))
    with step("a second fit"):
        subject.fit(model, data)
    second, first = (subject.scores(m, data) for m in (model, subject.fitted(data)))
    require(identical(second, first), "a second fit gives another result than a first one")


def input_is_left_alone(subject: Subject) -> None:
    """`fit` and `predict` do not change images, targets or groups, and take read-only ones."""
    data = stripes()
    copies = {name: array.copy() for name, array in vars(data).items()}
    subject.predict(subject.fitted(data), data)
    for name, copy in copies.items():
        array = getattr(data, name)
        require(identical(array, copy), f"fit or predict changes {name}")
        array.flags.writeable = False
    with step("read-only input"):
        subject.predict(subject.fitted(data), data)


def parameters_are_left_alone(subject: Subject) -> None:
    """`fit` changes no parameter, and fits no estimator that is a parameter."""
    model = subject.model()
    before = {name: (value, repr(value)) for name, value in model.get_params().items()}
    subject.fit(model, stripes())
    after = model.get_params()
    changed = [k for k, (v, r) in before.items() if after[k] is not v or repr(after[k]) != r]
    require(not changed, f"fit changes the parameters {', '.join(changed)}")
    for name, value in after.items():
        if hasattr(value, "fit") and hasattr(value, "get_params"):
            fitted = [a for a in vars(value) if a.endswith("_") and not a.startswith("_")]
            require(not fitted, f"fit fits the {name} that it was given; clone it first")


def same_seed_same_result(subject: Subject) -> None:
    """The same random_state gives the same result, bit for bit."""
    data = stripes()
    one, two = (subject.scores(subject.fitted(data), data) for _ in range(2))
    require(identical(one, two), "two fits with random_state=0 predict differently")
    if "random_state" not in subject.parameters and subject.method.stage == "in":
        raise NotApplicable("it has no random_state, and two fits give the same result")


def _random_states() -> dict[str, Any]:
    numpy: Any = np.random.get_state()  # noqa: NPY002
    return {
        "numpy's": (numpy[1].tobytes(), numpy[2]),
        "torch's": torch.get_rng_state().numpy().tobytes(),
        "Python's": random.getstate(),
    }


def global_random_state_is_left_alone(subject: Subject) -> None:
    """The global random generators of numpy, torch and Python stay as they are."""
    data, before = stripes(), _random_states()
    subject.predict(subject.fitted(data), data)
    after = _random_states()
    changed = [name for name in before if before[name] != after[name]]
    require(not changed, f"fit or predict moves {' and '.join(changed)} global generator")

"""Checks of group labels: valid and invalid ones, and when the method really reads them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator

from fairvision.exceptions import GroupsRequiredError
from fairvision.testing._data import Samples, stripes
from fairvision.testing._require import (
    NotApplicable,
    identical,
    require,
    require_error,
    step,
)
from fairvision.testing._subject import Subject

_EPOCHS = 8  # enough for a net to learn what the groups could change


def _fit(subject: Subject, data: Samples, groups: Any = None) -> Any:
    """Fit the method itself with these groups, whatever it declares."""
    method = subject.make()
    fit = method.fit_resample if subject.method.stage == "pre" else method.fit
    return fit(data.X, data.y, sensitive_features=groups)


def _skip_without_groups(subject: Subject) -> None:
    if not subject.reads_groups_at_fit:
        raise NotApplicable("it reads no groups at fit")


def takes_every_form_of_groups(subject: Subject) -> None:
    """A list, an array, a Series and a DataFrame of the same labels give the same result."""
    _skip_without_groups(subject)
    data = stripes()
    index = np.arange(100, 100 + len(data.y))
    forms: dict[str, Any] = {
        "a list": data.groups.tolist(),
        "a Series with an index of its own": pd.Series(data.groups, index=index, name="g"),
        "a DataFrame of one column": pd.DataFrame({"g": data.groups}, index=index),
    }
    expected = subject.scores(subject.fitted(data), data)
    for name, groups in forms.items():
        with step(f"groups as {name}"):
            model = subject.fit(subject.model(), data, groups)
            scores = subject.scores(model, data, groups)
        require(identical(scores, expected), f"groups as {name} change the result")


def takes_the_groups_it_declares(subject: Subject) -> None:
    """It takes three groups if it declares "multiple", else a ValueError; and two columns."""
    _skip_without_groups(subject)
    three = stripes(96, n_groups=3)
    if "multiple" not in subject.method.groups:
        require_error(lambda: _fit(subject, three, three.groups), "three groups")
    else:
        with step("three groups"):
            subject.predict(subject.fitted(three), three)
    data = stripes(96)
    columns = pd.DataFrame({"one": data.groups, "two": np.arange(96) // 4 % 2})
    with step("two columns of groups"):
        model = subject.fit(subject.model(), data, columns)
        subject.predict(model, data, columns)


def refuses_bad_groups(subject: Subject) -> None:
    """Too few labels or a missing label is a ValueError that names the fault."""
    data = stripes()
    too_few, n = data.groups[:-4], len(data.y)
    message = require_error(lambda: _fit(subject, data, too_few), "groups shorter than X")
    require(
        str(len(too_few)) in message and str(n) in message,
        f"groups shorter than X: the error does not say {len(too_few)} and {n}: {message}",
    )
    missing = data.groups.astype(object)
    missing[5] = None
    require_error(lambda: _fit(subject, data, missing), "a missing group label")
    # A method may take a single group, or refuse it with a ValueError.
    with step("a single group"), suppress(ValueError):
        _fit(subject, data, np.full(n, "a"))


def refuses_missing_groups(subject: Subject) -> None:
    """Without the groups that it needs, it raises a GroupsRequiredError."""
    data = stripes()
    if subject.reads_groups_at_fit:
        require_error(lambda: _fit(subject, data), "fit without groups", GroupsRequiredError)
    else:
        with step("fit without groups, which it declares not to read"):
            subject.model().fit(data.X, data.y)
    if subject.method.needs.predict:
        model = subject.fitted(data)
        name = "predict without groups"
        require_error(lambda: model.predict(data.X), name, GroupsRequiredError)


def groups_are_read_when_declared_and_only_then(subject: Subject) -> None:
    """Other groups change the result if the method declares that it reads them, and only then.

    A method that declares "validation" must debias a `FrozenEstimator` with the groups of
    samples that the estimator was not trained on.
    """
    data, needs = _unlearnable(), subject.method.needs
    shuffled = replace(data, groups=np.random.default_rng(1).permutation(data.groups))
    if needs.validation and not needs.fit:
        _debias_frozen_estimator(subject)
    before, after = (_scores_after_fit(subject, samples, data) for samples in (data, shuffled))
    if subject.reads_groups_at_fit:
        message = f"needs says {needs}, and other groups at fit change nothing"
        require(not identical(before, after), message)
    else:
        message = "needs says never, and other groups at fit change the result"
        require(identical(before, after), message)
    if needs.predict:
        model = subject.fitted(data, epochs=_EPOCHS)
        one, other = (subject.scores(model, data, np.full(len(data.y), g)) for g in "ab")
        message = "needs says predict, and the group of a row changes nothing"
        require(not identical(one, other), message)


def _unlearnable() -> Samples:
    """Samples of which some in group "a" occur twice, with both targets.

    However long a net trains, it makes errors in that group, so the groups differ.
    """
    data = stripes(96)
    twice = data.take(np.flatnonzero((data.groups == "a") & (np.arange(96) % 3 == 0)))
    pairs = (data.X, twice.X), (data.y, 1 - twice.y), (data.groups, twice.groups)
    return Samples(*map(np.concatenate, pairs))


def _scores_after_fit(subject: Subject, train: Samples, test: Samples) -> Any:
    # One that keeps its net where nobody gains must act, or its groups could change nothing.
    acts = {"allow_worse": True} if "allow_worse" in subject.parameters else {}
    model = subject.model(epochs=_EPOCHS, **acts)
    model.fit(train.X, train.y, sensitive_features=train.groups)
    return subject.scores(model, test)


def _debias_frozen_estimator(subject: Subject) -> None:
    require(
        "estimator" in subject.parameters,
        "needs says validation, and __init__ has no parameter `estimator`",
    )
    train, validation = stripes(64), stripes(64, seed=1)
    net = subject.erm(epochs=_EPOCHS).fit(train.X, train.y)
    before = net.predict_proba(validation.X)
    with step("debiasing a FrozenEstimator with groups of validation samples only"):
        model = subject.fit(subject.make(estimator=FrozenEstimator(net)), validation)
        subject.predict(model, validation)
    after = net.predict_proba(validation.X)
    require(identical(before, after), "it changes the net in a FrozenEstimator")

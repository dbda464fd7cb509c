"""Checks of group labels: their forms, their faults, and when they are really read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fairvision.exceptions import GroupsRequiredError
from fairvision.testing._data import Rows, stripes
from fairvision.testing._outcome import Broken, NotApplicable, refuses, require, same, trying
from fairvision.testing._subject import Subject

__all__ = [
    "groups_are_read_when_declared_and_only_then",
    "refuses_bad_groups",
    "refuses_missing_groups",
    "takes_every_form_of_groups",
    "takes_the_groups_it_declares",
]

EPOCHS = 8  # so that a net knows something that groups could change


def _fit(subject: Subject, rows: Rows, groups: Any) -> Any:
    """Fit the method's own object, with these groups whatever it declares."""
    made = subject.make()
    fit = made.fit_resample if subject.method.stage == "pre" else made.fit
    return fit(rows.X, rows.y, sensitive_features=groups)


def _needs_them(subject: Subject) -> None:
    if not subject.shown_at_fit:
        raise NotApplicable("it reads no groups at fit")


def takes_every_form_of_groups(subject: Subject) -> None:
    """A list, an array, a Series and a DataFrame of the same labels give the same result."""
    _needs_them(subject)
    rows = stripes()
    index = np.arange(100, 100 + len(rows.y))
    forms: dict[str, Any] = {
        "a list": rows.groups.tolist(),
        "a Series with an index of its own": pd.Series(rows.groups, index=index, name="g"),
        "a DataFrame of one column": pd.DataFrame({"g": rows.groups}, index=index),
    }
    expected = subject.predict(subject.fitted(rows), rows, scores=True)
    for name, groups in forms.items():
        with trying(f"groups as {name}"):
            model = subject.fit(subject.model(), rows, groups)
            found = subject.predict(model, rows, groups, scores=True)
        require(same(found, expected), f"groups as {name} give another result than as an array")


def takes_the_groups_it_declares(subject: Subject) -> None:
    """Three groups are taken where "multiple" is declared, else refused; and two columns."""
    _needs_them(subject)
    rows = stripes(96, n_groups=3)
    if "multiple" not in subject.method.groups:
        refuses(lambda: _fit(subject, rows, rows.groups), "three groups", ValueError)
    else:
        with trying("three groups"):
            subject.predict(subject.fitted(rows), rows)
    two = stripes(96)
    columns = pd.DataFrame({"one": two.groups, "two": np.arange(96) // 4 % 2})
    with trying("two columns of groups"):
        model = subject.fit(subject.model(), two, columns)
        subject.predict(model, two, columns)


def refuses_bad_groups(subject: Subject) -> None:
    """Groups of another length, or with a label missing: an error that names the fault."""
    rows = stripes()
    short = rows.groups[:-4]
    message = refuses(lambda: _fit(subject, rows, short), "groups shorter than X", ValueError)
    numbers = str(len(short)), str(len(rows.y))
    require(
        all(number in message for number in numbers),
        f"groups shorter than X: the error does not say {' and '.join(numbers)}: {message}",
    )
    gap = rows.groups.astype(object)
    gap[5] = None
    refuses(lambda: _fit(subject, rows, gap), "a missing group label", ValueError)
    try:
        _fit(subject, rows, np.full(len(rows.y), "a"))
    except ValueError:
        pass
    except Exception as error:
        raise Broken(
            f"a single group raised {type(error).__name__}; expected ValueError"
        ) from error


def refuses_missing_groups(subject: Subject) -> None:
    """Where groups are needed and not given, it says so; it never falls back in silence."""
    rows, needs = stripes(), subject.method.needs
    if subject.shown_at_fit:
        made = subject.make()
        fit = made.fit_resample if subject.method.stage == "pre" else made.fit
        refuses(lambda: fit(rows.X, rows.y), "fit without groups", GroupsRequiredError)
    if needs.predict:
        model = subject.fitted(rows)
        refuses(lambda: model.predict(rows.X), "predict without groups", GroupsRequiredError)
    if str(needs) == "never":
        with trying("fit without groups, which it declares to need never"):
            subject.model().fit(rows.X, rows.y)


def groups_are_read_when_declared_and_only_then(subject: Subject) -> None:
    """Other groups change nothing where none are declared to be read, and something where they are.

    For held-out groups: a net trained without any, in a `FrozenEstimator`, is debiased with the
    groups of other rows alone.
    """
    rows, needs = _hard(), subject.method.needs
    other = replace(rows, groups=np.random.default_rng(1).permutation(rows.groups))
    if needs.validation and not needs.fit:
        _validation_only(subject)
    one, two = (_scores(subject, seen, rows) for seen in (rows, other))
    if not (needs.fit or needs.validation):
        require(same(one, two), "needs says never, and other groups at fit change the result")
    else:
        require(not same(one, two), f"needs says {needs}, and other groups at fit change nothing")
    if needs.predict:
        model = subject.fitted(rows, epochs=EPOCHS)
        found = [subject.predict(model, rows, np.full(len(rows.y), g), scores=True) for g in "ab"]
        require(not same(*found), "needs says predict, and the group of a row changes nothing")


def _hard() -> Rows:
    """Rows of which a third of one group's come again with the other target.

    No net gets both right, so that there are errors to be told by group, however long it trains.
    """
    rows = stripes(96)
    again = rows.take(np.flatnonzero((rows.groups == "a") & (np.arange(96) % 3 == 0)))
    parts = (rows.X, again.X), (rows.y, 1 - again.y), (rows.groups, again.groups)
    return Rows(*(np.concatenate(pair) for pair in parts))


def _scores(subject: Subject, told: Rows, rows: Rows) -> Any:
    model = subject.model(epochs=EPOCHS)
    model.fit(told.X, told.y, sensitive_features=told.groups)
    return subject.predict(model, rows, scores=True)


def _validation_only(subject: Subject) -> None:
    from sklearn.frozen import FrozenEstimator

    if "estimator" not in subject.parameters:
        raise Broken("needs says validation, and there is no `estimator` trained before")
    trained, held_out = stripes(64), stripes(64, seed=1)
    net = subject.plain(epochs=EPOCHS).fit(trained.X, trained.y)
    before = net.predict_proba(held_out.X)
    with trying("debiasing a FrozenEstimator with held-out groups alone"):
        model = subject.fit(subject.make(estimator=FrozenEstimator(net)), held_out)
        subject.predict(model, held_out)
    require(same(before, net.predict_proba(held_out.X)), "it changes the net in a FrozenEstimator")

"""Checks of the class itself: its constructor, its signatures, its presets."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fairvision.plugins import describe
from fairvision.testing._data import stripes
from fairvision.testing._outcome import NotApplicable, refuses, require, trying
from fairvision.testing._subject import Subject

__all__ = [
    "clone_keeps_parameters",
    "constructor_only_stores",
    "has_features",
    "presets_can_be_made",
    "signatures_follow_the_stage",
    "takes_sample_weight",
    "unfitted_says_so",
]

_METHODS = {
    "pre": ("fit", "fit_resample"),
    "in": ("fit", "predict", "predict_proba", "score"),
    "post": ("fit", "predict", "predict_proba"),
}


def constructor_only_stores(subject: Subject) -> None:
    """`__init__` keeps every parameter as it is given, and does nothing else."""
    kinds = {p.kind for p in subject.parameters.values()}
    variable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    require(not kinds & variable, "__init__ takes *args or **kwargs; name every parameter")
    # Values that nothing can be computed from.
    given = {name: object() for name in subject.parameters}
    try:
        made = subject.cls(**given)
    except Exception as error:
        message = f"__init__ works with its parameters, leave that to fit: {describe(error)}"
        require(False, message)
    changed = [name for name, value in given.items() if getattr(made, name, None) is not value]
    require(not changed, f"__init__ does not store as they are: {', '.join(changed)}")
    # A class may leave parameters of its base at their defaults.
    bases = (inspect.signature(base).parameters for base in subject.cls.__mro__[1:-1])
    more = sorted(vars(made).keys() - given.keys() - {name for base in bases for name in base})
    require(not more, f"__init__ sets what is no parameter: {', '.join(more)}")


def signatures_follow_the_stage(subject: Subject) -> None:
    """The stage's methods are there, and group labels are an explicit keyword of theirs."""
    stage = subject.method.stage
    made = subject.make()
    missing = [name for name in _METHODS[stage] if not hasattr(made, name)]
    require(not missing, f"it has no {', '.join(missing)}")
    if stage == "post":
        require("estimator" in subject.parameters, "__init__ has no parameter `estimator`")
    told = ["fit", "fit_resample"] if stage == "pre" else ["fit"]
    for name in told:
        _takes_groups(getattr(subject.cls, name), name)
    wants = stage != "pre" and "sensitive_features" in inspect.signature(made.predict).parameters
    declared = subject.method.needs.predict
    require(
        wants == declared,
        f"needs.predict is {declared}, and predict {'takes' if wants else 'takes no'} "
        "sensitive_features",
    )


def _takes_groups(method: Any, name: str) -> None:
    parameters = inspect.signature(method).parameters
    groups = parameters.get("sensitive_features")
    require(groups is not None, f"{name} has no parameter `sensitive_features`")
    assert groups is not None
    require(
        groups.kind is inspect.Parameter.KEYWORD_ONLY,
        f"{name} takes sensitive_features by position; put it behind a *",
    )
    require(
        not any(p.kind is p.VAR_KEYWORD for p in parameters.values()),
        f"{name} takes **kwargs, which hides misspelt keywords and breaks metadata routing",
    )


def has_features(subject: Subject) -> None:
    """A classifier of the "in" stage gives its learned features by `transform`."""
    if subject.method.stage != "in":
        raise NotApplicable("only classifiers that train a net have features of their own")
    require(hasattr(subject.make(), "transform"), "it has no transform")


def takes_sample_weight(subject: Subject) -> None:
    """A classifier of the "in" stage takes weights; ones as good as no weights."""
    if subject.method.stage != "in":
        raise NotApplicable("only classifiers that train a net weigh rows")
    made, rows = subject.make(epochs=2), stripes()
    require(
        "sample_weight" in inspect.signature(made.fit).parameters,
        "fit has no parameter `sample_weight`",
    )
    told = {"sensitive_features": rows.groups} if subject.shown_at_fit else {}
    with trying("fit with weights"):
        made.fit(rows.X, rows.y, sample_weight=np.ones(len(rows.y)), **told)
    one = subject.predict(made, rows, scores=True)
    two = subject.predict(subject.fitted(rows, epochs=2), rows, scores=True)
    require(np.allclose(one, two, atol=1e-4), "weights of 1 give another result than none")


def clone_keeps_parameters(subject: Subject) -> None:
    """`clone` gives an unfitted object with equal parameters."""
    made = subject.make()
    with trying("clone"):
        again = clone(made)
    require(again is not made, "clone returned the object itself")
    before, after = made.get_params(deep=False), again.get_params(deep=False)
    lost = [name for name in before if repr(before[name]) != repr(after.get(name))]
    require(not lost, f"clone changed {', '.join(lost)}")


def presets_can_be_made(subject: Subject) -> None:
    """Every preset sets parameters that exist."""
    if not subject.method.presets:
        raise NotApplicable("it has no presets")
    for name, values in subject.method.presets.items():
        unknown = sorted(values.keys() - subject.parameters.keys())
        require(not unknown, f"the preset {name!r} sets {', '.join(unknown)}, which do not exist")
        with trying(f"the preset {name!r}"):
            subject.cls(**values)


def unfitted_says_so(subject: Subject) -> None:
    """Before `fit`, `predict` raises scikit-learn's NotFittedError."""
    rows, model = stripes(8), subject.model()
    refuses(lambda: subject.predict(model, rows), "predict before fit", NotFittedError)

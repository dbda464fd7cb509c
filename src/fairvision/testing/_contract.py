"""Checks of the class: its constructor, its signatures, its presets."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fairvision.testing._data import stripes
from fairvision.testing._require import NotApplicable, require, require_error, step
from fairvision.testing._subject import Subject

_METHODS = {
    "pre": ("fit", "fit_resample"),
    "in": ("fit", "predict", "predict_proba", "score"),
    "post": ("fit", "predict", "predict_proba"),
}


def constructor_only_stores(subject: Subject) -> None:
    """`__init__` stores every parameter unchanged, and does nothing else."""
    kinds = {p.kind for p in subject.parameters.values()}
    variable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    require(not kinds & variable, "__init__ takes *args or **kwargs; name every parameter")
    # A bare object raises in any __init__ that computes something.
    given = {name: object() for name in subject.parameters}
    with step("__init__ works with its parameters, which fit should do: it"):
        made = subject.cls(**given)
    changed = [name for name, value in given.items() if getattr(made, name, None) is not value]
    require(not changed, f"__init__ changes the parameters {', '.join(changed)}")
    # A class need not take every parameter of its base class.
    bases = (inspect.signature(base).parameters for base in subject.cls.__mro__[1:-1])
    extra = sorted(vars(made).keys() - given.keys() - {name for base in bases for name in base})
    require(not extra, f"__init__ sets attributes that are no parameters: {', '.join(extra)}")


def signatures_follow_the_stage(subject: Subject) -> None:
    """The stage's methods exist, and take group labels as an explicit keyword."""
    stage, made = subject.method.stage, subject.make()
    missing = [name for name in _METHODS[stage] if not hasattr(made, name)]
    require(not missing, f"it has no {', '.join(missing)}")
    if stage == "post":
        require("estimator" in subject.parameters, "__init__ has no parameter `estimator`")
    for name in ("fit", "fit_resample") if stage == "pre" else ("fit",):
        _takes_groups(getattr(subject.cls, name), name)
    takes_groups = (
        stage != "pre" and "sensitive_features" in inspect.signature(made.predict).parameters
    )
    declared = subject.method.needs.predict
    require(
        takes_groups == declared,
        f"needs.predict is {declared}, and predict {'takes' if takes_groups else 'takes no'} "
        "sensitive_features",
    )


def _takes_groups(method: Any, name: str) -> None:
    parameters = inspect.signature(method).parameters
    require("sensitive_features" in parameters, f"{name} has no parameter `sensitive_features`")
    require(
        parameters["sensitive_features"].kind is inspect.Parameter.KEYWORD_ONLY,
        f"{name} takes sensitive_features by position; put it behind a *",
    )
    require(
        not any(p.kind is p.VAR_KEYWORD for p in parameters.values()),
        f"{name} takes **kwargs, which hides misspelt keywords and breaks metadata routing",
    )


def takes_sample_weight(subject: Subject) -> None:
    """A classifier of the "in" stage takes sample weights; weights of 1 change nothing."""
    if subject.method.stage != "in":
        raise NotApplicable("only an in-processing method weighs samples")
    model, data = subject.make(epochs=2), stripes()
    require(
        "sample_weight" in inspect.signature(model.fit).parameters,
        "fit has no parameter `sample_weight`",
    )
    with step("fit with weights"):
        model.fit(data.X, data.y, sample_weight=np.ones(len(data.y)), **subject.fit_params(data))
    weighted, plain = (subject.scores(m, data) for m in (model, subject.fitted(data, epochs=2)))
    require(np.allclose(weighted, plain, atol=1e-4), "weights of 1 give another result than none")


def has_features(subject: Subject) -> None:
    """A classifier of the "in" stage has `transform`, which returns its learned features."""
    if subject.method.stage != "in":
        raise NotApplicable("only an in-processing method has features of its own")
    require(hasattr(subject.make(), "transform"), "it has no transform")


def clone_keeps_parameters(subject: Subject) -> None:
    """`clone` returns an unfitted object with equal parameters."""
    made = subject.make()
    with step("clone"):
        copy = clone(made)
    require(copy is not made, "clone returned the object itself")
    before, after = made.get_params(deep=False), copy.get_params(deep=False)
    changed = [name for name in before if repr(before[name]) != repr(after.get(name))]
    require(not changed, f"clone changed {', '.join(changed)}")


def presets_can_be_made(subject: Subject) -> None:
    """Every preset sets parameters that exist."""
    if not subject.method.presets:
        raise NotApplicable("it has no presets")
    for name, values in subject.method.presets.items():
        unknown = sorted(values.keys() - subject.parameters.keys())
        require(not unknown, f"the preset {name!r} sets {', '.join(unknown)}, which do not exist")
        with step(f"the preset {name!r}"):
            subject.cls(**values)
    unknown = sorted({*subject.method.needs.pixels_except} - {*subject.method.presets})
    require(not unknown, f"Needs.pixels_except names {', '.join(unknown)}, no preset of its own")


def unfitted_says_so(subject: Subject) -> None:
    """`predict` before `fit` raises scikit-learn's NotFittedError."""
    data, model = stripes(8), subject.model()
    require_error(lambda: subject.predict(model, data), "predict before fit", NotFittedError)

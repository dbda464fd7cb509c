"""Checks of use: pipelines, searches, files, and scikit-learn's own checks."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest
from zlib import crc32

import numpy as np
import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from fairvision.base import fitted_attributes
from fairvision.exceptions import SavingError
from fairvision.plugins import describe
from fairvision.saving import load, save
from fairvision.testing._data import Samples, stripes
from fairvision.testing._require import CheckFailed, identical, require, step
from fairvision.testing._subject import Subject


def works_in_a_pipeline(subject: Subject) -> None:
    """As the last step of a Pipeline with metadata routing it predicts as it does alone."""
    data = stripes()
    with sklearn.config_context(enable_metadata_routing=True), step("a Pipeline"):
        pipeline = make_pipeline("passthrough", subject.model())
        pipeline.fit(data.X, data.y, **subject.fit_params(data))
        predicted = pipeline.predict(data.X, **subject.predict_params(data))
    alone = subject.predict(subject.fitted(data), data)
    require(identical(predicted, alone), "it predicts otherwise in a Pipeline than alone")


def works_in_a_grid_search(subject: Subject) -> None:
    """GridSearchCV splits the groups along with the rows, and searches its parameters."""
    data, model = stripes(96), subject.model()
    seeds = [name for name in model.get_params() if name.endswith("random_state")]
    grid = {min(seeds, key=len): [0, 1]} if seeds else {}
    with sklearn.config_context(enable_metadata_routing=True), step("GridSearchCV"):
        search = GridSearchCV(model, grid, cv=2, error_score="raise")
        search.fit(data.X, data.y, **subject.fit_params(data))
    require(bool(np.isfinite(search.best_score_)), "its score in a grid search is not finite")


def _survives(subject: Subject, action: str, round_trip: Callable[[Any], Any]) -> None:
    data = stripes()
    model = subject.fitted(data)
    with step(action):
        copy = round_trip(model)
    before, after = (subject.scores(m, data) for m in (model, copy))
    require(identical(before, after), f"after {action} it predicts otherwise")


def saves_and_loads(subject: Subject) -> None:
    """What `save` wrote and `load` read predicts the same; a sampler keeps all it learned."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        _survives(subject, "saving and loading", lambda model: load(save(model, path)))
        if subject.method.stage == "pre":
            _sampler_survives(subject, Path(folder) / "sampler.safetensors")


def _sampler_survives(subject: Subject, path: Path) -> None:
    """A `Resampled` leaves its sampler out of its file, so the sampler is saved alone here."""
    data = stripes()
    sampler = subject.make()
    sampler.fit_resample(data.X, data.y, **subject.fit_params(data))
    with step("saving and loading the fitted sampler"):
        try:
            save(sampler, path)
        except SavingError:  # refused before anything is written: that is an answer
            return
        copy = load(path)
    missing = sorted(fitted_attributes(sampler).keys() - fitted_attributes(copy).keys() - {"net_"})
    require(not missing, f"after saving and loading the sampler lacks {', '.join(missing)}")


def can_be_pickled(subject: Subject) -> None:
    """A pickled model predicts the same, so joblib can send it to other processes."""
    _survives(subject, "pickling", lambda model: pickle.loads(pickle.dumps(model)))


# -- scikit-learn's own checks ----------------------------------------------------

# The checks that fit nothing, and so need no images.
_WITHOUT_DATA = {
    "check_do_not_raise_errors_in_init_or_set_param",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
}


def passes_the_checks_of_scikit_learn(subject: Subject) -> None:
    """It passes `check_estimator` if it takes tables, else the checks that need no data."""
    from sklearn.utils.estimator_checks import estimator_checks_generator

    tables = _takes_tables(subject)
    params: dict[str, Any] = {}
    if tables and "lr" in subject.parameters:
        params = {"epochs": 12, "lr": 3e-2}
    made = subject.make(**params)
    if tables and subject.reads_groups_at_fit:
        made = _with_groups(type(made))(**made.get_params(deep=False))
    failed, excuses = [], {k for k in subject.claims.exceptions if k.startswith("sklearn:")}
    unused = set(excuses)
    for estimator, check in estimator_checks_generator(made):
        name = check.func.__name__ if isinstance(check, partial) else check.__name__
        if not tables and name not in _WITHOUT_DATA:
            continue
        try:
            check(estimator)
        except SkipTest:
            pass
        except Exception as error:
            unused.discard(f"sklearn:{name}")
            if f"sklearn:{name}" not in excuses:
                failed.append(f"{name}: {describe(error)}")
    require(not failed, "; ".join(failed))
    require(not unused, f"the exceptions {', '.join(sorted(unused))} are not used; delete them")


def _takes_tables(subject: Subject) -> bool:
    if subject.method.stage != "in" or "estimator" in subject.parameters:
        return False
    X = np.random.default_rng(0).random((40, 3))
    groups = np.array(["a", "b"])[np.arange(40) // 2 % 2]
    try:
        subject.fitted(Samples(X, np.arange(40) % 2, groups))
    except ValueError:
        return False
    except Exception as error:
        raise CheckFailed(
            f"a table raised {describe(error)}; take it, or raise ValueError"
        ) from error
    return True


def _with_groups(cls: type) -> type:
    """A subclass that makes up the groups in `fit`: scikit-learn's checks pass none."""

    def fit(self: Any, X: Any, y: Any, *, sample_weight: Any = None) -> Any:
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return cls.fit(self, X, y, sensitive_features=_groups_of(X), **weights)  # type: ignore[attr-defined]

    def reduce(self: Any) -> Any:  # pickle cannot find a class that is made here by name
        return _unpickle, (cls, vars(self))

    return type(cls.__name__, (cls,), {"fit": fit, "__reduce__": reduce, "__module__": __name__})


def _unpickle(cls: type, state: dict[str, Any]) -> Any:
    made: Any = object.__new__(_with_groups(cls))
    made.__dict__.update(state)
    return made


def _groups_of(X: Any) -> Any:
    """Groups from the values of each row: the checks drop and repeat rows."""
    try:
        totals = np.asarray(X).astype(float).sum(axis=1)
    except (TypeError, ValueError):
        return None  # no table: the estimator raises its error before it needs groups
    groups = [crc32(f"{total:.9g}".encode()) % 2 for total in totals]
    return groups if len(set(groups)) == 2 else np.arange(len(groups)) % 2

"""Checks of use: pipelines, searches, files, and scikit-learn's own checks."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from fairvision.plugins import describe
from fairvision.saving import load, save
from fairvision.testing._data import Rows, stripes
from fairvision.testing._outcome import Broken, require, same, trying
from fairvision.testing._subject import Subject

__all__ = [
    "can_be_pickled",
    "passes_the_checks_of_scikit_learn",
    "saves_and_loads",
    "works_in_a_grid_search",
    "works_in_a_pipeline",
]


@contextmanager
def _routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def _told(subject: Subject, rows: Rows) -> dict[str, Any]:
    return {"sensitive_features": rows.groups} if subject.shown_at_fit else {}


def _same_images(X: Any) -> Any:
    return X


def works_in_a_pipeline(subject: Subject) -> None:
    """As the last step of a Pipeline, groups routed to it, it predicts as it does alone."""
    rows = stripes()
    told = {"sensitive_features": rows.groups} if subject.method.needs.predict else {}
    with _routing(), trying("a Pipeline"):
        pipeline = Pipeline([("same", FunctionTransformer(_same_images)), ("m", subject.model())])
        pipeline.fit(rows.X, rows.y, **_told(subject, rows))
        found = pipeline.predict(rows.X, **told)
    alone = subject.predict(subject.fitted(rows), rows)
    require(same(found, alone), "it predicts otherwise in a Pipeline than alone")


def works_in_a_grid_search(subject: Subject) -> None:
    """GridSearchCV cuts the groups along with the rows, and searches its parameters."""
    rows, model = stripes(96), subject.model()
    seeds = [k for k in model.get_params() if k.endswith("random_state")]
    grid = {min(seeds, key=len): [0, 1]} if seeds else {}
    with _routing(), trying("GridSearchCV"):
        search = GridSearchCV(model, grid, cv=2, error_score="raise")
        search.fit(rows.X, rows.y, **_told(subject, rows))
    require(bool(np.isfinite(search.best_score_)), "its score in a grid search is not finite")


def _comes_back(subject: Subject, what: str, there_and_back: Callable[[Any], Any]) -> None:
    rows = stripes()
    model = subject.fitted(rows)
    with trying(what):
        again = there_and_back(model)
    one, two = (subject.predict(m, rows, scores=True) for m in (model, again))
    require(same(one, two), f"after {what} it predicts otherwise")


def saves_and_loads(subject: Subject) -> None:
    """`fairvision.save` and `load` give a model that predicts the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        _comes_back(subject, "saving and loading", lambda model: load(save(model, path)))


def can_be_pickled(subject: Subject) -> None:
    """A pickled model predicts the same, so that joblib can send it to other processes."""
    _comes_back(subject, "pickling", lambda model: pickle.loads(pickle.dumps(model)))


# -- scikit-learn's own -----------------------------------------------------------

# What needs no fit, and so no images.
_UNFITTED = {
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
    """scikit-learn's own: all for a net that takes tables, too; else those that need no data."""
    from sklearn.utils.estimator_checks import estimator_checks_generator

    trains = subject.method.stage == "in" and "estimator" not in subject.parameters
    tables = trains and _takes_tables(subject)
    made = (
        subject.make(epochs=30, lr=1e-2)
        if tables and "lr" in subject.parameters
        else subject.make()
    )
    if tables and subject.shown_at_fit:
        made = _with_groups(made)
    excepted = {k.removeprefix("sklearn:"): v for k, v in subject.claims.exceptions.items()}
    failed, unused = [], {k for k in subject.claims.exceptions if k.startswith("sklearn:")}
    for estimator, check in estimator_checks_generator(made):
        name = check.func.__name__ if isinstance(check, partial) else check.__name__
        if not tables and name not in _UNFITTED:
            continue
        error = _failure(check, estimator)
        if error and name in excepted:
            unused.discard(f"sklearn:{name}")
        elif error:
            failed.append(f"{name}: {error}")
    require(not failed, "; ".join(failed))
    require(not unused, f"the exceptions {', '.join(sorted(unused))} are not used; take them out")


def _failure(check: Any, estimator: Any) -> str:
    from unittest import SkipTest

    try:
        check(estimator)
    except SkipTest:
        return ""
    except Exception as error:
        return describe(error)
    return ""


def _takes_tables(subject: Subject) -> bool:
    rng = np.random.default_rng(0)
    rows = Rows(
        rng.random((40, 3)), np.arange(40) % 2, np.array(["a", "b"])[np.arange(40) // 2 % 2]
    )
    try:
        subject.fitted(rows)
    except ValueError:
        return False
    except Exception as error:
        raise Broken(f"a table raised {describe(error)}; take it, or raise ValueError") from error
    return True


def _with_groups(made: Any) -> Any:
    """The same estimator, of a class that reads groups off the rows: the checks know of none."""
    return _reading_groups(type(made))(**made.get_params(deep=False))


def _reading_groups(cls: type) -> type:
    def fit(self: Any, X: Any, y: Any, *, sample_weight: Any = None) -> Any:
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return cls.fit(self, X, y, sensitive_features=_groups_of(X), **weights)  # type: ignore[attr-defined]

    def reduce(self: Any) -> Any:  # a class made here cannot be found by name
        return _unpickled, (cls, vars(self))

    return type(cls.__name__, (cls,), {"fit": fit, "__reduce__": reduce, "__module__": __name__})


def _unpickled(cls: type, state: dict[str, Any]) -> Any:
    made: Any = object.__new__(_reading_groups(cls))
    made.__dict__.update(state)
    return made


def _groups_of(X: Any) -> Any:
    """The same for the same row wherever it stands, since checks drop and repeat rows."""
    try:
        total = np.asarray(X).astype(float).sum(axis=1)
    except (TypeError, ValueError):
        return None  # no table: the estimator says so before it looks at groups
    groups = [crc32(f"{value:.9g}".encode()) % 2 for value in total]
    return groups if len(set(groups)) == 2 else np.arange(len(groups)) % 2

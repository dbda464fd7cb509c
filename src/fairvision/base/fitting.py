"""Fit an estimator with the metadata it accepts; keep its state if fitting fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import sklearn
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.metaestimators import available_if

from fairvision.base.lazy_images import SortedReads, TakenRows, rows_of
from fairvision.exceptions import GroupsRequiredError

__all__ = [
    "accepts",
    "all_or_nothing",
    "fit_keyword",
    "fit_with_groups",
    "groups_at_predict",
    "inner_has",
    "readable_by",
    "rows_for",
]

Method = TypeVar("Method", bound=Callable[..., Any])


def accepts(method: Any, name: str) -> bool:
    """Whether a bound method takes a keyword by this name."""
    return name in inspect.signature(method).parameters


def inner_has(method: str, inner: str) -> Any:
    """Decorate a method that exists only where the estimator inside has it.

    Parameters
    ----------
    method : str
    inner : str
        The parameter that holds that estimator; once fitted, it is in the attribute of this name
        and an underscore.
    """

    def check(self: Any) -> bool:
        # Raises the inner AttributeError, which `hasattr` understands.
        getattr(getattr(self, f"{inner}_", getattr(self, inner, None)), method)
        return True

    return available_if(check)


def groups_at_predict(estimator: Any) -> str | None:
    """The name of the step in `estimator` that reads groups at predict; None if no step does."""
    while hasattr(estimator, "sampler") and hasattr(estimator, "classifier"):
        estimator = estimator.classifier  # `Resampled` takes groups only to pass them on
    predict = getattr(estimator, "predict", None)
    reads = predict is not None and accepts(predict, "sensitive_features")
    return type(estimator).__name__ if reads else None


def fit_keyword(estimator: Any, name: str) -> str | None:
    """The keyword under which `fit` passes metadata to an inner estimator; None if it does not.

    With scikit-learn's metadata routing, an inner estimator must have requested this name.
    Without routing, a `Pipeline` passes ``step__name`` to a step, and a search passes everything.
    """
    if accepts(estimator.fit, name):
        return name
    if sklearn.get_config()["enable_metadata_routing"]:
        return name if get_routing_for_object(estimator).consumes("fit", [name]) else None
    steps = getattr(estimator, "steps", None)
    if steps and hasattr(steps[-1][1], "fit"):
        inner = fit_keyword(steps[-1][1], name)
        return None if inner is None else f"{steps[-1][0]}__{inner}"
    if {"estimator", "refit", "scoring"} <= estimator.get_params(deep=False).keys():
        return fit_keyword(estimator.estimator, name)
    return None


def rows_for(estimator: Any, X: Any, rows: Any) -> Any:
    """Some rows of X, as from `rows_of`; copied if the estimator is not fairvision's.

    Parameters
    ----------
    estimator : estimator
        The estimator that will read the rows.
    X : array-like
    rows : ndarray of int or bool, or slice
    """
    return readable_by(estimator, rows_of(X, rows))


def readable_by(estimator: Any, X: Any) -> Any:
    """X itself; a numpy array of it if the estimator, or an inner one, may need numpy's type."""
    taken = isinstance(X, (TakenRows, SortedReads))
    return np.asarray(X) if taken and not _is_ours(estimator) else X


def _is_ours(estimator: Any) -> bool:
    """Whether all that is fitted inside is a class of fairvision, a plugin's, or frozen."""
    params = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return all(
        isinstance(value, FrozenEstimator)
        or any(kind.__module__.startswith("fairvision") for kind in type(value).__mro__)
        for value in [estimator, *params.values()]
        if value is estimator or hasattr(value, "fit")
    )


def fit_with_groups(estimator: Any, X: Any, y: Any, **metadata: Any) -> Any:
    """Fit, passing on the metadata that are not None and that `fit` has a keyword for.

    Raises
    ------
    GroupsRequiredError
        If an inner estimator needs groups, and `fit` does not pass them on.
    """
    given = {name: value for name, value in metadata.items() if value is not None}
    keywords = {name: fit_keyword(estimator, name) for name in given}
    known = {key: given[name] for name, key in keywords.items() if key is not None}
    try:
        return estimator.fit(readable_by(estimator, X), y, **known)
    except GroupsRequiredError as error:
        if "sensitive_features" not in given or keywords["sensitive_features"]:
            raise
        raise GroupsRequiredError(
            f"{error} sensitive_features were given, but {type(estimator).__name__}.fit does not "
            "pass them on. Call sklearn.set_config(enable_metadata_routing=True) before fit."
        ) from error


def all_or_nothing(fit: Method) -> Method:
    """Decorate `fit`: if it raises, restore the attributes that the estimator had before.

    So a fitted estimator stays usable when a second fit is refused or interrupted, and an
    unfitted one never looks half fitted.
    """

    @functools.wraps(fit)
    def restoring(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return cast(Method, restoring)

"""Fitting: pass on what a method takes, and lose nothing when it fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import sklearn
from sklearn.utils.metadata_routing import get_routing_for_object

__all__ = ["accepts", "all_or_nothing", "fit_with_groups", "groups_at_predict"]

Method = TypeVar("Method", bound=Callable[..., Any])


def accepts(method: Any, name: str) -> bool:
    """Whether a bound method takes a keyword by this name."""
    return name in inspect.signature(method).parameters


def groups_at_predict(estimator: Any) -> str | None:
    """The name of what reads the group of each row at predict, in `estimator`; None if nothing."""
    while hasattr(estimator, "sampler") and hasattr(estimator, "classifier"):
        estimator = estimator.classifier  # `Resampled` takes groups only to pass them on
    predict = getattr(estimator, "predict", None)
    reads = predict is not None and accepts(predict, "sensitive_features")
    return type(estimator).__name__ if reads else None


def fit_with_groups(estimator: Any, X: Any, y: Any, **metadata: Any) -> Any:
    """Fit, passing on the metadata that are not None and that `fit` takes.

    It takes what it names, and with scikit-learn's metadata routing switched on
    also what an estimator inside it (a step of a Pipeline, say) asked for.
    """
    given = {name: value for name, value in metadata.items() if value is not None}
    known = {name: value for name, value in given.items() if accepts(estimator.fit, name)}
    if sklearn.get_config()["enable_metadata_routing"]:
        routed = get_routing_for_object(estimator).consumes("fit", given.keys())
        known |= {name: given[name] for name in routed}
    return estimator.fit(X, y, **known)


def all_or_nothing(fit: Method) -> Method:
    """Decorate `fit`: where it raises, the estimator's attributes are as they were before.

    So an estimator that was fitted stays usable when a second fit is refused or
    interrupted, and one that was not does not look half fitted.
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

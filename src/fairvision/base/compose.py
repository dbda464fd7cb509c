"""`compose`: a pre-, an in- and a post-processing method nested into one estimator."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from fairvision.base.fitting import groups_at_predict
from fairvision.base.resampled import Resampled
from fairvision.exceptions import InputError

__all__ = ["compose"]


def compose(*, model: Any, pre: Any = None, post: Any = None) -> Any:
    """Nest a sampler, a classifier and a post-processing method.

    Parameters
    ----------
    model : classifier
    pre : sampler, or list of samplers applied in order, or None
    post : meta-estimator, or list of them applied in order, or None
        Unfitted; its ``estimator`` parameter is set to what is inside.

    Returns
    -------
    estimator
        Unfitted. ``post(Resampled(pre, model))``, as far as the parts are given.

    Examples
    --------
    >>> from imblearn.over_sampling import RandomOverSampler
    >>> from fairvision.base import compose
    >>> from fairvision.nn import TorchClassifier
    >>> compose(pre=RandomOverSampler(), model=TorchClassifier())
    Resampled(classifier=TorchClassifier(), sampler=RandomOverSampler())
    """
    if isinstance(model, type) or not hasattr(model, "predict"):
        raise InputError(
            f"model is {model!r}; pass a classifier object (it needs fit and predict)."
        )
    for sampler in reversed(_as_list(pre)):
        if isinstance(sampler, type) or not hasattr(sampler, "fit_resample"):
            raise InputError(f"pre is {sampler!r}; pass a sampler object (it needs fit_resample).")
        model = Resampled(sampler, model)
    for outer in _as_list(post):
        if isinstance(outer, type) or "estimator" not in getattr(outer, "get_params", dict)():
            raise InputError(
                f"post is {outer!r}; pass a meta-estimator object (it needs an `estimator` "
                "parameter)."
            )
        _check_groups_pass(outer, model)
        model = clone(outer).set_params(estimator=model)
    return model


def _check_groups_pass(outer: Any, inner: Any) -> None:
    """Raise if a method that reads groups at predict is inside one that cannot pass groups on."""
    name = groups_at_predict(inner)
    if name is not None:
        raise InputError(
            f"{name} reads the group of each row that it predicts, and {type(outer).__name__} "
            f"around it cannot pass groups on. Put {name} last in `post`."
        )


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]

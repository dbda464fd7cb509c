"""The method under test: made small, put around plain training where it does not train itself."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from fairvision.base import Resampled
from fairvision.nn import TorchClassifier
from fairvision.plugins import RegisteredMethod, resolve
from fairvision.testing._data import Rows
from fairvision.types import Claims

__all__ = ["Subject"]

# What plain training gets, and every method that has such a parameter.
_TRAINING: dict[str, Any] = {"lr": 3e-3, "batch_size": 32, "device": "cpu"}


class Subject:
    """A registered method, as the checks see it.

    Parameters
    ----------
    method : RegisteredMethod
    claims : Claims or None
        In place of those in the method's descriptor.
    """

    def __init__(self, method: RegisteredMethod, claims: Claims | None = None) -> None:
        self.method = method
        self.claims = method.descriptor.claims if claims is None else claims
        #: What behaviour checks trained, so that each net is trained once.
        self.trained: dict[Any, Any] = {}

    @property
    def name(self) -> str:
        """The name users type."""
        return self.method.name

    @property
    def shown_at_fit(self) -> bool:
        """Whether `fit` is given groups."""
        return self.method.needs.fit or self.method.needs.validation

    @cached_property
    def cls(self) -> Any:
        """The class, imported."""
        return resolve(self.method)

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """What its constructor takes."""
        return inspect.signature(self.cls).parameters

    @cached_property
    def small(self) -> Mapping[str, Any]:
        """The parameters that it asks to be checked with."""
        params = self.claims.params
        return resolve(params)() if isinstance(params, str) else params

    def make(self, seed: int = 0, *, epochs: int = 1, **params: Any) -> Any:
        """An unfitted object of the method."""
        common = {**_TRAINING, "max_epochs": epochs, "random_state": seed}
        values = {k: v for k, v in {**common, **self.small}.items() if k in self.parameters}
        if "estimator" in self.parameters:
            values["estimator"] = self._inner(seed, epochs)
        return self.cls(**{**values, **params})

    def model(self, seed: int = 0, *, epochs: int = 1, **params: Any) -> Any:
        """An unfitted classifier: a sampler stands before plain training."""
        made = self.make(seed, epochs=epochs, **params)
        return Resampled(made, self._inner(seed, epochs)) if self.method.stage == "pre" else made

    def plain(self, seed: int = 0, *, epochs: int = 1) -> TorchClassifier:
        """Plain training, set as the method is in every parameter that both have."""
        plain = self._inner(seed, epochs)
        if self.method.stage == "in":
            theirs = self.make(seed, epochs=epochs).get_params(deep=False)
            plain.set_params(**{k: theirs[k] for k in plain.get_params() if k in theirs})
        return plain

    def _inner(self, seed: int, epochs: int) -> TorchClassifier:
        return TorchClassifier(max_epochs=epochs, random_state=seed, **_TRAINING)

    def fit(self, model: Any, rows: Rows, groups: Any = None) -> Any:
        """Fit, showing the groups if the method declares that it reads them."""
        if not self.shown_at_fit:
            return model.fit(rows.X, rows.y)
        shown = rows.groups if groups is None else groups
        return model.fit(rows.X, rows.y, sensitive_features=shown)

    def predict(self, model: Any, rows: Rows, groups: Any = None, *, scores: bool = False) -> Any:
        """Labels, or probabilities where it has them, telling groups only if it declares that."""
        method = (
            model.predict_proba if scores and hasattr(model, "predict_proba") else model.predict
        )
        if not self.method.needs.predict:
            return method(rows.X)
        return method(rows.X, sensitive_features=rows.groups if groups is None else groups)

    def fitted(self, rows: Rows, seed: int = 0, *, epochs: int = 1, **params: Any) -> Any:
        """A model fitted on these rows."""
        return self.fit(self.model(seed, epochs=epochs, **params), rows)

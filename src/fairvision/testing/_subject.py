"""The method under test, with parameters that make it small."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from fairvision.base import Resampled
from fairvision.nn import TorchClassifier
from fairvision.plugins import RegisteredMethod, resolve
from fairvision.testing._data import Samples
from fairvision.types import Claims

# For ERM training, and for every method that has a parameter of that name.
# Without bfloat16, whose rounding decides what a net learns from a few hundred images.
_TRAINING: dict[str, Any] = {"lr": 3e-3, "batch_size": 32, "deterministic": True, "amp": False}


class Subject:
    """The registered method that the checks test.

    Parameters
    ----------
    method : RegisteredMethod
    claims : Claims or None
        Replaces the claims in the method's descriptor.
    device : str
        The torch device that nets are trained on.
    """

    def __init__(
        self, method: RegisteredMethod, claims: Claims | None = None, device: str = "cpu"
    ) -> None:
        self.method = method
        self.claims = method.descriptor.claims if claims is None else claims
        self.training = {**_TRAINING, "device": device}
        #: Accuracies of the models that the behaviour checks trained; they share them.
        self.accuracies: dict[Any, tuple[float, float]] = {}

    @property
    def name(self) -> str:
        """The name users type."""
        return self.method.name

    @property
    def reads_groups_at_fit(self) -> bool:
        """Whether `fit` is given groups."""
        return self.method.needs.fit or self.method.needs.validation

    @cached_property
    def cls(self) -> Any:
        """The imported class."""
        return resolve(self.method)

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters of its constructor."""
        return inspect.signature(self.cls).parameters

    @cached_property
    def small(self) -> Mapping[str, Any]:
        """The parameters of `Claims.params`."""
        params = self.claims.params
        return resolve(params)() if isinstance(params, str) else params

    def make(self, seed: int = 0, *, epochs: int = 1, **params: Any) -> Any:
        """An unfitted object of the method."""
        common = {**self.training, "max_epochs": epochs, "random_state": seed, **self.small}
        values = {name: value for name, value in common.items() if name in self.parameters}
        if "estimator" in self.parameters:
            values["estimator"] = self._erm(seed, epochs)
        made = self.cls(**{**values, **params})
        if self.training["device"] == "cpu":
            return made
        # Of the nets inside, too, which the claims may have set.
        inner = [name for name in made.get_params() if "__" in name]
        changed = {n: self.training.get(n.rpartition("__")[2]) for n in inner}
        ours = ("__device", "__deterministic", "__amp")
        return made.set_params(**{n: v for n, v in changed.items() if n.endswith(ours)})

    def model(self, seed: int = 0, *, epochs: int = 1, **params: Any) -> Any:
        """An unfitted classifier. A sampler is combined with ERM training."""
        method = self.make(seed, epochs=epochs, **params)
        return Resampled(method, self._erm(seed, epochs)) if self.method.stage == "pre" else method

    def probe(self, *, epochs: int = 1, **params: Any) -> Any:
        """An unfitted classifier of features, with a linear probe where it takes a backbone."""
        linear = TorchClassifier("linear", max_epochs=epochs, random_state=0, **self.training)
        if "estimator" in self.parameters:
            params["estimator"] = linear
        elif self.method.stage == "in" and "backbone" in self.parameters:
            params["backbone"] = "linear"
        made = self.make(epochs=epochs, **params)
        return Resampled(made, linear) if self.method.stage == "pre" else made

    def erm(self, seed: int = 0, *, epochs: int = 1) -> TorchClassifier:
        """The unfitted ERM baseline; parameters that the method has too have its values."""
        baseline = self._erm(seed, epochs)
        if self.method.stage == "in":
            params = self.make(seed, epochs=epochs).get_params(deep=False)
            names = params.keys() & baseline.get_params(deep=False).keys() - {"objective"}
            baseline.set_params(**{name: params[name] for name in names})
        return baseline

    def _erm(self, seed: int, epochs: int) -> TorchClassifier:
        return TorchClassifier(max_epochs=epochs, random_state=seed, **self.training)

    def fit_params(self, data: Samples, groups: Any = None) -> dict[str, Any]:
        """The groups as a keyword, if the method declares that `fit` reads them."""
        return _keyword(self.reads_groups_at_fit, data, groups)

    def predict_params(self, data: Samples, groups: Any = None) -> dict[str, Any]:
        """The groups as a keyword, if the method declares that `predict` reads them."""
        return _keyword(self.method.needs.predict, data, groups)

    def fit(self, model: Any, data: Samples, groups: Any = None) -> Any:
        """Fit the model, with groups if the method declares that it reads them."""
        return model.fit(data.X, data.y, **self.fit_params(data, groups))

    def fitted(self, data: Samples, seed: int = 0, *, epochs: int = 1, **params: Any) -> Any:
        """A model fitted on these samples."""
        return self.fit(self.model(seed, epochs=epochs, **params), data)

    def predict(self, model: Any, data: Samples, groups: Any = None) -> Any:
        """Predicted labels."""
        return model.predict(data.X, **self.predict_params(data, groups))

    def scores(self, model: Any, data: Samples, groups: Any = None) -> Any:
        """Probabilities, or labels if the model has no `predict_proba`."""
        predict = getattr(model, "predict_proba", model.predict)
        return predict(data.X, **self.predict_params(data, groups))


def _keyword(reads_groups: bool, data: Samples, groups: Any) -> dict[str, Any]:
    if not reads_groups:
        return {}
    return {"sensitive_features": data.groups if groups is None else groups}

"""Classes and functions that a file may name; any other name is refused, not imported."""

from __future__ import annotations

import importlib
import re
from typing import Any

from fairvision.exceptions import PluginError, SavingError
from fairvision.plugins import RegisteredMethod as Method
from fairvision.plugins import Registry, clean, default_registry, resolve

__all__ = ["NAMED", "Trust"]

#: A string that `TorchClassifier` would import: "package.module:name", but not a device
#: ("cuda:0").
NAMED = re.compile(r"(?!timm:|package:)[A-Za-z_][\w.]*:[A-Za-z_]\w*")

# Besides the classes of plugins: the host's own, and those that are used around them.
_LISTED = (
    "fairvision.base:Groups",
    "fairvision.base:Resampled",
    "fairvision.models:ImageModel",
    "fairvision.nn:FeatureExtractor",
    "fairvision.nn:TorchClassifier",
    "imblearn.over_sampling:RandomOverSampler",
    "imblearn.under_sampling:RandomUnderSampler",
    "sklearn.dummy:DummyClassifier",
    "sklearn.frozen:FrozenEstimator",
    "sklearn.linear_model:LogisticRegression",
    "sklearn.pipeline:Pipeline",
    "sklearn.preprocessing:StandardScaler",
)


class Trust:
    """The names that a file may hold, and the objects that they stand for.

    Trusted are the targets of registered methods, what the package of an installed
    plugin lists in its ``__all__``, the short list above, the model builders of
    `torchvision.models`, and the optimizers of `torch.optim`.

    Parameters
    ----------
    registry : Registry, default=None
        None means the registry of this process.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry or default_registry()
        methods = self.registry.methods()
        self._targets = {method.target: method for method in methods}
        self._packages = {_package(m.origin.module): m for m in methods if not m.origin.is_host}

    def name(self, thing: Any) -> str | None:
        """``"package:name"`` of a class or function that may be stored by name, else None."""
        name = getattr(thing, "__name__", None)
        root = _package(str(getattr(thing, "__module__", "")))
        if not isinstance(name, str) or not root:
            return None
        listed = [path for path in (*self._targets, *_LISTED) if path.endswith(f":{name}")]
        places = (f"{place}:{name}" for place in (root, "torchvision.models", "torch.optim"))
        paths = (path for path in (*listed, *places) if _package(path) == root)
        return next((path for path in paths if self.get(path) is thing), None)

    def find(self, path: str) -> Any:
        """The object of a trusted name.

        Raises
        ------
        SavingError
            If the name is not trusted; it was not imported.
        """
        thing = self.get(path)
        if thing is None:
            raise SavingError(
                f"it names {clean(path)!r}, which no installed plugin offers and which is not on "
                "the list of names that a file may hold"
            )
        return thing

    def method(self, path: str) -> Method | None:
        """The method whose target this is, or another of the plugin that has it."""
        return self._targets.get(path) or self._packages.get(_package(path))

    def get(self, path: str) -> Any:
        """The object of a trusted name, None for any other name."""
        package, _, name = path.partition(":")
        if path in self._targets or path in _LISTED:
            try:
                return resolve(self._targets.get(path, path))
            except PluginError:
                return None
        if package in self._packages:
            module = importlib.import_module(package)
            return getattr(module, name, None) if name in getattr(module, "__all__", ()) else None
        if package == "torchvision.models":
            from torchvision import models

            return getattr(models, name) if name in models.list_models(module=models) else None
        if package == "torch.optim":
            from torch import optim

            thing = getattr(optim, name, None)
            return thing if isinstance(thing, type) and issubclass(thing, optim.Optimizer) else None
        return None


def _package(path: str) -> str:
    return path.partition(":")[0].partition(".")[0]

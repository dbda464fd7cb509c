"""Which classes and functions a file may name. Everything else is refused, and not imported."""

from __future__ import annotations

import importlib
import re
from typing import Any

from fairvision.exceptions import PluginError, SavingError
from fairvision.plugins import RegisteredMethod as Method
from fairvision.plugins import Registry, clean, default_registry, resolve

__all__ = ["NAMED", "Trust"]

#: What `TorchClassifier` would import: "package.module:name". A device, "cuda:0", is none.
NAMED = re.compile(r"(?!timm:)[A-Za-z_][\w.]*:[A-Za-z_]\w*")

# Beside what plugins register: the host's own, and what stands around them in toolkits.
_LISTED = (
    "fairvision.base:Groups",
    "fairvision.base:Resampled",
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
    """Names that may stand in a file, in both directions.

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
        places = [*listed, *(f"{place}:{name}" for place in (root, "torchvision.models"))]
        places.append(f"torch.optim:{name}")
        for path in places:
            if _package(path) == root and self._get(path) is thing:
                return path
        return None

    def find(self, path: str) -> Any:
        """What a trusted name stands for.

        Raises
        ------
        SavingError
            If the name is not trusted. Nothing of it was imported.
        """
        found = self._get(path)
        if found is None:
            raise SavingError(
                f"it names {clean(path)!r}, which no installed plugin offers and which is not on "
                "the list of what a file may name"
            )
        return found

    def method(self, path: str) -> Method | None:
        """The method whose target this is, or another of the plugin that has it."""
        return self._targets.get(path) or self._packages.get(_package(path))

    def _get(self, path: str) -> Any:
        """The object of a trusted name, None for others."""
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
            import torchvision.models as zoo

            return getattr(zoo, name) if name in zoo.list_models(module=zoo) else None
        if package == "torch.optim":
            import torch

            found = getattr(torch.optim, name, None)
            is_class = isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
            return found if is_class else None
        return None


def _package(path: str) -> str:
    return path.partition(":")[0].partition(".")[0]

"""From estimators to JSON and tensors."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import torch
from skorch.history import History
from torch import nn

from fairvision.base import fitted_attributes
from fairvision.exceptions import SavingError
from fairvision.nn import PretrainedClassifier
from fairvision.saving._trust import NAMED, Trust

__all__ = ["Encoder"]

Path = tuple[str, ...]


class Unstorable(Exception):
    """A value that neither JSON nor tensors can hold."""


class Encoder:
    """Turn values into JSON's types; a dict with the key ``"$"`` says the original type.

    Parameters
    ----------
    trust : Trust

    Attributes
    ----------
    tensors : dict of str to Tensor
        Arrays and tensors by their place in the estimator: ``"module_.head.weight"``.
    objects : dict of str to str
        Descriptions of the parameters that cannot be stored, by their name in
        ``get_params``.
    given : dict of str to object
        These parameters themselves.
    """

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.tensors: dict[str, torch.Tensor] = {}
        self.objects: dict[str, str] = {}
        self.given: dict[str, Any] = {}
        # With the objects themselves: a freed object's id can be used again.
        self._estimators: dict[int, tuple[Any, int]] = {}
        self._named: dict[int, tuple[Any, str]] = {}

    def estimator(self, estimator: Any, path: Path = ()) -> dict[str, Any]:
        """An estimator with its parameters and fitted state; the second time, a reference."""
        if id(estimator) in self._estimators:
            return {"$": "ref", "to": self._estimators[id(estimator)][1]}
        name = self.trust.name(type(estimator))
        if name is None:
            raise _unknown(estimator, path)
        number = len(self._estimators)
        self._estimators[id(estimator)] = (estimator, number)
        node = {"$": "estimator", "id": number, **self._identity(name)}
        unsaved = getattr(type(estimator), "__fairvision_unsaved__", ())
        node["params"] = {
            key: self._parameter(value, (*path, key))
            for key, value in estimator.get_params(deep=False).items()
            if key not in unsaved
        }
        # Of the class: a FrozenEstimator returns the attributes of its inner estimator.
        describe = getattr(type(estimator), "__fairvision_getstate__", fitted_attributes)
        learned = describe(estimator)
        node["state"] = {
            key: self._attribute(estimator, value, (*path, key)) for key, value in learned.items()
        }
        return node

    def _identity(self, name: str) -> dict[str, Any]:
        method = self.trust.method(name)
        if method is None:
            return {"class": name}
        origin = {"distribution": method.origin.distribution, "version": method.origin.version}
        if method.target != name:
            return {"class": name, **origin}
        return {"class": name, "method": method.qualified_name, **origin}

    def _attribute(self, owner: Any, value: Any, path: Path) -> Any:
        try:
            return self.value(value, path)
        except Unstorable as error:
            raise SavingError(
                f"{path[-1]} of {type(owner).__name__} holds {error}, which cannot be stored. Give "
                "the class a method __fairvision_getstate__ that leaves it out or describes it."
            ) from error

    def _parameter(self, value: Any, path: Path) -> Any:
        if path[-1] == "steps" and isinstance(value, list):  # of a Pipeline, by their names
            steps = [[name, self._parameter(step, (*path[:-1], name))] for name, step in value]
            return {"$": "steps", "items": steps}
        if path[-1] == "callbacks" and isinstance(value, list):
            # Callbacks that only observe a training, such as a progress bar, are not needed
            # afterwards.
            value = [cb for cb in value if not getattr(cb, "only_watches", False)] or None
        before = dict(self.tensors), dict(self._estimators)
        try:
            return self.value(value, path, parameter=True)
        except Unstorable:
            self.tensors, self._estimators = before
            return self._object(value, path)

    def _object(self, value: Any, path: Path) -> dict[str, Any]:
        """An object that the caller of `load` must give."""
        if isinstance(value, PretrainedClassifier):  # ours around theirs, by `from_module`
            return {
                "$": "pretrained",
                "model": self._object(value.model, path),
                "head": value.head_name,
                "output": value.output,
                "gives": value.gives,
            }
        # classifier_, the fitted clone, has the parameters of classifier.
        name = "__".join(step.removesuffix("_") for step in path)
        if not isinstance(value, str):
            name = self._named.setdefault(id(value), (value, name))[1]
        self.objects[name], self.given[name] = _described(value), value
        return {"$": "object", "name": name}

    def value(self, value: Any, path: Path, *, parameter: bool = False) -> Any:
        """Encode any value.

        Raises
        ------
        Unstorable
            If its type cannot be stored, with a description of it.
        """
        value = str(value) if isinstance(value, PurePath) else value
        kind = type(value)
        if value is None or kind in (bool, int):
            return value
        if kind is str:
            if parameter and NAMED.fullmatch(value) and self.trust.get(value) is None:
                raise Unstorable(repr(value))
            return value
        if kind is float:
            return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
        if isinstance(value, np.generic):
            item = self.value(value.item(), path)
            return {"$": "scalar", "dtype": value.dtype.str, "value": item}
        if isinstance(value, (np.ndarray, torch.Tensor)):
            return self._array(value, path)
        if kind in (list, tuple, set, frozenset, dict, OrderedDict):
            return self._container(value, path, parameter)
        if isinstance(value, History):
            rows = [self.value(dict(row), (*path, str(i))) for i, row in enumerate(value)]
            return {"$": "history", "rows": rows}
        if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):
            return self._table(value, path)
        if isinstance(value, type) or not hasattr(value, "get_params"):
            return self._by_name(value, path, parameter)
        if parameter and self.trust.name(type(value)) is None and not _is_fitted(value):
            raise Unstorable(_described(value))
        return self.estimator(value, path)

    def _container(self, value: Any, path: Path, parameter: bool) -> Any:
        kind = "dict" if isinstance(value, dict) else type(value).__name__
        if kind == "dict":
            if all(type(key) is str and key[:1] != "$" for key in value):
                return {k: self.value(v, (*path, k), parameter=parameter) for k, v in value.items()}
            value = [list(item) for item in value.items()]
        items = [
            self.value(item, (*path, str(i)), parameter=parameter) for i, item in enumerate(value)
        ]
        return items if kind == "list" else {"$": kind, "items": items}

    def _array(self, value: Any, path: Path) -> dict[str, Any]:
        if isinstance(value, np.ndarray) and (value.dtype.kind not in "biuf" or not value.size):
            items = [self.value(item, path) for item in value.reshape(-1).tolist()]
            return {"$": "items", "dtype": value.dtype.str, "shape": value.shape, "items": items}
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        if isinstance(value, np.ndarray):
            native = value.dtype.newbyteorder("=")
            try:
                value = torch.from_numpy(np.array(value, dtype=native, order="C"))
            except TypeError as error:
                raise Unstorable(f"an array of {value.dtype}") from error
        # Copies: safetensors refuses tensors that share their memory.
        return {"$": kind, "name": self._keep(value.detach().cpu().contiguous().clone(), path)}

    def _keep(self, tensor: torch.Tensor, path: Path) -> str:
        name = base = ".".join(path)
        number = 1
        while name in self.tensors or name == "__metadata__":
            number += 1
            name = f"{base}#{number}"
        self.tensors[name] = tensor
        return name

    def _by_name(self, value: Any, path: Path, parameter: bool) -> dict[str, Any]:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            if name := self.trust.name(type(value)):
                fields = {
                    field.name: self.value(getattr(value, field.name), (*path, field.name))
                    for field in dataclasses.fields(value)
                }
                return {"$": "data", "class": name, "fields": fields}
            raise Unstorable(_described(value))
        name = self.trust.name(value) if parameter and callable(value) else None
        if name is None or isinstance(value, nn.Module):
            raise Unstorable(_described(value))
        return {"$": "name", "path": name}

    def _table(self, value: Any, path: Path) -> dict[str, Any]:
        if isinstance(value, pd.DataFrame):
            columns = [
                self._column(value.iloc[:, i], (*path, str(i))) for i in range(value.shape[1])
            ]
            names, index = (self._table(level, path) for level in (value.columns, value.index))
            return {"$": "frame", "columns": names, "index": index, "data": columns}
        if isinstance(value, pd.Series):
            data, name = self._column(value, path), self.value(value.name, path)
            return {"$": "series", "name": name, "index": self._table(value.index, path)} | data
        names = self.value(list(value.names), path)
        labels = self.value(value.tolist(), path)
        dtype = None if isinstance(value, pd.MultiIndex) else str(value.dtype)
        return {"$": "index", "names": names, "dtype": dtype, "items": labels}

    def _column(self, column: Any, path: Path) -> dict[str, Any]:
        numeric = isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"
        values = self.value(column.to_numpy() if numeric else column.tolist(), path)
        return {"dtype": str(column.dtype), "values": values}


def _is_fitted(estimator: Any) -> bool:
    """Whether `fit` was called; never true of a callback, which has parameters too."""
    names = vars(estimator) if hasattr(estimator, "fit") else ()
    return any(name.endswith("_") and not name.startswith("_") for name in names)


def _described(value: Any) -> str:
    """A string itself; the class of any other value."""
    if isinstance(value, str):
        return repr(value)
    kind = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    words = f"{kind.__module__}.{kind.__qualname__}"
    return words if kind is value else f"a {words}"


def _unknown(estimator: Any, path: Path) -> SavingError:
    where = f"{'__'.join(path)} is" if path else "The estimator is"
    return SavingError(
        f"{where} {_described(estimator)}, which no installed plugin offers. Only methods of "
        "`fairvision methods`, public classes of their packages, Pipeline, FrozenEstimator and a "
        "few more classes of scikit-learn can be loaded again. Save an inner estimator that is "
        "one of these, or offer the class in a plugin."
    )

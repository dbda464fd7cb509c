"""Estimators as JSON and tensors."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
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
    """Turns values into what `json.dumps` takes; a dict with a ``"$"`` says what it was.

    Parameters
    ----------
    trust : Trust

    Attributes
    ----------
    tensors : dict of str to Tensor
        Arrays and tensors met, by where they were found: ``"module_.head.weight"``.
    objects : dict of str to str
        Parameters that cannot be stored, by their name in ``get_params``, and
        what they were.
    """

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.tensors: dict[str, torch.Tensor] = {}
        self.objects: dict[str, str] = {}
        # Each with the object itself, so that no later one can have its id.
        self._estimators: dict[int, tuple[Any, int]] = {}
        self._named: dict[int, tuple[Any, str]] = {}

    def estimator(self, estimator: Any, path: Path = ()) -> dict[str, Any]:
        """An estimator, its parameters and what it learned; a second time, a reference to it."""
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
        # Of the class, as Python's own: a FrozenEstimator answers with its estimator's attributes.
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
        before = dict(self.tensors), dict(self._estimators)
        try:
            return self.value(value, path, parameter=True)
        except Unstorable:
            self.tensors, self._estimators = before
            return self._object(value, path)

    def _object(self, value: Any, path: Path) -> dict[str, Any]:
        """Something that whoever loads the file must bring along."""
        if isinstance(value, PretrainedClassifier):  # ours around theirs, by `from_module`
            return {
                "$": "pretrained",
                "model": self._object(value.model, path),
                "head": value.head_name,
            }
        # A fitted clone's are those of the original: classifier_ has what classifier has.
        name = "__".join(part.removesuffix("_") for part in path)
        if not isinstance(value, str):
            name = self._named.setdefault(id(value), (value, name))[1]
        self.objects[name] = _what(value)
        return {"$": "object", "name": name}

    def value(self, value: Any, path: Path, *, parameter: bool = False) -> Any:
        """Any value.

        Raises
        ------
        Unstorable
            Saying what it is, if it is of no kind that can be stored.
        """
        kind = type(value)
        if value is None or kind in (bool, int):
            return value
        if kind is str:
            if parameter and NAMED.fullmatch(value) and not self._is_trusted(value):
                raise Unstorable(repr(value))
            return value
        if kind is float:
            return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
        if isinstance(value, np.generic):
            item = self.value(value.item(), path)
            return {"$": "scalar", "dtype": value.dtype.str, "value": item}
        if isinstance(value, (np.ndarray, torch.Tensor)):
            return self._array(value, path)
        if kind is OrderedDict:  # as a module's state_dict is
            return self._container(dict(value), path, parameter)
        if kind in (list, tuple, set, frozenset, dict):
            return self._container(value, path, parameter)
        return self._object_of_a_kind(value, path, parameter)

    def _is_trusted(self, name: str) -> bool:
        try:
            self.trust.find(name)
        except SavingError:
            return False
        return True

    def _container(self, value: Any, path: Path, parameter: bool) -> Any:
        kind = type(value)
        if kind is dict and all(type(key) is str and key[:1] != "$" for key in value):
            return {k: self.value(v, (*path, k), parameter=parameter) for k, v in value.items()}
        if kind is dict:
            value = [list(item) for item in value.items()]
        items = [
            self.value(item, (*path, str(i)), parameter=parameter) for i, item in enumerate(value)
        ]
        return items if kind is list else {"$": kind.__name__, "items": items}

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

    def _object_of_a_kind(self, value: Any, path: Path, parameter: bool) -> Any:
        if isinstance(value, History):
            rows = [self.value(dict(row), (*path, str(i))) for i, row in enumerate(value)]
            return {"$": "history", "rows": rows}
        if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):
            return self._table(value, path)
        if isinstance(value, type) or not hasattr(value, "get_params"):
            return self._by_name(value, path, parameter)
        if parameter and self.trust.name(type(value)) is None and not _learned(value):
            raise Unstorable(_what(value))
        return self.estimator(value, path)

    def _by_name(self, value: Any, path: Path, parameter: bool) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            name = self.trust.name(type(value))
            if name is not None:
                fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
                fields = {k: self.value(v, (*path, k)) for k, v in fields.items()}
                return {"$": "data", "class": name, "fields": fields}
        name = self.trust.name(value) if parameter and callable(value) else None
        if name is None or isinstance(value, nn.Module):
            raise Unstorable(_what(value))
        return {"$": "name", "path": name}

    def _table(self, value: Any, path: Path) -> dict[str, Any]:
        if isinstance(value, pd.DataFrame):
            columns = [
                self._column(value.iloc[:, i], (*path, str(i))) for i in range(value.shape[1])
            ]
            names, index = (self._table(part, path) for part in (value.columns, value.index))
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


def _learned(estimator: Any) -> bool:
    """Whether it was fitted; a callback, which has parameters too, never is."""
    names = vars(estimator) if hasattr(estimator, "fit") else ()
    return any(name.endswith("_") and not name.startswith("_") for name in names)


def _what(value: Any) -> str:
    """A value in words, without what it may hold."""
    if isinstance(value, str):
        return repr(value)
    kind = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    words = f"{kind.__module__}.{kind.__qualname__}"
    return words if kind is value else f"a {words}"


def _unknown(estimator: Any, path: Path) -> SavingError:
    where = f"{'__'.join(path)} is" if path else "The estimator is"
    return SavingError(
        f"{where} {_what(estimator)}, which no installed plugin offers. Only methods of "
        "`fairvision methods`, what their packages publish, Pipeline, FrozenEstimator and a few "
        "more of scikit-learn can be loaded again. Save the part that is one of these, or offer "
        "the class in a plugin."
    )

"""From JSON and tensors to estimators, made only of the classes that `Trust` knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from skorch.history import History
from torch import Tensor

from fairvision.exceptions import PluginError, SavingError
from fairvision.nn import PretrainedClassifier
from fairvision.plugins import clean, resolve
from fairvision.saving._trust import NAMED, Trust

__all__ = ["Decoder"]

_CONTAINERS: dict[str, Callable[..., Any]] = {
    kind.__name__: kind for kind in (dict, frozenset, set, tuple)
}


class Decoder:
    """Reads what `Encoder` wrote.

    Parameters
    ----------
    trust : Trust
    tensors : dict of str to Tensor
    objects : mapping of str to object
        Parameters that the file could not hold, by full name.
    device : str or None
        Replaces the parameter `device` of every estimator.
    """

    def __init__(
        self,
        trust: Trust,
        tensors: dict[str, Tensor],
        objects: Mapping[str, Any],
        *,
        device: str | None = None,
    ) -> None:
        self.device = device
        self.trust = trust
        self.tensors = tensors
        self.objects = objects
        self._estimators: dict[int, Any] = {}
        self._kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
            "array": lambda node: self.tensors[node["name"]].numpy(),
            "data": self._data,
            "estimator": self.estimator,
            "float": lambda node: float(node["value"]),
            "frame": self._frame,
            "history": lambda node: History(self.value(row) for row in node["rows"]),
            "index": self._index,
            "items": self._labels,
            "ref": lambda node: self._estimators[node["to"]],
            "scalar": lambda node: np.dtype(node["dtype"]).type(self.value(node["value"])),
            "series": self._series,
            "tensor": lambda node: self.tensors[node["name"]],
        }
        # In parameters only: fitted state is plain data.
        self._parameter_kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
            "name": lambda node: self.trust.find(node["path"]),
            "object": lambda node: self.objects[node["name"]],
            "pretrained": self._pretrained,
            "steps": lambda node: [(name, self.parameter(step)) for name, step in node["items"]],
        }

    def estimator(self, node: dict[str, Any]) -> Any:
        """Make an estimator from its parameters and restore its fitted state."""
        params = {name: self.parameter(value) for name, value in node["params"].items()}
        if self.device is not None and "device" in params:
            params["device"] = self.device
        estimator = self._class(node)(**params)
        self._estimators[node["id"]] = estimator
        state = {name: self.value(value) for name, value in node["state"].items()}
        restore = getattr(type(estimator), "__fairvision_setstate__", None)
        if restore is None:
            vars(estimator).update(state)
        else:
            restore(estimator, state)
        return estimator

    def _class(self, node: dict[str, Any]) -> Any:
        try:
            if node.get("method"):  # the plugin may have moved its class
                return resolve(self.trust.registry.find("method", node["method"]))
            cls = self.trust.find(node["class"])
        except (PluginError, SavingError) as error:
            raise SavingError(_missing(node, error)) from error
        if not isinstance(cls, type) or not hasattr(cls, "get_params"):
            raise SavingError(f"it names {clean(node['class'])!r}, which is not an estimator")
        return cls

    def parameter(self, node: Any) -> Any:
        """Decode a parameter, which can be of more kinds than fitted state."""
        if isinstance(node, str) and NAMED.fullmatch(node):
            self.trust.find(node)
        if isinstance(node, dict) and node.get("$") in self._parameter_kinds:
            return self._parameter_kinds[node["$"]](node)
        return self._read(node, self.parameter)

    def value(self, node: Any) -> Any:
        """Decode any other value."""
        return self._read(node, self.value)

    def _read(self, node: Any, inner: Callable[[Any], Any]) -> Any:
        if isinstance(node, list):
            return [inner(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$" not in node:
            return {key: inner(value) for key, value in node.items()}
        if node["$"] in _CONTAINERS:
            return _CONTAINERS[node["$"]](inner(item) for item in node["items"])
        return self._kinds[node["$"]](node)

    def _pretrained(self, node: dict[str, Any]) -> Any:
        model = self.parameter(node["model"])
        if isinstance(model, PretrainedClassifier):
            return model
        # Older files have only logits, of nets with one output.
        options = {key: node[key] for key in ("output", "gives") if key in node}
        return PretrainedClassifier(model, node["head"], **options)

    def _data(self, node: dict[str, Any]) -> Any:
        cls = self.trust.find(node["class"])
        if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
            raise SavingError(f"it names {clean(node['class'])!r}, which is not a dataclass")
        return cls(**{name: self.value(value) for name, value in node["fields"].items()})

    def _labels(self, node: dict[str, Any]) -> Any:
        array = np.empty(len(node["items"]), dtype=np.dtype(node["dtype"]))
        array[:] = self.value(node["items"])
        return array.reshape(node["shape"])

    def _frame(self, node: dict[str, Any]) -> pd.DataFrame:
        index, columns = self.value(node["index"]), self.value(node["columns"])
        data = {i: self._column(column, index) for i, column in enumerate(node["data"])}
        return pd.DataFrame(data, index=index).set_axis(columns, axis=1)

    def _series(self, node: dict[str, Any]) -> pd.Series:
        return self._column(node, self.value(node["index"])).rename(self.value(node["name"]))

    def _column(self, node: dict[str, Any], index: pd.Index) -> pd.Series:
        return pd.Series(self.value(node["values"]), index=index, dtype=node["dtype"])

    def _index(self, node: dict[str, Any]) -> pd.Index:
        items, names = self.value(node["items"]), self.value(node["names"])
        if node["dtype"] is None:
            return pd.MultiIndex.from_tuples(items, names=names)
        return pd.Index(items, dtype=node["dtype"], name=names[0])


def _missing(node: dict[str, Any], error: Exception) -> str:
    name, distribution = node.get("method") or node["class"], node.get("distribution")
    if distribution is None:
        return str(error)
    made = f"{clean(distribution)} {clean(node.get('version'))}"
    return (
        f"it holds {clean(name)!r} of {made}, which is not available here ({clean(error)}) "
        f"Install {clean(distribution)}"
    )

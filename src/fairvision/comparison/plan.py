"""What a comparison will do, as plain data: written to disk, compared, resumed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fairvision.exceptions import InputError
from fairvision.plugins import RegisteredMethod, default_registry

__all__ = ["MethodPlan", "Plan", "plan_methods"]


@dataclass(frozen=True)
class MethodPlan:
    """One method as it will be run.

    Parameters
    ----------
    label : str
        What the table calls it.
    name : str
        ``distribution:name``, as the registry knows it.
    stage : {"pre", "in", "post"}
    version : str
        Of the distribution.
    preset : str or None
    params : mapping
        On top of the preset.
    """

    label: str
    name: str
    stage: str
    version: str
    preset: str | None
    params: Mapping[str, Any]
    groups_seen: str
    groups_at_predict: bool


@dataclass(frozen=True)
class Plan:
    """All that decides the numbers of a comparison.

    Parameters
    ----------
    dataset : mapping
        Name and parameters of the loader, or a hash of the data given.
    split : mapping
        ``confounding``, ``n_train``, ``n_test``, ``test_size``.
    methods : tuple of MethodPlan
    seeds : tuple of int
    max_epochs : int
        For every method that trains by epochs.
    device : str
    n_boot : int
        Draws of each interval.
    """

    dataset: Mapping[str, Any]
    split: Mapping[str, Any]
    methods: tuple[MethodPlan, ...]
    seeds: tuple[int, ...]
    max_epochs: int
    device: str = "auto"
    n_boot: int = 1000
    versions: Mapping[str, str] = field(default_factory=dict)

    def common(self) -> dict[str, Any]:
        """What must agree before runs of two plans may stand in one table."""
        return {
            "dataset": dict(self.dataset),
            "split": dict(self.split),
            "max_epochs": self.max_epochs,
            "n_boot": self.n_boot,
        }

    def identity(self, method: MethodPlan, seed: int) -> str:
        """Hash of everything that decides the numbers of one run."""
        run = {**self.common(), "method": asdict(method), "seed": seed}
        del run["method"]["label"]
        text = json.dumps(run, sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def versions() -> dict[str, str]:
    """Versions of what the numbers rest on."""
    names = ("fairvision", "torch", "torchvision", "scikit-learn", "fairlearn", "aif360", "numpy")
    return {name: importlib.metadata.version(name) for name in names}


def plan_methods(
    methods: str | Sequence[str] | Mapping[str, Any],
    *,
    preset: str | None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[MethodPlan, ...]:
    """Look every method up before anything runs.

    Parameters
    ----------
    methods : "all", sequence of names, or mapping
        From a label to a name, or to a pair (name, parameters).
    preset : str or None
        Used by the methods that have it.
    params : mapping of name to mapping
        Further parameters, by name or label.

    Raises
    ------
    UnknownNameError
        With the closest names.
    InputError
        For a label given twice, or parameters of a method that is not run.
    """
    registry = default_registry()
    if isinstance(methods, str):
        methods = [methods]
    if not isinstance(methods, Mapping):
        names = list(methods)
        if names == ["all"]:
            names = [_shortest(m) for m in registry.methods()]
            names.sort(key=lambda name: (name != "erm", name))
        if len(set(names)) < len(names):
            raise InputError(f"methods names one twice: {names}.")
        methods = {name: name for name in names}
    if not methods:
        raise InputError("methods is empty; name one or more (`fairvision methods` lists them).")
    params = dict(params or {})
    plans = []
    for label, value in methods.items():
        name, own = (value, {}) if isinstance(value, str) else value
        found = registry.find("method", name)
        own = {**own, **params.pop(label, {})}
        plans.append(_plan(label, found, preset, own))
    if params:
        raise InputError(
            f"parameters are given for {sorted(params)}, but the methods are {list(methods)}."
        )
    return tuple(plans)


def _shortest(method: RegisteredMethod) -> str:
    ambiguous = method.name in default_registry().duplicates("method")
    return method.qualified_name if ambiguous else method.name


def _plan(
    label: str, found: RegisteredMethod, preset: str | None, params: Mapping[str, Any]
) -> MethodPlan:
    return MethodPlan(
        label=label,
        name=found.qualified_name,
        stage=found.stage,
        version=found.origin.version,
        preset=preset if preset in found.presets else None,
        params=dict(params),
        groups_seen=str(found.needs),
        groups_at_predict=found.needs.predict,
    )

"""What a comparison will do, as plain data: written to disk, compared, resumed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from fairvision.comparison.plain import plain
from fairvision.exceptions import InputError, PluginError
from fairvision.plugins import RegisteredMethod, closest, default_registry, resolve

__all__ = ["PLAIN_TRAINING", "MethodPlan", "Plan", "plan_methods", "versions"]

PLAIN_TRAINING = "fairvision:erm"


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
    groups_seen : str
        When it sees group labels, in words.
    groups_at_fit : bool
        False where it declares that it reads no group of training or validation
        rows: it is then given none.
    groups_at_predict : bool
    balanced : bool
        Trained on rows without the bias: the control.
    model : MethodPlan or None
        The plain training inside a method that does not train by itself.
    """

    label: str
    name: str
    stage: str
    version: str
    preset: str | None
    params: Mapping[str, Any]
    groups_seen: str = "never"
    groups_at_fit: bool = True
    groups_at_predict: bool = False
    balanced: bool = False
    model: MethodPlan | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        model = None if self.model is None else self.model.to_dict()
        return plain({**vars(self), "model": model})


@dataclass(frozen=True)
class Plan:
    """All that decides the numbers of a comparison.

    Parameters
    ----------
    dataset : mapping
        Name and parameters of the loader, or a hash of the images given; hash of the labels.
    split : mapping
        ``by`` ("confounding", "column" or "random"), ``confounding``, ``n_train``,
        ``n_test``, ``test_size``.
    methods : tuple of MethodPlan
    seeds : tuple of int
    max_epochs : int
        For every method that trains by epochs.
    device : str
    n_threads : int
        CPU threads of each run.
    n_boot : int
        Draws of each interval.
    versions : mapping of str to str
    report : bool
        Whether what a report shows of the first seed's estimators is kept.
    """

    dataset: Mapping[str, Any]
    split: Mapping[str, Any]
    methods: tuple[MethodPlan, ...]
    seeds: tuple[int, ...]
    max_epochs: int
    device: str = "auto"
    n_threads: int = 1
    n_boot: int = 1000
    versions: Mapping[str, str] = field(default_factory=dict)
    report: bool = True

    def has_evidence(self, seed: int) -> bool:
        """Whether the report shows the estimators of this seed: of the first only."""
        return self.report and seed == self.seeds[0]

    def common(self) -> dict[str, Any]:
        """What must agree before runs of two plans may stand in one table."""
        names = ("dataset", "split", "max_epochs", "n_boot")
        return {name: plain(getattr(self, name)) for name in names}

    def identity(self, method: MethodPlan, seed: int) -> str:
        """Hash of what was asked of one run; a run on disk with another is done again.

        Where it ran (device, threads, versions of other libraries) may change
        last digits, and is not part of it: hours of work would be thrown away.
        """
        asked = {**method.to_dict(), "label": None, "host": self.versions.get("fairvision")}
        text = json.dumps({**self.common(), "method": asked, "seed": seed}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return plain({**vars(self), "methods": [method.to_dict() for method in self.methods]})


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
    params : mapping of label to mapping
        Further parameters.

    Raises
    ------
    UnknownNameError
        With the closest names.
    InputError
        For a name given twice, parameters of a method that is not run, or a
        preset that no method has.
    """
    _check_preset(preset)
    named, params = _named(methods), dict(params or {})
    plans = []
    for label, (name, own) in named.items():
        plans.append(_plan(label, name, preset, {**own, **params.pop(label, {})}))
    if params:
        raise InputError(
            f"parameters are given for {sorted(params)}, but the methods are {list(named)}."
        )
    # What a sampler or a meta-estimator is combined with is the baseline beside it in the table.
    plain_training = next((p for p in plans if p.name == PLAIN_TRAINING), None)
    if plain_training is None:
        plain_training = _plan("erm", PLAIN_TRAINING, preset, {})
    model = replace(plain_training, label="erm")
    return tuple(replace(p, model=model) if _holds_a_model(p) else p for p in plans)


def _holds_a_model(plan: MethodPlan) -> bool:
    """Whether a method is combined with a model, or is one."""
    if plan.stage != "in":
        return True
    try:
        target = resolve(default_registry().find("method", plan.name))
        return "estimator" in inspect.signature(target).parameters
    except (PluginError, TypeError, ValueError):  # which costs the method's own runs, later
        return False


def _check_preset(preset: str | None) -> None:
    known = {name for method in default_registry().methods() for name in method.presets}
    if preset is not None and preset not in known:
        raise InputError(
            f"preset is {preset!r}, which no method has.{closest(str(preset), known)} "
            f"There are {', '.join(sorted(known))}; None takes each method's defaults."
        )


def _named(methods: str | Sequence[str] | Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Label -> name and own parameters, in the order of the table."""
    names = [methods] if isinstance(methods, str) else list(methods)
    if not names:
        raise InputError("methods is empty; name one or more (`fairvision methods` lists them).")
    if isinstance(methods, Mapping):
        pairs = {k: (v, {}) if isinstance(v, str) else v for k, v in methods.items()}
        return {str(label): (name, dict(own)) for label, (name, own) in pairs.items()}
    if names == ["all"]:
        names = sorted(map(_shortest, default_registry().methods()))
        names.sort(key=lambda name: name not in ("erm", PLAIN_TRAINING))
    if len(set(names)) < len(names):
        raise InputError(f"methods names one twice: {names}.")
    return {name: (name, {}) for name in names}


def _shortest(method: RegisteredMethod) -> str:
    ambiguous = method.name in default_registry().duplicates("method")
    return method.qualified_name if ambiguous else method.name


def _plan(label: str, name: str, preset: str | None, params: Mapping[str, Any]) -> MethodPlan:
    found = cast(RegisteredMethod, default_registry().find("method", name))
    return MethodPlan(
        label=label,
        name=found.qualified_name,
        stage=found.stage,
        version=found.origin.version,
        preset=preset if preset in found.presets else None,
        params=dict(params),
        groups_seen=str(found.needs),
        groups_at_fit=found.needs.fit or found.needs.validation,
        groups_at_predict=found.needs.predict,
    )

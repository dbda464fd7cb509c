"""The methods of a comparison: looked up, or planned from estimators, before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from fairvision.comparison.budget import AUTO
from fairvision.comparison.estimators import needs_within, plan_estimator, source_hash
from fairvision.comparison.plan import ON_FEATURES, PLAIN_TRAINING, MethodPlan
from fairvision.exceptions import InputError, PluginError
from fairvision.plugins import RegisteredMethod, closest, default_registry, resolve

__all__ = ["Methods", "names_all", "plan_methods"]

Methods = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]


def plan_methods(
    methods: Methods,
    *,
    preset: str | None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    shared_params: Mapping[str, Any] | None = None,
    on_features: bool = False,
) -> tuple[MethodPlan, ...]:
    """Plan every method before anything runs.

    Parameters
    ----------
    methods : "all", "auto", name, mapping, or sequence of names and mappings
        A mapping is from a label to a name, to a pair (name, parameters), or to an
        unfitted estimator.
    preset : str or None
        Used by the named methods that have it.
    params : mapping of label to mapping
        Further parameters.
    shared_params : mapping
        Parameters of every named method that has them, the ERM classifier among them.
    on_features : bool
        Whether they are given features of a pretrained net: a linear net on them is then
        the default of all.

    Raises
    ------
    UnknownNameError
        With the closest names.
    InputError
        For a label given twice, a value that is no method, parameters of a method that is
        not run, or a preset that no method has.
    """
    _check_preset(preset)
    by_label, params = _by_label(methods), dict(params or {})
    plans = [
        _plan(label, value, preset, params.pop(label, {})) for label, value in by_label.items()
    ]
    if params:
        raise InputError(
            f"parameters are given for {sorted(params)}, but the methods are {list(by_label)}. Use "
            "their labels."
        )
    # The model inside a sampler or a meta-estimator is the baseline beside it in the table.
    plain_training = next((p for p in plans if p.name == PLAIN_TRAINING), None)
    if plain_training is None:
        plain_training = _plan("erm", PLAIN_TRAINING, preset, {})
    shared = {**(ON_FEATURES if on_features else {}), **(shared_params or {})}
    model = _with_shared(replace(plain_training, label="erm"), shared)
    plans = [_with_shared(p, shared) for p in plans]
    unused = set(shared_params or {}) - {name for p in (*plans, model) for name in p.params}
    if unused:
        raise InputError(
            f"shared_params names {sorted(unused)}, which none of the methods has. Leave these out."
        )
    return tuple(replace(p, model=model) if _needs_model(p) else p for p in plans)


def _with_shared(plan: MethodPlan, shared: Mapping[str, Any]) -> MethodPlan:
    """A named method with those of the shared parameters that it has; its own go before."""
    if not shared or plan.estimator is not None:
        return plan
    try:
        known = inspect.signature(_target(plan.name)).parameters
    except (PluginError, TypeError, ValueError):  # its own runs fail later, and say why
        return plan
    accepted = {name: value for name, value in shared.items() if name in known}
    return replace(plan, params={**accepted, **plan.params})


def names_all(methods: Methods, name: str = "all") -> bool:
    """Whether the methods are all that are installed; for "auto", those that are worth trying."""
    return name in _listed(methods)


def _needs_model(plan: MethodPlan) -> bool:
    """Whether a method wraps a classifier, and none was passed with it."""
    if plan.estimator is not None and plan.stage != "pre":
        # A scikit-learn meta-estimator without `sensitive_features` has a default of its own.
        lacks = plan.params.get("estimator", plan) is None
        return lacks and (plan.is_registered or "fit" in plan.groups_seen)
    if plan.stage != "in":
        return True
    try:
        return "estimator" in inspect.signature(_target(plan.name)).parameters
    except (PluginError, TypeError, ValueError):  # its own runs fail later, and say why
        return False


def _target(name: str) -> Any:
    return resolve(default_registry().find("method", name))


def _check_preset(preset: str | None) -> None:
    known = {name for method in default_registry().methods() for name in method.presets}
    if preset is not None and preset not in known:
        raise InputError(
            f"preset is {preset!r}, which no method has.{closest(str(preset), known)} "
            f"There are {', '.join(sorted(known))}; None takes each method's defaults."
        )


def _listed(methods: Methods) -> list[Any]:
    several = isinstance(methods, Iterable) and not isinstance(methods, (str, Mapping))
    return list(methods) if several else [methods]


def _by_label(methods: Methods) -> dict[str, Any]:
    """Label -> name, pair or estimator, in the order of the table."""
    pairs = [pair for entry in _listed(methods) for pair in _pairs(entry)]
    labels = [label for label, _ in pairs]
    if not labels:
        raise InputError("methods is empty; name one or more (`fairvision methods` lists them).")
    if len(set(labels)) < len(labels):
        raise InputError(
            f"methods has a label twice: {labels}. Give each method a label of its own."
        )
    return dict(pairs)


def _pairs(entry: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(entry, Mapping):
        yield from ((str(label), value) for label, value in entry.items())
    elif entry == "auto":
        installed = {method.name for method in default_registry().methods()}
        yield from ((name, name) for name in AUTO if name in installed)
    elif entry == "all":
        names = sorted(map(_shortest, default_registry().methods()))
        names.sort(key=lambda name: name not in ("erm", PLAIN_TRAINING))
        yield from ((name, name) for name in names)
    elif isinstance(entry, str):
        yield entry, entry
    else:
        raise InputError(
            f"methods holds {entry!r:.80}, which has no label. Pass a mapping: "
            '{"my label": estimator}.'
        )


def _shortest(method: RegisteredMethod) -> str:
    ambiguous = method.name in default_registry().duplicates("method")
    return method.qualified_name if ambiguous else method.name


def _plan(label: str, value: Any, preset: str | None, more: Mapping[str, Any]) -> MethodPlan:
    match value:
        case str(name) | (str(name), _):
            method_params = {} if isinstance(value, str) else value[1]
            return _plan_name(label, name, preset, {**method_params, **more})
        case _:
            return plan_estimator(label, value, more)


def _plan_name(label: str, name: str, preset: str | None, params: Mapping[str, Any]) -> MethodPlan:
    registered = cast(RegisteredMethod, default_registry().find("method", name))
    needs = needs_within(registered, params.values())
    return MethodPlan(
        label=label,
        name=registered.qualified_name,
        stage=registered.stage,
        version=registered.origin.version,
        preset=preset if preset in registered.presets else None,
        params=dict(params),
        code=_code(registered.qualified_name),
        groups_seen=str(needs),
        groups_at_fit=needs.fit or needs.validation,
        groups_at_predict=needs.predict,
    )


def _code(name: str) -> str:
    try:
        return source_hash(_target(name))
    except PluginError:  # its own runs fail later, and say why
        return ""

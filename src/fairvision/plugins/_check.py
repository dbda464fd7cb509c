"""What a plugin must be: its API version, its hooks, and the descriptors they answer with."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import pluggy

from fairvision import hookspecs
from fairvision.plugins._text import clean, closest
from fairvision.plugins._values import Kind, Origin, Phase
from fairvision.types import Claims, Dataset, Method, Metric, Needs, Reference, ReportSection, Stage


class Hook(NamedTuple):
    """What the answers to one hook are."""

    descriptor: type[Any]
    kind: Kind
    stage: Stage | None = None


# In the order in which a plugin's hooks are called.
HOOKS: dict[str, Hook] = {
    "fairvision_preprocessing": Hook(Method, "method", "pre"),
    "fairvision_inprocessing": Hook(Method, "method", "in"),
    "fairvision_postprocessing": Hook(Method, "method", "post"),
    "fairvision_metrics": Hook(Metric, "metric"),
    "fairvision_datasets": Hook(Dataset, "dataset"),
    "fairvision_report_sections": Hook(ReportSection, "report section"),
}
# Names and targets check themselves; these are what a listing reads besides.
_FIELDS: dict[str, Any] = {
    "summary": str,
    "title": str,
    "reference": Reference | None,
    "needs": Needs,
    "targets": tuple,
    "groups": tuple,
    "methods": tuple,
    "presets": Mapping,
    "claims": Claims,
}


class Refused(Exception):
    """A plugin cannot be used: how far it came, what happened, what to do."""

    def __init__(self, phase: Phase, message: str, hint: str) -> None:
        super().__init__(message)
        self.phase: Phase = phase
        self.message = clean(message)
        self.hint = clean(hint)


def check_api(stated: object, origin: Origin) -> None:
    """Refuse a plugin made for another major version of the API, or for a newer minor one."""
    host_version = hookspecs.API_VERSION
    match stated:
        case None:
            message = "its module states no FAIRVISION_API"
            hint = f"Add FAIRVISION_API = {host_version} to {origin.module}."
        case (int(major), int(minor)):
            if major == host_version[0] and minor <= host_version[1]:
                return
            plugin_version = (major, minor)
            message = f"it is made for plugin API {plugin_version}; this host has {host_version}"
            hint = f"Install a release of {origin.distribution} made for API {host_version}"
            hint += (
                f", or a fairvision with API {plugin_version}."
                if plugin_version > host_version
                else "."
            )
        case _:
            message = f"FAIRVISION_API is {stated!r}; expected two whole numbers"
            hint = f"Write FAIRVISION_API = {host_version} in {origin.module}."
    raise Refused("api", message, hint)


def new_manager() -> pluggy.PluginManager:
    """Return a pluggy manager that knows the hook specs."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def add_plugin(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register a module or an object, its hooks checked against the specs; or refuse it."""
    try:
        manager.register(plugin, name)
        for caller in manager.get_hookcallers(plugin) or ():
            optional = all(impl.optionalhook for impl in caller.get_hookimpls())
            if not caller.has_spec() and not optional:
                raise _unknown_hook(caller.name)
        for hook in _unmarked(plugin):
            if hook not in HOOKS:
                raise _unknown_hook(hook)
            hint = "Put @fairvision.hookspecs.hookimpl above it."
            raise Refused("hooks", f"{hook} is not marked as a hook", hint)
    except BaseException:
        if manager.get_plugin(name) is plugin:
            manager.unregister(plugin)
        raise


def _unmarked(plugin: object) -> list[str]:
    """Return the plugin's own functions that look like hooks but would never be called."""
    module = getattr(plugin, "__name__", type(plugin).__module__)
    return [
        name
        for name, value in inspect.getmembers(plugin, inspect.isroutine)
        if name.startswith(f"{hookspecs.PROJECT}_")
        and getattr(value, "__module__", None) == module
        and not hasattr(value, f"{hookspecs.PROJECT}_impl")
    ]


def _unknown_hook(name: str) -> Refused:
    message = f"there is no hook {name!r}.{closest(name, HOOKS)}"
    return Refused("hooks", message, f"The hooks are {', '.join(HOOKS)}.")


def not_iterable(name: str, result: object) -> Refused:
    """Say that a hook returned one thing where it should return several."""
    returned = "None" if result is None else f"one {type(result).__name__}"
    return Refused("collect", f"{name} returned {returned}", "Yield descriptors or return a list.")


def check_descriptor(name: str, descriptor: Any) -> None:
    """Refuse what the hook `name` may not answer with."""
    expected, kind = HOOKS[name].descriptor, type(descriptor).__name__
    if not isinstance(descriptor, expected):
        homes = [other for other, hook in HOOKS.items() if isinstance(descriptor, hook.descriptor)]
        message = f"{name} yielded a {kind}; expected a {expected.__name__}"
        advice = " or ".join(homes) if homes else f"fairvision.types.{expected.__name__} instead"
        raise Refused("collect", message, f"Yield {'it from ' if homes else ''}{advice}.")
    for field in dataclasses.fields(descriptor):
        value = getattr(descriptor, field.name)
        if not isinstance(value, _FIELDS.get(field.name, object)):
            raise Refused(
                "collect",
                f"{kind} {descriptor.name!r}: {field.name} is a {type(value).__name__}",
                f"fairvision.types.{expected.__name__} says what {field.name} may be.",
            )

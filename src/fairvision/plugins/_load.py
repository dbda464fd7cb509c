"""Second and third step: import each plugin, check it and collect what it offers.

Whatever one plugin does wrong becomes a :class:`PluginFailure` and costs the others
nothing. Only a `KeyboardInterrupt` passes: it is the user's.
"""

from __future__ import annotations

import importlib
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pluggy

from fairvision.exceptions import PluginError
from fairvision.plugins._block import Policy
from fairvision.plugins._check import (
    HOOKS,
    Refused,
    add_plugin,
    check_api,
    check_descriptor,
    not_iterable,
)
from fairvision.plugins._text import clean, describe
from fairvision.plugins._values import (
    Kind,
    Origin,
    Phase,
    Plugin,
    PluginFailure,
    PluginNote,
    Registered,
    RegisteredMethod,
)

# What makes a listing slow. Only the plugin that is first to import one can be told.
HEAVY = frozenset({"numpy", "pandas", "scipy", "sklearn", "skorch", "torch", "torchvision"})


def load_all(
    manager: pluggy.PluginManager, origins: Iterable[Origin], policy: Policy, *, strict: bool
) -> tuple[Plugin, ...]:
    """Load the plugins one at a time, in the order given.

    Raises
    ------
    PluginError
        If `strict` and a plugin fails, with the cause chained.
    """
    names: defaultdict[str, set[tuple[Kind, str]]] = defaultdict(set)
    plugins = []
    for origin in origins:
        blocked = policy.reason(origin)
        if blocked is not None:
            plugins.append(Plugin(origin, "blocked", notes=(blocked,)))
            continue
        plugin = _load_one(manager, origin, names[origin.distribution], strict=strict)
        names[origin.distribution].update((o.kind, o.name) for o in plugin.offers)
        plugins.append(plugin)
    return tuple(plugins)


def _load_one(
    manager: pluggy.PluginManager,
    origin: Origin,
    names: Collection[tuple[Kind, str]],
    *,
    strict: bool,
) -> Plugin:
    before = HEAVY & sys.modules.keys()
    try:
        plugin = Plugin(origin, "loaded", offers_of(manager, _import(origin), origin, names))
    except Refused as refused:
        failure = PluginFailure(origin, refused.phase, refused.message, refused.hint)
        if strict:
            raise PluginError(f"{failure} {failure.hint}") from refused
        plugin = Plugin(origin, "failed", failure=failure)
    heavy = ", ".join(sorted(HEAVY & sys.modules.keys() - before))
    if not heavy:
        return plugin
    hint = f"Import it late: let {origin.module} hold descriptors only."
    note = PluginNote(origin, f"slow: imports {heavy} at listing", hint)
    return Plugin(origin, plugin.status, plugin.offers, plugin.failure, notes=(note,))


def offers_of(
    manager: pluggy.PluginManager,
    plugin: object,
    origin: Origin,
    names: Collection[tuple[Kind, str]] = (),
) -> tuple[Registered[Any], ...]:
    """Return what a module or an object offers, or refuse it.

    `names` holds what its distribution offers elsewhere.
    """
    with _isolated("api", _report(origin)):
        check_api(getattr(plugin, "FAIRVISION_API", None), origin)
    with _isolated("hooks", _report(origin)):
        add_plugin(manager, plugin, f"{origin.distribution}:{origin.entry_point}")
    offers: dict[tuple[Kind, str], Registered[Any]] = {}
    try:
        with _isolated("collect", _report(origin)):
            for hook, offered in _answers(manager, plugin, origin):
                key = (offered.kind, offered.name)
                if key in offers or key in names:
                    message = f"{hook} offers the {offered.kind} {offered.name!r} a second time"
                    raise Refused("collect", message, "Give each a name of its own.")
                offers[key] = offered
    except BaseException:
        manager.unregister(plugin)
        raise
    return tuple(offers.values())


@contextmanager
def _isolated(phase: Phase, hint: str) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, Refused):
        raise
    except BaseException as error:  # SystemExit, too: a plugin may not end the program
        raise Refused(phase, describe(error), hint) from error


def _report(origin: Origin) -> str:
    return (
        f"Tell the authors of {origin.distribution}; until then "
        f"FAIRVISION_DISABLE_PLUGINS={origin.distribution} blocks it."
    )


def _import(origin: Origin) -> ModuleType:
    if not all(name.isidentifier() for name in origin.module.split(".")):
        raise Refused(
            "import",
            f"the entry point names {origin.module!r}, which is not a module",
            "Write the entry point as: name = 'my_package.plugin'.",
        )
    hint = f'python -c "import {origin.module}" shows the traceback. {_report(origin)}'
    with _isolated("import", hint):
        try:
            return importlib.import_module(origin.module)
        except ModuleNotFoundError as error:
            raise Refused("import", describe(error), how_to_install(error, origin)) from error


def how_to_install(error: ModuleNotFoundError, origin: Origin) -> str:
    """Return what to install after a plugin met a module that is not there."""
    return (
        f"Install the package that provides {clean(error.name)!r}, or reinstall "
        f"{origin.distribution} with all that it asks for: "
        f"python -m pip install --upgrade {origin.distribution}"
    )


def _answers(
    manager: pluggy.PluginManager, plugin: object, origin: Origin
) -> Iterator[tuple[str, Registered[Any]]]:
    """Call each hook that one plugin implements and yield what it answers, checked."""
    others = manager.get_plugins() - {plugin}
    for name in HOOKS:
        caller = manager.subset_hook_caller(name, others)
        if not caller.get_hookimpls():
            continue
        results = caller()
        if not results:  # pluggy leaves None out
            raise not_iterable(name, None)
        for result in results:
            if not isinstance(result, Iterable):
                raise not_iterable(name, result)
            for descriptor in result:
                check_descriptor(name, descriptor)
                yield name, _registered(name, descriptor, origin)


def _registered(name: str, descriptor: Any, origin: Origin) -> Registered[Any]:
    hook = HOOKS[name]
    if hook.stage is None:
        return Registered(descriptor, origin, hook.kind)
    return RegisteredMethod(descriptor, origin, hook.kind, hook.stage)

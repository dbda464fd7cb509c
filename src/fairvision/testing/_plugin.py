"""The checks of a plugin as a whole, and of each of its methods."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

from fairvision.exceptions import UnknownNameError
from fairvision.plugins import (
    Plugin,
    RegisteredMethod,
    Registry,
    closest,
    default_registry,
    resolve,
)
from fairvision.testing._method import method_checks
from fairvision.testing._require import require, step
from fairvision.testing._result import Check, Result, run_all

# Imports a plugin's module, calls its hooks, and prints what heavy modules that took.
_LIST = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
from fairvision.plugins._load import HEAVY
before = set(sys.modules)
module = importlib.import_module(sys.argv[2])
for name in dir(module):
    if name.startswith("fairvision_") and hasattr(getattr(module, name), "fairvision_impl"):
        list(getattr(module, name)())
print(", ".join(sorted(HEAVY & (set(sys.modules) - before))))
"""
_PARAMETERS = {
    "metric": ("sensitive_features", "y_score", "sample_weight"),
    "report section": ("estimator", "X", "y", "sensitive_features"),
}


def loads(plugin: Plugin) -> None:
    """It loads."""
    if plugin.failure is not None:
        require(False, f"{plugin.failure} {plugin.failure.hint}")
    require(plugin.status == "loaded", "; ".join(f"{note} {note.hint}" for note in plugin.notes))
    require(bool(plugin.offers), "it offers nothing")


def is_light_to_list(plugin: Plugin) -> None:
    """Listing it imports nothing heavy, in a process of its own too."""
    slow = [note for note in plugin.notes if note.message.startswith("slow")]
    require(not slow, "; ".join(f"{note.message}. {note.hint}" for note in slow))
    # Here, others may have imported it all before.
    command = [sys.executable, "-c", _LIST, json.dumps(sys.path), plugin.origin.module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:  # of an object that was registered there is no module
        heavy = done.stdout.splitlines()[-1]  # the plugin may print, too
        module = plugin.origin.module
        require(
            not heavy,
            f"listing it imports {heavy}. Let {module} hold descriptors only, and import late in "
            f"{module.rpartition('.')[0] or module} (lazy_loader.attach_stub)",
        )


def states_its_licence(plugin: Plugin) -> None:
    """Its distribution states a licence."""
    require(bool(plugin.origin.license), "its metadata state no licence: [project] license = ...")


def is_described(plugin: Plugin) -> None:
    """Each offer has a summary of one line; a reference has authors, a year and an identifier."""
    for offer in plugin.offers:
        text = offer.summary
        require(
            bool(text.strip()) and "\n" not in text and len(text) <= 100,
            f"{offer.name}: the summary is {text!r}; write one line of 100 characters at most",
        )
        reference = getattr(offer.descriptor, "reference", None)
        if reference is not None:
            identifier = reference.doi or reference.arxiv or reference.url
            require(bool(identifier), f"{offer.name}: its reference has no doi, arxiv or url")
            require(
                bool(reference.authors) and reference.year > 1900,
                f"{offer.name}: its reference has no authors, or no year",
            )


def targets_can_be_imported(plugin: Plugin) -> None:
    """The targets of its descriptors can be imported, and take what the hook passes."""
    for offer in plugin.offers:
        with step(f"importing {offer.target}"):
            target = resolve(offer)
        require(callable(target), f"{offer.target} cannot be called")
        parameters = inspect.signature(target).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            continue
        missing = [name for name in _PARAMETERS.get(offer.kind, ()) if name not in parameters]
        require(not missing, f"{offer.target} takes no {', '.join(missing)}")


def sections_name_methods(plugin: Plugin) -> None:
    """A report section names only methods of this plugin."""
    own = {offer.name for offer in plugin.offers if offer.kind == "method"}
    for offer in plugin.offers:
        unknown = sorted(set(getattr(offer.descriptor, "methods", ())) - own)
        require(not unknown, f"{offer.name} is for {', '.join(unknown)}, which it does not offer")


_CHECKS: tuple[Callable[[Plugin], None], ...] = (
    loads,
    is_light_to_list,
    states_its_licence,
    is_described,
    targets_can_be_imported,
    sections_name_methods,
)


def plugin_checks(
    name: str, *, methods: bool = True, registry: Registry | None = None, device: str = "cpu"
) -> Iterator[Check]:
    """Yield the checks of a plugin and of each of its methods without running them.

    Parameters
    ----------
    name : str
        Its distribution, from ``fairvision plugins``.
    methods : bool, default=True
        Whether to check its methods, too.
    registry : Registry, default=None
        Where to look for it; None means the default registry.
    device : str, default="cpu"
        As in `method_checks`.

    Raises
    ------
    UnknownNameError
        If no installed distribution of this name has a plugin.
    """
    every = (registry or default_registry()).plugins
    plugins = [plugin for plugin in every if plugin.origin.distribution == name]
    if not plugins:
        known = [plugin.origin.distribution for plugin in every]
        raise UnknownNameError(
            f"There is no plugin {name!r}.{closest(name, known)} `fairvision plugins` lists all."
        )
    for plugin in plugins:
        for check in _CHECKS if plugin.status == "loaded" else (loads,):
            yield Check(name, check.__name__, partial(check, plugin))
        for offer in plugin.offers:
            if methods and isinstance(offer, RegisteredMethod):
                yield from method_checks(offer, device=device)


def check_plugin(
    name: str, *, methods: bool = True, registry: Registry | None = None, device: str = "cpu"
) -> list[Result]:
    """Run every check of a plugin, and of each of its methods.

    Parameters
    ----------
    name, methods, registry, device
        As in `plugin_checks`.

    Returns
    -------
    results : list of Result

    Raises
    ------
    ConformanceError
        If any check failed, with a line for each.

    Examples
    --------
    >>> from fairvision.testing import check_plugin
    >>> results = check_plugin("fairvision-groupdro")  # doctest: +SKIP
    """
    return run_all(plugin_checks(name, methods=methods, registry=registry, device=device))

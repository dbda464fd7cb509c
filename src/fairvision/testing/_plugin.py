"""Checks of a plugin: is it found, light and told in full, and do all its methods conform?"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fairvision.exceptions import UnknownNameError
from fairvision.plugins import (
    Plugin,
    RegisteredMethod,
    Registry,
    closest,
    default_registry,
    resolve,
)
from fairvision.testing._outcome import require, trying
from fairvision.testing._run import MethodCheck, Result, method_checks, raise_failed, run_check

__all__ = ["check_plugin", "plugin_checks"]

_METRIC = ("sensitive_features", "y_score", "sample_weight")
_SECTION = ("estimator", "X", "y", "sensitive_features")


@dataclass(frozen=True)
class PluginCheck:
    """One check of a plugin as a whole."""

    plugin: Plugin
    name: str

    def run(self) -> Result:
        """Do the check."""
        started = time.perf_counter()
        status, message = run_check(lambda: PLUGIN_CHECKS[self.name](self.plugin))
        seconds = time.perf_counter() - started
        return Result(self.plugin.origin.distribution, self.name, status, message, seconds)


def loads(plugin: Plugin) -> None:
    """It is loaded, and not failed or blocked."""
    if plugin.failure is not None:
        require(False, f"{plugin.failure} {plugin.failure.hint}")
    require(plugin.status == "loaded", "; ".join(f"{note} {note.hint}" for note in plugin.notes))
    require(bool(plugin.offers), "it offers nothing")


def is_light_to_list(plugin: Plugin) -> None:
    """Listing it imports nothing heavy."""
    slow = [note for note in plugin.notes if note.message.startswith("slow")]
    require(not slow, "; ".join(f"{note.message}. {note.hint}" for note in slow))


def states_its_licence(plugin: Plugin) -> None:
    """Its distribution says under which licence it may be used."""
    require(bool(plugin.origin.license), "its metadata state no licence: [project] license = ...")


def is_described(plugin: Plugin) -> None:
    """Each offer has a summary of one line; a reference has authors, a year and an identifier."""
    for offered in plugin.offers:
        text = offered.summary
        require(
            bool(text.strip()) and "\n" not in text and len(text) <= 100,
            f"{offered.name}: the summary is {text!r}; write one line of 100 characters at most",
        )
        reference = getattr(offered.descriptor, "reference", None)
        if reference is not None:
            found = reference.doi or reference.arxiv or reference.url
            require(bool(found), f"{offered.name}: its reference has no doi, arxiv or url")
            require(
                bool(reference.authors) and reference.year > 1900,
                f"{offered.name}: its reference has no authors, or no year",
            )


def targets_can_be_imported(plugin: Plugin) -> None:
    """What the descriptors name is there, and can be called as its hook says."""
    wanted = {"metric": _METRIC, "report section": _SECTION}
    for offered in plugin.offers:
        with trying(f"importing {offered.target}"):
            target = resolve(offered)
        require(callable(target), f"{offered.target} cannot be called")
        parameters = inspect.signature(target).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            continue
        missing = [name for name in wanted.get(offered.kind, ()) if name not in parameters]
        require(not missing, f"{offered.target} takes no {', '.join(missing)}")


def sections_name_methods(plugin: Plugin) -> None:
    """A report section for certain methods names methods that it offers itself."""
    own = {offered.name for offered in plugin.offers if offered.kind == "method"}
    for offered in plugin.offers:
        unknown = sorted(set(getattr(offered.descriptor, "methods", ())) - own)
        require(not unknown, f"{offered.name} is for {', '.join(unknown)}, which it does not offer")


_ORDER: tuple[Callable[[Plugin], None], ...] = (
    loads,
    is_light_to_list,
    states_its_licence,
    is_described,
    targets_can_be_imported,
    sections_name_methods,
)
PLUGIN_CHECKS = {check.__name__: check for check in _ORDER}


def plugin_checks(
    name: str, *, methods: bool = True, registry: Registry | None = None
) -> Iterator[PluginCheck | MethodCheck]:
    """Yield the checks of a plugin and of each of its methods, none of them run yet.

    Parameters
    ----------
    name : str
        Its distribution, as ``fairvision plugins`` lists it.
    methods : bool, default=True
        Whether to check its methods, too.
    registry : Registry, default=None
        Where to look; None means the registry of this process.

    Raises
    ------
    UnknownNameError
        No installed distribution of this name has a plugin.
    """
    every = (registry or default_registry()).plugins
    plugins = [plugin for plugin in every if plugin.origin.distribution == name]
    if not plugins:
        known = [plugin.origin.distribution for plugin in every]
        raise UnknownNameError(
            f"There is no plugin {name!r}.{closest(name, known)} `fairvision plugins` lists all."
        )
    for plugin in plugins:
        failed = plugin.status != "loaded"
        yield from (PluginCheck(plugin, n) for n in (["loads"] if failed else PLUGIN_CHECKS))
        for offered in plugin.offers:
            if methods and isinstance(offered, RegisteredMethod):
                yield from method_checks(offered)


def check_plugin(
    name: str, *, methods: bool = True, registry: Registry | None = None
) -> list[Result]:
    """Run every check of a plugin, and of each of its methods.

    Parameters
    ----------
    name, methods, registry
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
    return raise_failed(
        [check.run() for check in plugin_checks(name, methods=methods, registry=registry)]
    )

"""Every plugin of one environment, loaded once: what each offers, and what went wrong."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from os import PathLike
from typing import Any, cast

from fairvision.exceptions import AmbiguousNameError, InputError, PluginError, UnknownNameError
from fairvision.plugins._block import Policy
from fairvision.plugins._check import Refused, new_manager
from fairvision.plugins._discover import discover
from fairvision.plugins._load import load_all, offers_of
from fairvision.plugins._make import QUICK, build
from fairvision.plugins._text import clean, closest, normalise
from fairvision.plugins._values import Kind, Origin, Plugin, Registered, RegisteredMethod
from fairvision.types import STAGES, Dataset, Metric, ReportSection, Stage

_LOCK = threading.RLock()
_INLINE = "(not installed)"  # in place of the version of a distribution
_LOADING: ContextVar[bool] = ContextVar("fairvision plugins are being loaded", default=False)


class Registry:
    """The plugins of one environment, loaded when it is made, and those registered later.

    Parameters
    ----------
    paths : iterable of path-like, default=None
        Folders with ``*.dist-info`` to look in; None means ``sys.path``.
    environ : mapping of str to str, default=None
        Where ``FAIRVISION_DISABLE_PLUGINS`` and ``FAIRVISION_ALLOW_PLUGINS`` are
        read; None means ``os.environ``.
    strict : bool, default=False
        Whether the first failure raises, its cause chained, instead of being kept.

    Attributes
    ----------
    plugins : tuple of Plugin
        Every entry point, in order: loaded, failed and blocked ones; then what `register` added.
    failures : tuple of PluginFailure
    notes : tuple of PluginNote
        Slow or blocked plugins, and names in the environment that fit none.

    Raises
    ------
    PluginError
        If `strict` and a plugin failed; or if a plugin asks for the registry while
        plugins are being loaded.
    """

    def __init__(
        self,
        paths: Iterable[str | PathLike[str]] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        strict: bool = False,
    ) -> None:
        self._manager = new_manager()
        policy = Policy.from_environ(os.environ if environ is None else environ)
        origins, unreadable = discover(paths)
        if strict and unreadable:
            raise PluginError(f"{unreadable[0]} {unreadable[0].hint}")
        with _no_recursion():
            loaded = load_all(self._manager, origins, policy, strict=strict)
        broken = (Plugin(failure.origin, "failed", failure=failure) for failure in unreadable)
        self.plugins = (*loaded, *broken)
        self.failures = tuple(p.failure for p in self.plugins if p.failure is not None)
        notes = (note for plugin in self.plugins for note in plugin.notes)
        self.notes = (*notes, *policy.strays(origins))

    def register(self, plugin: object, name: str | None = None) -> Plugin:
        """Add a module or an object with hooks, without a distribution.

        See :func:`fairvision.plugins.register`.
        """
        if isinstance(plugin, (str, type)):
            name = getattr(plugin, "__name__", "")
            wanted = f"an object of it: {name}()" if name else "the imported module"
            raise InputError(f"register got {plugin!r:.80}. Pass {wanted}.")
        module = getattr(plugin, "__name__", None) or type(plugin).__module__
        name = name or module.rpartition(".")[2].replace("_", "-").strip("-")
        inline = Origin(name, _INLINE, "(registered)", module)
        with _LOCK:
            others = [p for p in self.plugins if p.origin.distribution != name]
            earlier = [p for p in self.plugins if p.origin.distribution == name]
            if any(p.origin.entry_point != inline.entry_point for p in earlier):
                raise InputError(f"{name!r} is an installed distribution. Pass another name.")
            key = f"{name}:{inline.entry_point}"
            if (known := self._manager.get_name(plugin)) not in (None, key):
                known = str(known).removesuffix(f":{inline.entry_point}")
                raise InputError(f"{module} is registered already, as {known!r}.")
            previous = self._manager.unregister(name=key) if earlier else None
            try:
                with _no_recursion():
                    offers = offers_of(self._manager, plugin, inline)
            except Refused as refused:
                if previous is not None:
                    self._manager.register(previous, key)
                raise PluginError(f"{name}: {refused.message}. {refused.hint}") from refused
            added = Plugin(inline, "loaded", offers)
            self.plugins = (*others, added)
        return added

    def registered(self) -> tuple[tuple[object, str], ...]:
        """What `register` added, each with its name: a worker process must be told of it."""
        inline = [p.origin for p in self.plugins if p.origin.version == _INLINE]
        keys = [(f"{o.distribution}:{o.entry_point}", o.distribution) for o in inline]
        return tuple((self._manager.get_plugin(key), name) for key, name in keys)

    def of_kind(self, kind: Kind) -> tuple[Registered[Any], ...]:
        """Return everything of one kind: "method", "metric", "dataset", "report section"."""
        offers = (offered for plugin in self.plugins for offered in plugin.offers)
        return tuple(offered for offered in offers if offered.kind == kind)

    def methods(
        self, stage: Stage | None = None, needs: str | None = None
    ) -> tuple[RegisteredMethod, ...]:
        """Return the methods, of one stage ("pre", "in", "post") or of all.

        `needs`: only those that must see group labels then ("never", "fit",
        "validation", "predict").
        """
        if needs not in (None, "never", "fit", "validation", "predict"):
            raise InputError(
                f"needs is {needs!r}; expected 'never', 'fit', 'validation' or 'predict'."
            )
        if stage not in (None, *STAGES):
            raise InputError(f"stage is {stage!r}; expected one of {', '.join(map(repr, STAGES))}.")
        methods = cast("tuple[RegisteredMethod, ...]", self.of_kind("method"))
        return tuple(
            method
            for method in methods
            if stage in (None, method.stage) and needs in (None, *str(method.needs).split(", "))
        )

    def metrics(self) -> tuple[Registered[Metric], ...]:
        """Return the metrics."""
        return self.of_kind("metric")

    def datasets(self) -> tuple[Registered[Dataset], ...]:
        """Return the data sets."""
        return self.of_kind("dataset")

    def report_sections(self) -> tuple[Registered[ReportSection], ...]:
        """Return the report sections."""
        return self.of_kind("report section")

    def duplicates(self, kind: Kind) -> frozenset[str]:
        """Return the names that more than one distribution offers."""
        counts = Counter(offered.name for offered in self.of_kind(kind))
        return frozenset(name for name, count in counts.items() if count > 1)

    def find(self, kind: Kind, name: str) -> Registered[Any]:
        """Return what is called `name`, or ``distribution:name``.

        Raises
        ------
        UnknownNameError
            If there is none; the message has the closest names.
        AmbiguousNameError
            If several distributions offer it; the message names each.
        """
        distribution, _, short = str(name).rpartition(":")
        owner = normalise(distribution)
        matches = [
            offered
            for offered in self.of_kind(kind)
            if offered.name == short and owner in ("", normalise(offered.origin.distribution))
        ]
        if not matches:
            raise UnknownNameError(self._unknown(kind, str(name)))
        if len(matches) > 1:
            origins = " and ".join(str(offered.origin) for offered in matches)
            use = " or ".join(repr(offered.qualified_name) for offered in matches)
            raise AmbiguousNameError(f"The {kind} {short!r} is offered by {origins}. Use {use}.")
        return matches[0]

    def _unknown(self, kind: Kind, name: str) -> str:
        every = self.of_kind(kind)
        names = [offered.qualified_name if ":" in name else offered.name for offered in every]
        command = "fairvision methods" if kind == "method" else "fairvision plugins"
        message = f"There is no {kind} {clean(name)!r}.{closest(name, names)}"
        message += f" `{command}` lists all."
        for status in ("failed", "blocked"):
            distributions = ", ".join(
                p.origin.distribution for p in self.plugins if p.status == status
            )
            message += (
                f" Plugins that are {status}: {clean(distributions)}." if distributions else ""
            )
        return message

    def make(self, name: str, /, preset: str | None = QUICK, **params: Any) -> Any:
        """Return an unfitted object of the method `name`; see :func:`fairvision.plugins.make`."""
        return build(cast(RegisteredMethod, self.find("method", name)), preset, params)

    def __repr__(self) -> str:
        counts = Counter(plugin.status for plugin in self.plugins)
        return f"<Registry: {', '.join(f'{n} {status}' for status, n in counts.items())}>"


def default_registry() -> Registry:
    """Return the registry of this process, made when it is first asked for."""
    _refuse_while_loading()  # even if there is one: a plugin must not depend on who came first
    with _LOCK:  # so that two threads do not each call every hook
        return _default()


@cache
def _default() -> Registry:
    return Registry()


def _refuse_while_loading() -> None:
    if _LOADING.get():
        raise PluginError(
            "A plugin asked for the registry while plugins are being loaded. "
            "Ask inside a method, not at import or in a hook."
        )


@contextmanager
def _no_recursion() -> Iterator[None]:
    _refuse_while_loading()
    token = _LOADING.set(True)
    try:
        yield
    finally:
        _LOADING.reset(token)

"""Which plugins the environment blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairvision.plugins._text import clean, closest, normalise
from fairvision.plugins._values import Origin, PluginNote

DISABLE = "FAIRVISION_DISABLE_PLUGINS"
ALLOW = "FAIRVISION_ALLOW_PLUGINS"
_ALL = "all"


@dataclass(frozen=True, slots=True)
class Policy:
    """The two lists of distributions or entry-point names; an empty list blocks nothing.

    A plugin in `disabled` is blocked, and so is one that is missing from `allowed`.
    The host's own plugin is blocked only where `disabled` names it.
    """

    disabled: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Policy:
        """Read the lists, separated by commas, from environment variables."""
        return cls(_names(environ.get(DISABLE, "")), _names(environ.get(ALLOW, "")))

    def reason(self, origin: Origin) -> PluginNote | None:
        """Return why a plugin is blocked, or None if it is not."""
        if _names_of(origin) & set(self.disabled):
            return PluginNote(origin, f"blocked: {DISABLE} names it", f"Take it out of {DISABLE}.")
        if origin.is_host:
            return None
        if _ALL in self.disabled:
            return PluginNote(origin, f"blocked: {DISABLE} is {_ALL!r}", f"Unset {DISABLE}.")
        if self.allowed and not _names_of(origin) & set(self.allowed):
            return PluginNote(origin, f"blocked: {ALLOW} leaves it out", f"Add it to {ALLOW}.")
        return None

    def strays(self, origins: Iterable[Origin]) -> list[PluginNote]:
        """Return a note for each listed name that no installed plugin has."""
        known = {name for origin in origins for name in _names_of(origin)}
        notes = []
        for variable, names in ((DISABLE, self.disabled), (ALLOW, self.allowed)):
            for name in names:
                if name not in known and (variable, name) != (DISABLE, _ALL):
                    message = f"{variable} names {clean(name)!r}, which is not installed."
                    hint = "Use the distribution or the entry-point name of a plugin."
                    notes.append(PluginNote(None, message + closest(name, known), hint))
        return notes


def _names(value: str) -> tuple[str, ...]:
    return tuple(normalise(name.strip()) for name in value.split(",") if name.strip())


def _names_of(origin: Origin) -> set[str]:
    return {normalise(origin.distribution), normalise(origin.entry_point)}

"""What the registry holds: frozen values, so they can be shown, compared and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from fairvision.plugins._text import normalise
from fairvision.types import Descriptor, Method, Needs, Reference, Stage

D = TypeVar("D", bound=Descriptor)
Kind = Literal["method", "metric", "dataset", "report section"]
Phase = Literal["discover", "import", "api", "hooks", "collect"]
Status = Literal["loaded", "failed", "blocked"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin comes from, as its installed metadata says.

    Parameters
    ----------
    distribution, version : str
    entry_point : str
        The name of the entry point in the group ``fairvision``.
    module : str
        The module that the entry point names.
    license : str
        As the distribution states it; empty if it does not.
    """

    distribution: str
    version: str
    entry_point: str
    module: str
    license: str = ""

    @property
    def is_host(self) -> bool:
        """Whether this is fairvision's own plugin."""
        return normalise(self.distribution) == "fairvision"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """Why a plugin offers nothing, and what to do about it.

    Parameters
    ----------
    origin : Origin
    phase : {"discover", "import", "api", "hooks", "collect"}
        How far it came: its metadata was read, its module imported, its API version
        compared, its hooks validated, its hooks called and their answers checked.
    message, hint : str
        What happened and what to do; each one printable line.
    """

    origin: Origin
    phase: Phase
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.origin} ({self.origin.entry_point}), {self.phase}: {self.message}"


@dataclass(frozen=True, slots=True)
class PluginNote:
    """Something worth knowing that costs no plugin: it is slow, blocked, or not there.

    `origin` is None where the note is about no installed plugin.
    """

    origin: Origin | None
    message: str
    hint: str

    def __str__(self) -> str:
        where = f"{self.origin} ({self.origin.entry_point}): " if self.origin else ""
        return where + self.message


@dataclass(frozen=True)
class Registered(Generic[D]):
    """A descriptor, with the plugin that offered it."""

    descriptor: D
    origin: Origin
    kind: Kind

    @property
    def name(self) -> str:
        """The short name, which another distribution may offer too."""
        return self.descriptor.name

    @property
    def qualified_name(self) -> str:
        """``distribution:name``, which is always the only one of its kind."""
        return f"{self.origin.distribution}:{self.name}"

    @property
    def target(self) -> str:
        """``"package.module:Name"``, not yet imported."""
        return self.descriptor.target

    @property
    def summary(self) -> str:
        """One line; the title of a report section."""
        return str(getattr(self.descriptor, "summary", "") or getattr(self.descriptor, "title", ""))

    # Presets hold dicts, so a descriptor has no hash; its name and origin are enough for one.
    def __hash__(self) -> int:
        return hash((self.origin, self.kind, self.name))

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r} of {self.origin}: {self.summary}>"


@dataclass(frozen=True, repr=False)
class RegisteredMethod(Registered[Method]):
    """A method, with its stage (the hook that offered it) and the plugin that offered it."""

    stage: Stage

    __hash__ = Registered.__hash__

    @property
    def needs(self) -> Needs:
        """When it must see group labels."""
        return self.descriptor.needs

    @property
    def reference(self) -> Reference | None:
        """Where it was published."""
        return self.descriptor.reference

    @property
    def targets(self) -> tuple[str, ...]:
        """The classification targets it takes: "binary", "multiclass"."""
        return self.descriptor.targets

    @property
    def groups(self) -> tuple[str, ...]:
        """How many groups it takes: "binary", "multiple"."""
        return self.descriptor.groups

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Parameter sets by name."""
        return self.descriptor.presets

    def refusal(self, n_classes: int, n_groups: int) -> str:
        """Why it cannot take so many classes, or groups in a sensitive column; "" if it can."""
        for allowed, n, binary, more, noun in (
            (self.targets, n_classes, "binary", "multiclass", "targets"),
            (self.groups, n_groups, "binary", "multiple", "groups"),
        ):
            if (binary if n <= 2 else more) not in allowed:
                return f"takes {' or '.join(allowed)} {noun}; there are {n}"
        return ""

    def __repr__(self) -> str:
        return (
            f"<method {self.name!r} ({self.stage}-processing, groups needed: {self.needs}) "
            f"of {self.origin}: {self.summary}>"
        )


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point, and what became of it.

    Parameters
    ----------
    origin : Origin
    status : {"loaded", "failed", "blocked"}
    offers : tuple of Registered
        Empty unless it is loaded: a plugin counts whole or not at all.
    failure : PluginFailure or None
    notes : tuple of PluginNote
    """

    origin: Origin
    status: Status
    offers: tuple[Registered[Any], ...] = ()
    failure: PluginFailure | None = None
    notes: tuple[PluginNote, ...] = ()

"""First step: which plugins are installed. Reads metadata only and imports nothing of theirs."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from importlib.metadata import Distribution
from os import PathLike

from fairvision.plugins._text import clean, describe, normalise
from fairvision.plugins._values import Origin, PluginFailure

GROUP = "fairvision"


def discover(
    paths: Iterable[str | PathLike[str]] | None = None,
) -> tuple[list[Origin], list[PluginFailure]]:
    """Return the origin of every installed plugin, and the metadata that cannot be read.

    Parameters
    ----------
    paths : iterable of path-like, default=None
        Folders that hold ``*.dist-info``; None means ``sys.path``.

    Returns
    -------
    origins : list of Origin
        Sorted by distribution, then entry point, so the order never changes.
    failures : list of PluginFailure
    """
    by_distribution: dict[str, list[Origin]] = {}
    failures: list[PluginFailure] = []
    for distribution in _distributions(paths):
        try:
            origins = _origins(distribution)
        except Exception as error:
            failures.append(_unreadable(distribution, error))
            continue
        if origins:
            # The first on the path wins, as it does when Python imports.
            by_distribution.setdefault(normalise(origins[0].distribution), origins)
    origins = [origin for name in sorted(by_distribution) for origin in by_distribution[name]]
    return origins, failures


def _distributions(paths: Iterable[str | PathLike[str]] | None) -> Iterable[Distribution]:
    if paths is None:
        return importlib.metadata.distributions()
    return importlib.metadata.distributions(path=[str(path) for path in paths])


def _origins(distribution: Distribution) -> list[Origin]:
    # Hundreds of other distributions are installed: look before parsing.
    if GROUP not in (distribution.read_text("entry_points.txt") or ""):
        return []
    entries = sorted(distribution.entry_points.select(group=GROUP), key=lambda entry: entry.name)
    if not entries:
        return []
    name, version, license_ = _identity(distribution)
    return [
        Origin(name, version, clean(entry.name), clean(entry.value), license_) for entry in entries
    ]


def _identity(distribution: Distribution) -> tuple[str, str, str]:
    metadata = distribution.metadata  # parsed anew at each access
    missing = [key for key in ("Name", "Version") if key not in metadata]
    if missing:
        raise ValueError(f"its METADATA states no {' and no '.join(missing)}")
    stated = [metadata[key] for key in ("License-Expression", "License") if key in metadata]
    license_ = stated[0].strip().splitlines()[0] if stated and stated[0].strip() else ""
    return clean(metadata["Name"]), clean(metadata["Version"]), clean(license_, limit=60)


def _unreadable(distribution: Distribution, error: Exception) -> PluginFailure:
    try:
        name, version, _ = _identity(distribution)
    except Exception:
        name, version = "(unnamed)", "(no version)"
    return PluginFailure(
        Origin(name, version, "unknown", "unknown"),
        "discover",
        f"its metadata cannot be read: {describe(error)}",
        f"Reinstall it; its metadata lies in {clean(distribution.locate_file(''))}.",
    )

"""A folder of hand-written distributions, as an installer would leave them."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairvision.plugins import Plugin, Registry

HEADER = """
from fairvision.hookspecs import hookimpl
from fairvision.types import Dataset, Method, Metric, ReportSection
FAIRVISION_API = (1, 0)
"""


class Site:
    """Write plugins as real ``*.dist-info`` folders; load them here or in another process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        distribution: str,
        body: str = "",
        *,
        version: str = "1.0",
        entry: str = "main",
        header: str = HEADER,
        metadata: str | None = None,
        entry_points: str | None = None,
    ) -> str:
        """Write one distribution with one plugin module; return the module's name."""
        stem = distribution.replace("-", "_")
        module = f"{stem}_plugin"
        info = self.path / f"{stem}-{version}.dist-info"
        info.mkdir()
        stated = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(stated if metadata is None else metadata)
        named = f"[fairvision]\n{entry} = {module}\n"
        (info / "entry_points.txt").write_text(named if entry_points is None else entry_points)
        (self.path / f"{module}.py").write_text(header + body)
        importlib.invalidate_caches()
        return module

    def add_method(self, distribution: str, name: str, *, version: str = "1.0") -> None:
        """Write a plugin that offers one in-processing method."""
        hook = f"""
@hookimpl
def fairvision_inprocessing():
    yield Method({name!r}, "somewhere:Thing", "A thing.")
"""
        self.add(distribution, hook, version=version)

    def registry(self, *, strict: bool = False, **environ: str) -> Registry:
        """Load what is in this folder, and nothing else that is installed."""
        return Registry([self.path], environ=environ, strict=strict)

    def only(self, distribution: str) -> Plugin:
        """Load this folder and return the one plugin of a distribution."""
        (plugin,) = (p for p in self.registry().plugins if p.origin.distribution == distribution)
        return plugin

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``fairvision`` in a new process that sees this folder, too."""
        return self._call([script(), *arguments], environ)

    def python(self, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in a new process that sees this folder, too."""
        return self._call([sys.executable, "-c", code], environ)

    def _call(
        self, command: list[str], environ: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FAIRVISION_")}
        path = os.pathsep.join(filter(None, [str(self.path), kept.get("PYTHONPATH")]))
        environment = kept | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"} | environ
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, encoding="utf-8"
        )


def script() -> str:
    """Return the installed command, next to this interpreter."""
    found = shutil.which("fairvision", path=str(Path(sys.executable).parent))
    assert found, "fairvision is not installed beside this interpreter"
    return found


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]

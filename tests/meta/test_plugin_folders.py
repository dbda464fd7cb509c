"""Every plugin's folder has the one shape that CONTRIBUTING.md describes."""

from __future__ import annotations

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

HEAVY = ("numpy", "scipy", "pandas", "sklearn", "torch", "skorch")


def floors(pyproject: dict[str, Any]) -> dict[str, str]:
    requirements = map(Requirement, pyproject["project"]["dependencies"])
    return {requirement.name: str(requirement.specifier) for requirement in requirements}


def test_no_folder_is_overlooked(root: Path, plugins: list[Path]) -> None:
    folders = sorted(path for path in root.glob("plugins/*") if path.is_dir())
    assert folders == plugins
    assert plugins


def test_files(plugin: Path, package: str) -> None:
    source = f"src/{package}"
    wanted = {"README.md", "LICENSE", "tests"} | {
        f"{source}/{name}"
        for name in ("__init__.py", "plugin.py", "_estimator.py", "_algorithm.py", "py.typed")
    }
    assert {name for name in wanted if not (plugin / name).exists()} == set()
    assert [path.name for path in (plugin / "src").iterdir() if path.is_dir()] == [package]
    assert list((plugin / "tests").glob("test_*.py"))


def test_licence_is_the_hosts(root: Path, plugin: Path) -> None:
    assert (plugin / "LICENSE").read_text() == (root / "LICENSE").read_text()


def test_metadata(
    host: dict[str, Any], plugin: Path, pyproject: dict[str, Any], package: str
) -> None:
    project = pyproject["project"]
    assert project["name"] == plugin.name
    assert list(project["entry-points"]["fairvision"].values()) == [f"{package}.plugin"]
    for key in ("requires-python", "license", "license-files", "authors"):
        assert project[key] == host["project"][key], key
    assert pyproject["build-system"] == host["build-system"]
    assert pyproject["tool"]["uv"]["cache-keys"] == host["tool"]["uv"]["cache-keys"]


def test_floors_are_the_hosts(host: dict[str, Any], pyproject: dict[str, Any]) -> None:
    ours, theirs = floors(pyproject), floors(host)
    major, minor, *_ = host["project"]["version"].split(".")
    assert ours.pop("fairvision") == f">={major}.{minor}"
    assert {name: theirs.get(name, floor) for name, floor in ours.items()} == ours


def test_has_a_tox_environment(root: Path, plugin: Path) -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(root / "tox.ini")
    assert plugin.name.removeprefix("fairvision-") in tox["tox"]["env_list"].split()


def test_its_plugin_module_is_light(package: str) -> None:
    """Listing the methods imports every `plugin.py`, so none may import what takes seconds."""
    code = f"import sys, {package}.plugin; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

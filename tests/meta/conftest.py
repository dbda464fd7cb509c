"""The tree under test, for tests about the project itself."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `plugin` once for each plugin's folder."""
    if "plugin" in metafunc.fixturenames:
        metafunc.parametrize("plugin", PLUGINS, ids=[path.name for path in PLUGINS])


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def plugins() -> list[Path]:
    return PLUGINS


@pytest.fixture(scope="session")
def host() -> dict[str, Any]:
    """The host's pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture
def pyproject(plugin: Path) -> dict[str, Any]:
    """The plugin's pyproject.toml."""
    return tomllib.loads((plugin / "pyproject.toml").read_text())


@pytest.fixture
def package(plugin: Path) -> str:
    """The plugin's import name."""
    return plugin.name.replace("-", "_")

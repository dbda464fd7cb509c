"""Build every distribution, look inside, install the wheels in an empty environment, use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from fairvision.scaffold import new_plugin
from fairvision.types import Stage

# One worker makes the environment that its tests share.
pytestmark = [pytest.mark.package, pytest.mark.xdist_group("wheels")]

SMOKE = """
import numpy as np
import fairvision as fv

X, y = np.random.default_rng(0).random((40, 3, 8, 8), dtype=np.float32), np.arange(40) % 2
model = fv.make("erm", max_epochs=1, random_state=0).fit(X, y)
assert model.predict(X).shape == (40,)
"""


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environ}
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folders(root: Path, plugins: list[Path]) -> list[Path]:
    return [root, *plugins]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory, folders: list[Path]) -> Path:
    """A folder with each distribution's sdist, and the wheel made from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    for folder in folders:
        run("uv", "build", "--quiet", "--out-dir", out, folder, cwd=out)
    return out


@pytest.fixture(scope="module")
def host_wheel(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A folder with the host's wheel, for the worker that does not make all of `dist`."""
    out = tmp_path_factory.mktemp("host")
    run("uv", "build", "--quiet", "--wheel", "--out-dir", out, root, cwd=out)
    return out


@pytest.fixture(scope="module")
def environment(dist: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts' folder of an environment that holds the wheels and what they ask for."""
    venv = tmp_path_factory.mktemp("install") / "venv"
    run("uv", "venv", "--quiet", venv, cwd=dist)
    bin_dir = next(path for name in ("bin", "Scripts") if (path := venv / name).is_dir())
    pins = ("--constraints", root / "constraints.txt")
    run("uv", "pip", "install", "--python", venv, *pins, *dist.glob("*.whl"), cwd=dist)
    run(bin_dir / "python", root / "tests" / "link_bytecode.py", sys.prefix, cwd=dist)
    return bin_dir


def members(archive: Path) -> set[str]:
    if archive.suffix == ".whl":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_one_sdist_and_one_wheel_each(dist: Path, folders: list[Path]) -> None:
    assert len(list(dist.glob("*.whl"))) == len(list(dist.glob("*.tar.gz"))) == len(folders)


def test_wheels_hold_the_package_and_its_licence(dist: Path) -> None:
    for wheel in dist.glob("*.whl"):
        package, version, *_ = wheel.name.split("-")
        info = f"{package}-{version}.dist-info"
        inside = members(wheel)
        assert {f"{package}/__init__.py", f"{package}/py.typed"} <= inside
        assert {f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"} <= inside
        assert {name.split("/")[0] for name in inside} == {package, info}


def test_sdists_hold_what_a_build_needs(dist: Path) -> None:
    for sdist in dist.glob("*.tar.gz"):
        inside = members(sdist)
        assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= inside
        allowed = ("src", "pyproject.toml", "README.md", "LICENSE", "PKG-INFO", ".gitignore")
        assert {name.split("/")[0] for name in inside} <= set(allowed)


def test_every_plugin_loads_where_only_wheels_are(
    environment: Path, plugins: list[Path], tmp_path: Path
) -> None:
    listed = json.loads(run(environment / "fairvision", "plugins", "--json", cwd=tmp_path))
    states = {plugin["distribution"]: plugin["status"] for plugin in listed["plugins"]}
    assert states == dict.fromkeys(["fairvision", *(path.name for path in plugins)], "loaded")


def test_a_model_trains_where_only_wheels_are(environment: Path, tmp_path: Path) -> None:
    run(environment / "python", "-W", "error", "-c", SMOKE, cwd=tmp_path)


@pytest.mark.xdist_group("tox")  # the other worker meanwhile
def test_a_new_plugin_passes_its_own_tox_unedited(
    host_wheel: Path, root: Path, tmp_path: Path
) -> None:
    """In an environment of its own, which finds the host's wheel as an index would give it."""
    folder = new_plugin("trial-in", "in", tmp_path)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TOX")}
    environ |= {
        "UV_FIND_LINKS": str(host_wheel),
        "UV_CONSTRAINT": str(root / "constraints.txt"),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    command = ("uv", "tool", "run", "--from", "tox", "--with", "tox-uv", "tox", "run")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "fairvision-trial-in" in done.stdout  # listed as loaded
    assert " passed" in done.stdout
    assert "test_conformance[trial-in" not in done.stdout  # none failed, none is an error


@pytest.mark.parametrize("stage", ["pre", "post"])
def test_a_new_plugin_of_another_stage_passes_its_tests(
    environment: Path, stage: Stage, tmp_path: Path
) -> None:
    """Its tox.ini is the same as of the stage "in", so the wheels' environment serves."""
    folder = new_plugin(f"trial-{stage}", stage, tmp_path)
    install = ("uv", "pip", "install", "--python", environment.parent, "--group", "test", folder)
    run(*install, cwd=folder)
    assert f"fairvision-trial-{stage}" in run(
        environment / "fairvision", "plugins", "--strict", cwd=folder
    )
    assert " passed" in run(environment / "python", "-m", "pytest", cwd=folder)
    run("uv", "pip", "uninstall", "--python", environment.parent, folder.name, "pytest", cwd=folder)

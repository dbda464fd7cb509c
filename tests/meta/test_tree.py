"""Promises about the tree as a whole: versions, pins, tracked files, what CI calls."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

import fairvision

# Written so that these lines do not find themselves.
MACHINE = re.compile(
    r"""(?<![\w.}~-])/(?:home|root|Users|work|farm|tmp)/\w"""  # somebody's folder
    r"""|-(?:index-url|find-links)[ =]|"resolved"\s*:|/[s]imple/"""  # somebody's registry
)


def tracked(root: Path) -> list[Path]:
    if not (root / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files are tracked")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    return [root / name for name in names.stdout.decode().split("\0") if name]


def test_version_is_written_once_more_only(host: dict[str, Any]) -> None:
    assert fairvision.__version__ == host["project"]["version"]


def test_machine_pattern() -> None:
    assert MACHINE.search("root = " + "/home" + "/ada/data")
    assert MACHINE.search("--find" + "-links here")
    assert not MACHINE.search("https://example.org/home/ada")
    assert not MACHINE.search("${tmp}/work/file")


def test_no_file_names_a_machine_or_a_registry(root: Path) -> None:
    found = []
    for path in tracked(root):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (UnicodeDecodeError, FileNotFoundError):  # a picture; a file deleted but tracked
            continue
        hits = (number for number, line in enumerate(lines, 1) if MACHINE.search(line))
        found += [f"{path.relative_to(root)}:{number}" for number in hits]
    assert found == []


def test_constraints_are_versions_and_nothing_else(root: Path) -> None:
    lines = (root / "constraints.txt").read_text().splitlines()
    pin = re.compile(r"[a-z0-9-]+==[\w.]+( ; .+)?")
    assert [line for line in lines if not pin.fullmatch(line)] == []
    pins = {line.split(" ")[0] for line in lines}
    assert {"torch==2.14.1", "torchvision==0.29.1"} <= pins


def test_every_dependency_is_pinned(root: Path, plugins: list[Path]) -> None:
    lines = (root / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines} | {"fairvision"}
    for folder in (root, *plugins):
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        names = {re.split(r"[<>=!~\[ ]", line)[0] for line in project["dependencies"]}
        assert names <= pinned, f"{folder.name}: run `tox run -e constraints`"


def test_every_python_that_is_promised_is_tested(root: Path, host: dict[str, Any]) -> None:
    promised = re.findall(r"Python :: 3\.(\d+)", "\n".join(host["project"]["classifiers"]))
    environments = (root / "tox.ini").read_text().split("env_list =")[1].split("#")[0].split()
    assert {f"py3{minor}" for minor in promised} <= set(environments)


def test_ci_calls_the_test_command(root: Path) -> None:
    last = (root / ".ci/run").read_text().rstrip().splitlines()[-1]
    assert last.endswith(" tox run")


def test_the_readme_starts_with_the_two_commands(root: Path) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```", (root / "README.md").read_text(), re.M | re.S)
    assert "".join(blocks).splitlines()[:2] == [
        "python -m pip install tox tox-uv && tox run -e demo",
        "tox run",
    ]

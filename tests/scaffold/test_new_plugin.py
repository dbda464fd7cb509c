"""What `new-plugin` writes is whole; that it passes its own tests is tested on the wheel."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fairvision.exceptions import InputError
from fairvision.scaffold import new_plugin
from fairvision.types import STAGES, Stage

FILES = {
    ".github/workflows/ci.yml",
    ".gitignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "tox.ini",
    "src/fairvision_two_words/__init__.py",
    "src/fairvision_two_words/__init__.pyi",
    "src/fairvision_two_words/_algorithm.py",
    "src/fairvision_two_words/_estimator.py",
    "src/fairvision_two_words/plugin.py",
    "src/fairvision_two_words/py.typed",
    "tests/test_algorithm.py",
    "tests/test_conformance.py",
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_whole_distribution(tmp_path: Path, stage: Stage) -> None:
    root = new_plugin("two-words", stage, tmp_path)
    assert root == tmp_path / "fairvision-two-words"
    assert {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()} == FILES
    for path in root.rglob("*.py"):
        ast.parse(path.read_text())
    left = [p.name for p in root.rglob("*") if p.is_file() and re.search(r"\$[a-z]", p.read_text())]
    assert left == []
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["fairvision"] == {"two-words": "fairvision_two_words.plugin"}


@pytest.mark.parametrize("stage", STAGES)
def test_its_plugin_module_loads_and_is_light(site: Any, tmp_path: Path, stage: Stage) -> None:
    module = new_plugin("two-words", stage, tmp_path) / "src/fairvision_two_words/plugin.py"
    site.add("x-new", module.read_text(), header="")
    plugin = site.only("x-new")
    assert plugin.failure is None
    (method,) = plugin.offers
    assert (method.name, method.stage) == ("two-words", stage)
    assert "slow" not in str([note.message for note in plugin.notes])


@pytest.mark.parametrize("stage", STAGES)
def test_importing_its_package_imports_nothing_heavy(
    site: Any, tmp_path: Path, stage: Stage
) -> None:
    root = new_plugin("two-words", stage, tmp_path)
    done = site.python(
        f"import sys; sys.path.insert(0, {str(root / 'src')!r})\n"
        "import fairvision_two_words.plugin as plugin, fairvision_two_words\n"
        "print(sorted({'numpy', 'sklearn', 'torch'} & sys.modules.keys()))\n"
        "print(fairvision_two_words.__all__, [list(getattr(plugin, name)())[0].name "
        "for name in dir(plugin) if name.startswith('fairvision_')])"
    )
    heavy, names = done.stdout.splitlines()
    assert heavy == "[]", done.stderr
    assert "TwoWords" in names
    assert "'two-words'" in names


@pytest.mark.parametrize("name", ["erm", "fairvision-erm"])
def test_a_taken_name_is_said_before_files_are_written(
    site: Any, tmp_path: Path, name: str
) -> None:
    done = site.run("new-plugin", name, "--stage", "in", "--into", str(tmp_path / "new"))
    assert done.returncode != 0
    assert "'erm' is a method of fairvision" in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("disabled", ["", "fairvision-x"])
def test_the_place_of_an_installed_distribution_is_taken(
    site: Any, tmp_path: Path, disabled: str
) -> None:
    site.add_method("fairvision-x", "another-name")
    place = str(tmp_path / "new")
    done = site.run(
        "new-plugin", "x", "--stage", "in", "--into", place, FAIRVISION_DISABLE_PLUGINS=disabled
    )
    assert done.returncode == 2
    assert "fairvision-x 1.0 is installed here" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="fairvision-one cannot be written: Not a directory"):
        new_plugin("one", "in", tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written: File name too long"):
        new_plugin("a" * 300, "in", tmp_path)


@pytest.mark.parametrize("name", ["", "Two-Words", "2fast", "two_words", "../up", "a--b"])
def test_bad_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="the name is"):
        new_plugin(name, "in", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new_plugin("one", "pre", tmp_path)
    with pytest.raises(InputError, match="exists"):
        new_plugin("fairvision-one", "in", tmp_path)
    with pytest.raises(InputError, match="stage is 'mid'"):
        new_plugin("two", "mid", tmp_path)  # type: ignore[arg-type]

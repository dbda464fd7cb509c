"""What the command offers to authors of plugins: check, cite, new-plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fairvision.cli import main
from fairvision.cli.cite import bibtex, short
from fairvision.types import Reference

PAPER = Reference("On 50 % & {more}", ("Ada Núñez", "Bo Li", "Cy Oh"), 2020, "Venue", arxiv="1.2")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_check_prints_a_line_a_check() -> None:
    done = run("check", "erm", "--only", "has_features", "--only", "presets_can_be_made")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()[:2]] == ["ok", "ok"]
    assert "2 checks, 0 failed" in done.output


def test_check_says_why_and_fails(site: Any) -> None:
    site.add("x-one", BROKEN)
    done = site.run("check", "x-one", "--json")
    assert done.returncode == 1
    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert "nowhere:X cannot be imported" in found["constructor_only_stores"]["message"]
    status = {check: row["status"] for check, row in found.items()}
    assert status["loads"] == "passed"
    assert status["targets_can_be_imported"] == status["constructor_only_stores"] == "failed"


BROKEN = """
@hookimpl
def fairvision_inprocessing():
    yield Method("m", "nowhere:X", "A thing.")
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing-like-it",), "There is no method 'nothing-like-it'"),
        (("erm", "--only", "has_feature"), "Closest: 'has_features'"),
        ((), "Name a method or a plugin"),
    ],
)
def test_check_refuses_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = run("check", *arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_check_lists_what_must_hold() -> None:
    lines = run("check", "--list").output.splitlines()
    assert any(line.startswith("recovers_planted_bias") for line in lines)


def test_cite_prints_bibtex_once_for_a_shared_paper() -> None:
    done = run("cite", "threshold-optimizer", "fairvision:threshold-optimizer")
    assert done.output.count("@misc{hardt2016,") == 1
    assert "eprint = {1610.02413}," in done.output
    assert "erm has no paper" in run("cite", "erm").stderr


def test_bibtex_keeps_names_and_escapes_signs() -> None:
    entry = bibtex(PAPER)
    assert entry.startswith("@misc{nunez2020,\n")
    assert r"title = {{On 50 \% \& \{more\}}}," in entry
    assert "author = {Ada Núñez and Bo Li and Cy Oh}," in entry
    assert entry.count("{") == entry.count("}")


def test_short_citations() -> None:
    assert short(PAPER) == "Núñez et al. 2020"
    assert short(Reference("t", ("Ada Ray", "Bo Li"), 2021)) == "Ray and Li 2021"
    assert short(None) == "-"


def test_a_strangers_method_is_listed_with_licence_and_citation(site: Any) -> None:
    body = """
from fairvision.types import Reference

@hookimpl
def fairvision_inprocessing():
    yield Method("theirs", "p:C", "A thing.", Reference("A title", ("Ada Ray",), 2021, doi="1/2"))
"""
    metadata = "Metadata-Version: 2.4\nName: x-theirs\nVersion: 3.1\nLicense-Expression: MIT\n"
    site.add("x-theirs", body, version="3.1", metadata=metadata)
    (row,) = [r for r in json.loads(site.run("methods", "--json").stdout) if r["name"] == "theirs"]
    assert row["origin"]["license"] == "MIT"
    assert row["citation"].startswith("@misc{ray2021,")
    (line,) = [x for x in site.run("methods").stdout.splitlines() if x.startswith("theirs ")]
    assert "x-theirs 3.1" in line
    assert "MIT" in line
    assert "Ray 2021" in line


def test_new_plugin_says_what_it_wrote(tmp_path: Path) -> None:
    done = run("new-plugin", "mine", "--stage", "post", "--into", str(tmp_path))
    assert done.exit_code == 0
    assert str(tmp_path / "fairvision-mine" / "pyproject.toml") in done.output
    assert "fairvision check mine" in done.output
    again = run("new-plugin", "mine", "--stage", "post", "--into", str(tmp_path))
    assert again.exit_code == 2


def test_only_takes_the_checks_that_it_prints() -> None:
    done = run("check", "fairvision", "--only", "is_light_to_list")
    assert (done.exit_code, "is_light_to_list" in done.output) == (0, True)
    wrong = run("check", "erm", "--only", "is_light_to_list")  # of a plugin, not of a method
    assert wrong.exit_code == 2
    assert "no check 'is_light_to_list'" in wrong.output

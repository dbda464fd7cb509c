"""``fairvision report``, and the report of ``compare`` and ``audit``, from the shell."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fairvision.cli import COMMANDS, main

FACES = shlex.split(
    "compare --dataset faces --n-samples 300 --image-size 24 --target eyeglasses --sensitive hat "
    "--confounding 0.9 --n-train 80 --n-test 40 --methods erm --set erm.lr=0.002 "
    "--seeds 1 --epochs 1 --n-boot 20 --quiet"
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    result = run(*FACES, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert f"Report: {out / 'report.html'}" in result.output
    return out


def test_report_writes_the_same_page_again(finished: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run("report", str(finished), "--out", str(page))
    assert result.exit_code == 0
    assert page.read_bytes() == (finished / "report.html").read_bytes()
    assert f"Report: {page} (" in result.output
    as_json = json.loads(run("report", str(finished), "--json").output)
    held = (finished / "report.html").stat().st_size
    assert as_json == {"report": str(finished / "report.html"), "bytes": held}
    assert run("report", str(finished), "--quiet").output == ""


def test_a_page_without_pictures(finished: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run("report", str(finished), "--out", str(page), "--no-pictures").exit_code == 0
    assert "data:image/png" in (finished / "report.html").read_text()
    assert "data:image/png" not in page.read_text()


def test_redrawing_a_report_imports_no_torch(finished: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from fairvision.cli import main\n"
        f"main(['report', {str(finished)!r}, '--out', {str(tmp_path / 'page.html')!r}], "
        "standalone_mode=False)\n"
        "print(sorted({'torch', 'torchvision', 'skorch'} & sys.modules.keys()))"
    )
    # Plugins that import torch when they are listed are not ours to answer for.
    environ = {**os.environ, "FAIRVISION_DISABLE_PLUGINS": "all"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "page.html").exists()


def test_the_command_on_the_page_does_it_again(finished: Path, tmp_path: Path) -> None:
    text = (finished / "report.html").read_text()
    (command,) = re.findall(r"<pre>(.*?)</pre>", text, flags=re.S)
    words = shlex.split(unescape(command))
    assert words.pop(0) == "fairvision"
    again = tmp_path / "again"
    result = run(*words, "--quiet", "--out", str(again))
    assert result.exit_code == 0, result.output
    assert json.loads((again / "plan.json").read_text()) == json.loads(
        (finished / "plan.json").read_text()
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "comparison.json cannot be read: there is none; pass the --out"),
        ("{", "cannot be read: "),
        ('{"plan": 1}', "lacks data that a report needs"),
        ("[]", "cannot be read: "),
    ],
)
def test_a_folder_without_a_comparison(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "comparison.json").write_text(content)
    result = run("report", str(tmp_path))
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_pictures_that_are_gone_cost_only_themselves(finished: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "erm" / "seed-0" / "artifacts.json").write_text("[1")
    assert run("report", str(copy), "--quiet").exit_code == 0
    assert "No pictures of the fitted models are here" in (copy / "report.html").read_text()


def test_audit_with_a_report(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("y,p,g\n" + "1,1,a\n0,0,a\n1,0,b\n0,0,b\n" * 5)
    page = tmp_path / "audit.html"
    words = ["audit", str(table), "--y-true", "y", "--y-pred", "p", "--sensitive", "g"]
    words += ["--n-boot", "20", "--report", str(page), "--quiet"]
    result = run(*words, "--fail-if", "accuracy_gap>0.1")
    assert result.exit_code == 1
    assert result.output == "FAILED: accuracy_gap (value) over g is 0.5: accuracy_gap>0.1\n"
    text = unescape(page.read_text())
    assert "Audit of a.csv" in text
    assert "Failed: accuracy_gap (value) over g is 0.5" in text
    assert shlex.join(["fairvision", *words]) in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_and_exit_codes(name: str) -> None:
    shown = run(name, "--help").output
    assert re.search(rf"^\s+fairvision {name}", shown.split("Examples:")[1], flags=re.M)
    if name in ("audit", "check", "compare", "plugins", "report"):  # the others only print
        assert "Exit code 0" in " ".join(shown.split())


def test_completion(site: Any) -> None:
    done = site.run(
        _FAIRVISION_COMPLETE="bash_complete", COMP_WORDS="fairvision repo", COMP_CWORD="1"
    )
    assert done.stdout.splitlines() == ["plain,report"]
    assert "_FAIRVISION_COMPLETE=bash_source" in site.run("--help").stdout

"""The command: light, plain, and clean about errors."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import types
import warnings
from typing import Any

import click
import pytest
from click.testing import CliRunner

import fairvision as fv
from fairvision import cli
from fairvision.exceptions import FairvisionWarning, InputError

HEAVY = {"torch", "torchvision", "numpy", "scipy", "sklearn", "pandas", "skorch", "rich"}
IN_PROCESS = """
import sys
from fairvision.cli import main
main({arguments}, standalone_mode=False)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import fairvision",
        "import fairvision as fv; fv.methods()",
        IN_PROCESS.format(arguments=["plugins", "--json"]),
        IN_PROCESS.format(arguments=["methods", "--json"]),
        IN_PROCESS.format(arguments=["plugins"]),
        IN_PROCESS.format(arguments=["methods"]),
        IN_PROCESS.format(arguments=["--help"]),
    ],
)
def test_nothing_heavy_is_imported(site: Any, code: str) -> None:
    done = site.python(f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)")
    assert done.returncode == 0, done.stderr
    modules = set(done.stderr.split())
    assert "fairvision" in modules
    assert modules & HEAVY == set()


def test_methods_json_is_what_python_says(site: Any) -> None:
    done = site.run("methods", "--json")
    rows = json.loads(done.stdout)
    assert [row["qualified_name"] for row in rows] == [m.qualified_name for m in fv.methods()]
    (erm,) = (row for row in rows if row["qualified_name"] == "fairvision:erm")
    assert erm["origin"] == {
        "distribution": "fairvision",
        "version": fv.__version__,
        "entry_point": "builtin",
        "module": "fairvision.builtin",
        "license": "MIT",
    }
    needs = ("fit", "validation", "predict", "pixels", "place")
    assert erm["needs"] == dict.fromkeys(needs, False) | {"pixels_except": []}
    assert "quick" in erm["presets"]
    pixels = {row["name"] for row in rows if row["needs"]["pixels"]}
    assert pixels <= {"data-attribution", "db-vae", "latent-debiasing"}
    assert "PIXELS" in site.run("methods").stdout.splitlines()[0]


FILTERED = """
from fairvision.types import Needs
@hookimpl
def fairvision_preprocessing():
    yield Method("pre-never", "p:A", "")
@hookimpl
def fairvision_inprocessing():
    yield Method("in-fit", "p:B", "", needs=Needs(fit=True))
    yield Method("in-both", "p:C", "", needs=Needs(fit=True, predict=True))
    yield Method("in-never", "p:D", "", presets={"odd": {"loss": print}})
"""


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((), {"pre-never", "in-fit", "in-both", "in-never"}),
        (("--stage", "in", "--needs", "never"), {"in-never"}),
        (("--needs", "fit"), {"in-fit", "in-both"}),
        (("--needs", "predict"), {"in-both"}),
        (("--stage", "post"), set()),
    ],
)
def test_methods_filters(site: Any, arguments: tuple[str, ...], names: set[str]) -> None:
    site.add("x-filtered", FILTERED)
    rows = json.loads(site.run("methods", "--json", *arguments).stdout)
    found = {r["name"] for r in rows if r["origin"]["distribution"] == "x-filtered"}
    assert found == names
    lines = site.run("methods", *arguments).stdout.splitlines()[1:]
    assert {line.split()[0] for line in lines if "x-filtered" in line} == names


def test_duplicates_are_listed_by_their_full_names(site: Any) -> None:
    site.add_method("a-one", "twin")
    site.add_method("b-two", "twin")
    text = site.run("methods").stdout
    assert "\na-one:twin " in text
    assert "\nb-two:twin " in text


def test_failures_are_hinted_at_where_methods_are_listed(site: Any) -> None:
    site.add("a-one", "1 / 0")
    done = site.run("methods")
    assert done.returncode == 0
    assert "1 plugin(s) failed; `fairvision plugins` says why." in done.stderr
    text = site.run("plugins").stdout
    assert "a-one 1.0 (main), import: ZeroDivisionError" in text
    assert 'python -c "import a_one_plugin" shows the traceback' in text


def test_strict(site: Any) -> None:
    assert site.run("plugins", "--strict").returncode == 0
    site.add("a-one", "1 / 0")
    assert site.run("plugins").returncode == 0
    assert site.run("plugins", "--strict", "--json").returncode == 1


def test_a_terminal_without_the_letters_still_lists(site: Any) -> None:
    site.add("x-letters", "raise ValueError('漢')")
    done = site.run("plugins", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert r"ValueError: \u6f22" in done.stdout


def test_unknown_command_names_the_closest() -> None:
    result = CliRunner().invoke(cli.main, ["metods"])
    assert result.exit_code == 2
    assert "There is no command 'metods'. Closest: 'methods'." in result.output


def test_help_and_version() -> None:
    result = CliRunner().invoke(cli.main, ["--help"])
    for name, (_, line) in cli.COMMANDS.items():
        assert name in result.output
        assert line.split()[0] in result.output
    assert fv.__version__ in CliRunner().invoke(cli.main, ["--version"]).output


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_there(name: str) -> None:
    command = importlib.import_module(cli.COMMANDS[name][0]).command
    assert isinstance(command, click.Command)
    assert (command.help or "").strip()
    assert CliRunner().invoke(cli.main, [name, "--help"]).exit_code == 0


def test_no_command_is_left_out_of_the_table() -> None:
    public = {m.name for m in pkgutil.iter_modules(cli.__path__) if not m.name.startswith("_")}
    assert {module.rpartition(".")[2] for module, _ in cli.COMMANDS.values()} == public


@click.command()
def failing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn("90 rows\nare few.", FairvisionWarning, stacklevel=1)
    raise InputError("sensitive_features has 90 rows,\nX has 100.\x1b[31m")


@pytest.fixture
def _failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of the table that raises."""
    module = types.ModuleType("fairvision_failing_command")
    module.command = failing  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "failing", (module.__name__, "Fail."))


@pytest.mark.usefixtures("_failing")
def test_an_error_and_a_warning_are_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["failing"])
    assert caught.value.code == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning == "Warning: 90 rows are few."
    assert error == "Error: sensitive_features has 90 rows, X has 100."


@pytest.mark.usefixtures("_failing")
def test_debug_shows_the_traceback() -> None:
    result = CliRunner().invoke(cli.main, ["--debug", "failing"])
    assert isinstance(result.exception, InputError)

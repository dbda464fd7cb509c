"""All that a plugin can do wrong, as real distributions on disk: it is told, nobody else pays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fairvision.exceptions import PluginError
from fairvision.plugins import PluginFailure

METHOD = 'Method("m", "p:C", "Summary.")'


def hook(line: str, name: str = "fairvision_inprocessing") -> str:
    return f"\n@hookimpl\ndef {name}():\n    {line}\n"


# name: (module's body, phase, words of the message, words of the hint)
DRILLS = {
    "missing-module": (
        "import no_such_package_at_all",
        "import",
        "No module named 'no_such_package_at_all'",
        "provides 'no_such_package_at_all'",
    ),
    "raises-at-import": ("1 / 0", "import", "ZeroDivisionError", "shows the traceback"),
    "syntax-error": ("def (", "import", "SyntaxError", "shows the traceback"),
    "system-exit": ("raise SystemExit(3)", "import", "SystemExit: 3", "authors of"),
    "exits-by-sys": ("import sys; sys.exit()", "import", "SystemExit", "authors of"),
    "base-exception": (
        "class Odd(BaseException):\n    def __str__(self): raise ValueError\nraise Odd",
        "import",
        "Odd: (its message cannot be shown)",
        "authors of",
    ),
    "hook-raises": (hook("raise KeyError('x')"), "collect", "KeyError: 'x'", "authors of"),
    "hook-exits": (hook("raise SystemExit"), "collect", "SystemExit", "authors of"),
    "hook-half-way": (
        hook(f"yield {METHOD}; raise RuntimeError('second line')"),
        "collect",
        "RuntimeError: second line",
        "authors of",
    ),
    "misspelt": (
        hook(f"yield {METHOD}", "fairvision_inprocesing"),
        "hooks",
        "Closest: 'fairvision_inprocessing'",
        "The hooks are fairvision_preprocessing",
    ),
    "misspelt-unmarked": (
        "def fairvision_metrix(): return []",
        "hooks",
        "Closest: 'fairvision_metrics'",
        "The hooks are",
    ),
    "unmarked": (
        "def fairvision_metrics(): return []",
        "hooks",
        "fairvision_metrics is not marked",
        "hookimpl",
    ),
    "takes-arguments": (
        "@hookimpl\ndef fairvision_metrics(config): return []",
        "hooks",
        "config",
        "authors of",
    ),
    "returns-none": (hook("pass"), "collect", "returned None", "Yield descriptors"),
    "returns-one": (hook(f"return {METHOD}"), "collect", "returned one Method", "return a list"),
    "returns-text": (hook("return 'jlu'"), "collect", "yielded a str", "fairvision.types.Method"),
    "returns-dict": (hook("return [{}]"), "collect", "yielded a dict", "fairvision.types.Method"),
    "wrong-hook": (
        hook('yield Metric("gap", "p:f", "A gap.")'),
        "collect",
        "yielded a Metric; expected a Method",
        "from fairvision_metrics",
    ),
    "method-as-dataset": (
        hook(f"yield {METHOD}", "fairvision_datasets"),
        "collect",
        "yielded a Method; expected a Dataset",
        "fairvision_preprocessing or fairvision_inprocessing or fairvision_postprocessing",
    ),
    "bad-name": (hook('yield Method("Bad Name", "p:C", "")'), "collect", "'Bad Name'", ""),
    "bad-target": (hook('yield Method("m", "p.C", "")'), "collect", "'p.C'", ""),
    "bad-summary": (
        hook('yield Method("m", "p:C", None)'),
        "collect",
        "summary is a NoneType",
        "fairvision.types.Method",
    ),
    "bad-needs": (
        hook('yield Method("m", "p:C", "", needs="fit")'),
        "collect",
        "needs is a str",
        "fairvision.types.Method",
    ),
    "bad-claims": (
        hook('yield Method("m", "p:C", "", claims={"off": {}})'),
        "collect",
        "claims is a dict",
        "fairvision.types.Method",
    ),
    "same-name-twice": (
        hook(f"yield {METHOD}") + hook(f"yield {METHOD}", "fairvision_postprocessing"),
        "collect",
        "the method 'm' a second time",
        "a name of its own",
    ),
    "endless": (
        hook(f"import itertools; return itertools.repeat({METHOD})"),
        "collect",
        "a second time",
        "",
    ),
    "no-api": ("del FAIRVISION_API", "api", "no FAIRVISION_API", "Add FAIRVISION_API = (1, 0)"),
    "api-major": ("FAIRVISION_API = (2, 0)", "api", "(2, 0)", "or a fairvision with API (2, 0)"),
    "api-old": ("FAIRVISION_API = (0, 9)", "api", "(0, 9)", "made for API (1, 0)."),
    "api-minor": ("FAIRVISION_API = (1, 9)", "api", "(1, 9)", "fairvision with API (1, 9)"),
    "api-text": ("FAIRVISION_API = '1.0'", "api", "'1.0'", "Write FAIRVISION_API"),
    "asks-at-import": (
        "import fairvision; fairvision.methods()",
        "import",
        "Ask inside a method",
        "authors of",
    ),
    "asks-in-hook": (
        hook("import fairvision; return fairvision.methods()"),
        "collect",
        "Ask inside a method",
        "authors of",
    ),
}


@pytest.mark.parametrize("name", DRILLS)
def test_failure_is_a_value_and_costs_others_nothing(site: Any, name: str) -> None:
    body, phase, message, hint = DRILLS[name]
    site.add(f"x-{name}", body)
    site.add_method("a-before", "before")
    site.add_method("z-after", "after")
    registry = site.registry()
    (failure,) = registry.failures
    assert isinstance(failure, PluginFailure)
    assert (failure.origin.distribution, failure.phase) == (f"x-{name}", phase)
    assert message in failure.message
    assert hint in failure.hint
    assert [m.name for m in registry.methods()] == ["before", "after"]
    assert str(failure).isprintable()
    with pytest.raises(PluginError, match=f"x-{name} 1.0") as caught:
        site.registry(strict=True)
    assert caught.value.__cause__ is not None


def test_all_of_them_show_in_the_listing_at_once(site: Any) -> None:
    for name, (body, *_) in DRILLS.items():
        site.add(f"x-{name}", body)
    site.add_method("a-before", "before")
    done = site.run("plugins", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    plugins = {p["distribution"]: p for p in json.loads(done.stdout)["plugins"]}
    for name, (_, phase, message, hint) in DRILLS.items():
        failure = plugins[f"x-{name}"]["failure"]
        assert failure["phase"] == phase
        assert message in failure["message"]
        assert hint in failure["hint"]
    assert plugins["a-before"]["offers"] == {"methods": ["before"]}
    assert plugins["fairvision"]["status"] == "loaded"
    assert site.run("plugins", "--strict").returncode == 1


def test_control_c_is_the_users(site: Any) -> None:
    site.add("x-interrupted", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.registry()


def test_a_module_is_not_an_object(site: Any) -> None:
    site.add("x-object", entry_points="[fairvision]\nmain = x_object_plugin:Plugin\n")
    failure = site.only("x-object").failure
    assert "'x_object_plugin:Plugin', which is not a module" in failure.message


@pytest.mark.parametrize(
    ("metadata", "entry_points", "words"),
    [
        ("Metadata-Version: 2.1\nVersion: 1.0\n", None, "no Name"),
        ("Metadata-Version: 2.1\nName: x\n", None, "no Version"),
        ("", None, "no Name and no Version"),
        (None, "[fairvision]\nthis line has no equals sign\n", "cannot be read"),
    ],
)
def test_broken_metadata(
    site: Any, metadata: str | None, entry_points: str | None, words: str
) -> None:
    site.add("x-broken", metadata=metadata, entry_points=entry_points)
    site.add_method("z-after", "after")
    registry = site.registry()
    (failure,) = registry.failures
    assert failure.phase == "discover"
    assert words in failure.message
    assert str(site.path) in failure.hint
    assert [m.name for m in registry.methods()] == ["after"]
    with pytest.raises(PluginError, match="cannot be read"):
        site.registry(strict=True)


def test_a_strangers_broken_metadata_is_not_ours_to_tell(site: Any) -> None:
    site.add("x-stranger", entry_points="[console_scripts]\nthis line has no equals sign\n")
    assert site.registry().plugins == ()


def test_one_distribution_offers_a_name_once(site: Any) -> None:
    module = site.add("x-twice", hook(f"yield {METHOD}"))
    (site.path / "x_other_plugin.py").write_text((site.path / f"{module}.py").read_text())
    info = site.path / "x_twice-1.0.dist-info"
    (info / "entry_points.txt").write_text(f"[fairvision]\nb = x_other_plugin\na = {module}\n")
    first, second = site.registry().plugins
    assert (first.origin.entry_point, first.status) == ("a", "loaded")
    assert (second.origin.entry_point, second.status) == ("b", "failed")


@pytest.mark.parametrize(
    "body", ["import numpy" + hook(f"yield {METHOD}"), hook(f"import numpy; yield {METHOD}")]
)
def test_heavy_import_is_told_and_not_failed(site: Any, body: str) -> None:
    site.add("x-heavy", body)
    site.add_method("x-light", "light")
    plugins = {
        p["distribution"]: p for p in json.loads(site.run("plugins", "--json").stdout)["plugins"]
    }
    assert plugins["x-heavy"]["status"] == "loaded"
    assert plugins["x-heavy"]["offers"] == {"methods": ["m"]}
    assert plugins["x-heavy"]["notes"][0]["message"] == "slow: imports numpy at listing"
    assert plugins["x-light"]["notes"] == []
    assert "slow: imports numpy at listing" in site.run("plugins").stdout


def test_torch_at_listing_is_told_and_not_failed(site: Any) -> None:
    site.add("x-torch", "import torch" + hook(f"yield {METHOD}"))
    (plugin,) = (
        p
        for p in json.loads(site.run("plugins", "--json").stdout)["plugins"]
        if p["distribution"] == "x-torch"
    )
    assert plugin["status"] == "loaded"
    (note,) = plugin["notes"]
    assert "torch" in note["message"]
    assert "Import it late" in note["hint"]


def test_what_a_plugin_prints_does_not_spoil_the_json(site: Any) -> None:
    site.add("x-loud", "print('hello')" + hook(f"print('again'); yield {METHOD}"))
    done = site.run("methods", "--json")
    assert "m" in [method["name"] for method in json.loads(done.stdout)]
    assert "hello" in done.stderr


ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\nnext\r\tline"


@pytest.mark.parametrize("command", [("plugins",), ("methods",), ("plugins", "--json")])
def test_no_control_character_reaches_the_terminal(site: Any, command: tuple[str, ...]) -> None:
    site.add("x-escapes", hook(f'yield Method("m", "p:C", {ESCAPES!r})'), version="1.0")
    site.add("x-name", hook(f'yield Method({ESCAPES!r}, "p:C", "")'))
    site.add("x-raises", f"raise ValueError({ESCAPES!r})")
    odd = "Metadata-Version: 2.1\nName: evil\x1b[2J\x9b31mname\nVersion: 1\x1b[1m\n"
    site.add("x-metadata", hook(f"yield {METHOD}"), metadata=odd)
    done = site.run(*command)
    assert done.returncode == 0
    for text in (done.stdout, done.stderr):
        assert [line for line in text.split("\n") if not line.isprintable()] == []
    assert "evil" in done.stdout


def test_two_hundred_plugins_are_listed(site: Any) -> None:
    for number in range(200):
        site.add_method(f"many-{number:03}", f"method-{number}")
    assert len(site.registry().methods()) == 200

"""Order, names, blocking and the default registry."""

from __future__ import annotations

import json
import types
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

import fairvision as fv
from fairvision import plugins
from fairvision.exceptions import AmbiguousNameError, InputError, PluginError, UnknownNameError
from fairvision.hookspecs import hookimpl
from fairvision.plugins import RegisteredMethod, Registry
from fairvision.types import Method

RECORDING = """
import builtins
calls = builtins.__dict__.setdefault("_fairvision_calls", [])
calls.append(("import", __name__))
"""
EVERY_HOOK = "".join(
    f"""
@hookimpl
def fairvision_{hook}():
    calls.append((__name__, {hook!r}))
    return []
"""
    for hook in (  # not in the order of the specs
        "report_sections",
        "datasets",
        "metrics",
        "postprocessing",
        "inprocessing",
        "preprocessing",
    )
)


def test_hooks_are_called_one_plugin_at_a_time_in_a_fixed_order(site: Any) -> None:
    site.add("Zebra", RECORDING + EVERY_HOOK)
    site.add("ant", RECORDING + EVERY_HOOK)
    code = """
import builtins, json
from fairvision.plugins import Registry
Registry([PATH], environ={})
print(json.dumps(builtins._fairvision_calls))
""".replace("PATH", repr(str(site.path)))
    order = [
        "preprocessing",
        "inprocessing",
        "postprocessing",
        "metrics",
        "datasets",
        "report_sections",
    ]
    expected = []
    for module in ("ant_plugin", "Zebra_plugin"):
        expected += [["import", module], *([module, hook] for hook in order)]
    assert json.loads(site.python(code).stdout) == expected


def test_duplicates_stay_reachable_by_their_full_name(site: Any) -> None:
    site.add_method("b-two", "twin", version="2.5")
    site.add_method("a-one", "twin", version="1.1")
    registry = site.registry()
    assert [m.qualified_name for m in registry.methods()] == ["a-one:twin", "b-two:twin"]
    assert registry.duplicates("method") == {"twin"}
    assert registry.duplicates("metric") == frozenset()
    assert registry.find("method", "B_Two:twin").origin.version == "2.5"
    with pytest.raises(AmbiguousNameError) as caught:
        registry.find("method", "twin")
    message = str(caught.value)
    assert "a-one 1.1 and b-two 2.5" in message
    assert "'a-one:twin' or 'b-two:twin'" in message
    with pytest.raises(AmbiguousNameError):
        registry.make("twin")


def test_one_name_for_two_kinds_is_no_duplicate(site: Any) -> None:
    site.add_method("a-one", "faces")
    site.add(
        "b-two", '@hookimpl\ndef fairvision_datasets(): return [Dataset("faces", "p:f", "Faces.")]'
    )
    registry = site.registry()
    assert registry.find("method", "faces").origin.distribution == "a-one"
    assert registry.find("dataset", "faces").origin.distribution == "b-two"
    assert [d.name for d in registry.datasets()] == ["faces"]


def test_unknown_name(site: Any) -> None:
    site.add_method("a-one", "group-dro")
    site.add("b-two", "1 / 0")
    site.add_method("c-three", "blocked-one")
    registry = site.registry(FAIRVISION_DISABLE_PLUGINS="c-three")
    with pytest.raises(UnknownNameError) as caught:
        registry.find("method", "Groop-DRO")
    message = str(caught.value)
    for words in ("'Groop-DRO'", "'group-dro'", "`fairvision methods`", "failed: b-two", "c-three"):
        assert words in message
    with pytest.raises(UnknownNameError, match="Closest: 'a-one:group-dro'"):
        registry.find("method", "a-on:group-dro")
    with pytest.raises(UnknownNameError, match="`fairvision plugins`"):
        registry.find("dataset", "nothing-like-it")
    with pytest.raises(KeyError):
        registry.find("method", "")


def test_first_on_the_path_wins(site: Any, tmp_path: Path) -> None:
    site.add("a-one", version="1.0")
    (tmp_path / "other").mkdir()
    other = type(site)(tmp_path / "other")
    other.add("A.One", version="2.0")  # the same name to an installer
    for first, second, version in ((site, other, "1.0"), (other, site, "2.0")):
        (plugin,) = Registry([first.path, second.path], environ={}).plugins
        assert plugin.origin.version == version


@pytest.mark.parametrize(
    ("stated", "license_"),
    [
        ("License-Expression: MIT\nLicense: old\n", "MIT"),
        ("License: BSD\n  in many\n  lines\n", "BSD"),
        ("License: \n", ""),
        ("", ""),
    ],
)
def test_licence_is_as_stated(site: Any, stated: str, license_: str) -> None:
    site.add("a-one", metadata=f"Metadata-Version: 2.4\nName: a-one\nVersion: 1\n{stated}\n")
    assert site.only("a-one").origin.license == license_


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({}, ("loaded", "loaded", "loaded")),
        ({"FAIRVISION_DISABLE_PLUGINS": "a-one"}, ("blocked", "loaded", "loaded")),
        ({"FAIRVISION_DISABLE_PLUGINS": " A_One , ,second"}, ("blocked", "blocked", "loaded")),
        ({"FAIRVISION_DISABLE_PLUGINS": "all"}, ("blocked", "blocked", "loaded")),
        ({"FAIRVISION_DISABLE_PLUGINS": "all,fairvision"}, ("blocked", "blocked", "blocked")),
        ({"FAIRVISION_ALLOW_PLUGINS": "second"}, ("blocked", "loaded", "loaded")),
        ({"FAIRVISION_ALLOW_PLUGINS": ""}, ("loaded", "loaded", "loaded")),
        (
            {"FAIRVISION_ALLOW_PLUGINS": "a-one,b-two", "FAIRVISION_DISABLE_PLUGINS": "b-two"},
            ("loaded", "blocked", "loaded"),
        ),
    ],
)
def test_blocking(site: Any, environ: dict[str, str], status: tuple[str, ...]) -> None:
    site.add("a-one", entry="first")
    site.add("b-two", entry="second")
    site.add("fairvision", entry="builtin")
    registry = site.registry(**environ)
    assert tuple(plugin.status for plugin in registry.plugins) == status
    for plugin in registry.plugins:
        assert bool(plugin.notes) == (plugin.status == "blocked")


def test_a_blocked_plugin_is_not_imported(site: Any) -> None:
    site.add("a-one", "raise SystemExit")
    registry = site.registry(FAIRVISION_DISABLE_PLUGINS="a-one")
    assert registry.failures == ()
    assert "FAIRVISION_DISABLE_PLUGINS names it" in registry.notes[0].message


@pytest.mark.parametrize("variable", ["FAIRVISION_DISABLE_PLUGINS", "FAIRVISION_ALLOW_PLUGINS"])
def test_a_listed_name_that_nobody_has_is_told(site: Any, variable: str) -> None:
    site.add("a-one")
    registry = site.registry(**{variable: "a-one,a-onn"})
    (note,) = (note for note in registry.notes if note.origin is None)
    assert f"{variable} names 'a-onn'" in note.message
    assert "Closest: 'a-one'" in note.message
    assert "'a-onn'" in site.run("plugins", **{variable: "fairvision,a-one,a-onn"}).stdout


def test_methods_by_stage(site: Any) -> None:
    site.add(
        "a-one",
        """
@hookimpl
def fairvision_preprocessing(): return [Method("first", "p:A", "")]
@hookimpl
def fairvision_postprocessing(): return (Method("last", "p:B", ""),)
""",
    )
    registry = site.registry()
    assert [(m.name, m.stage) for m in plugins.methods(registry=registry)] == [
        ("first", "pre"),
        ("last", "post"),
    ]
    assert [m.name for m in plugins.methods("post", registry=registry)] == ["last"]
    assert plugins.methods("in", registry=registry) == ()
    with pytest.raises(InputError, match="'inn'; expected one of 'pre', 'in', 'post'"):
        plugins.methods("inn", registry=registry)  # type: ignore[arg-type]


def test_registered_method_is_frozen_hashable_and_says_where_it_is_from() -> None:
    (erm,) = (m for m in fv.methods() if m.qualified_name == "fairvision:erm")
    assert isinstance(erm, RegisteredMethod)
    assert erm.origin.module == "fairvision.builtin"
    assert erm.origin.entry_point == "builtin"
    assert erm.origin.version == fv.__version__
    assert str(erm.needs) == "never"
    assert {"quick", "paper"} <= erm.presets.keys()
    assert len({erm, erm}) == 1
    assert f"fairvision {fv.__version__}" in repr(erm)
    with pytest.raises(FrozenInstanceError):
        erm.stage = "pre"  # type: ignore[misc]


def test_the_hosts_own_come_through_the_same_door() -> None:
    assert {"erm"} <= {m.name for m in fv.methods("in")}
    assert {"faces", "folder"} <= {d.name for d in plugins.datasets()}
    without = Registry(environ={"FAIRVISION_DISABLE_PLUGINS": "builtin"})
    assert "erm" not in {m.name for m in without.methods()}


def test_the_default_registry_is_made_once_even_by_threads(site: Any) -> None:
    site.add("a-one", RECORDING + EVERY_HOOK)
    code = """
import builtins, threading
from fairvision.plugins import default_registry
assert not hasattr(builtins, "_fairvision_calls")
found = []
threads = [threading.Thread(target=lambda: found.append(default_registry())) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert all(r is found[0] for r in found) and len(found) == 8
print(len(builtins._fairvision_calls))
"""
    done = site.python(code)
    assert done.stdout == "7\n", done.stderr


def test_an_optional_hook_of_a_later_host_is_no_mistake(site: Any) -> None:
    site.add(
        "a-one",
        "@__import__('fairvision').hookspecs.hookimpl(optionalhook=True)\n"
        "def fairvision_later(): return []",
    )
    assert site.only("a-one").status == "loaded"


class Inline:
    """A plugin without a distribution, as a notebook holds one."""

    FAIRVISION_API: Any = (1, 0)
    names: tuple[str, ...] = ("tried-out",)

    @hookimpl
    def fairvision_inprocessing(self) -> list[Method]:
        return [Method(name, "fairvision.nn:TorchClassifier", "Tried out.") for name in self.names]


def test_register_adds_an_object_and_replaces_it(site: Any) -> None:
    site.add_method("a-one", "group-dro")
    registry = site.registry()
    added = registry.register(Inline(), "mine")
    assert (added.status, added.origin.distribution) == ("loaded", "mine")
    assert [m.qualified_name for m in registry.methods()] == ["a-one:group-dro", "mine:tried-out"]
    again = Inline()
    again.names = ("tried-again",)
    registry.register(again, "mine")  # the cell of a notebook, run a second time
    assert [m.name for m in registry.methods()] == ["group-dro", "tried-again"]


def test_register_takes_a_module(site: Any, tmp_path: Path) -> None:
    import importlib

    (site.path / "loose_plugin.py").write_text(
        "from fairvision.hookspecs import hookimpl\nfrom fairvision.types import Method\n"
        "FAIRVISION_API = (1, 0)\n"
        "@hookimpl\ndef fairvision_preprocessing(): return [Method('loose', 'p:C', '')]\n"
    )
    registry = site.registry()
    registry.register(importlib.import_module("loose_plugin"))
    (method,) = registry.methods("pre")
    assert method.qualified_name == "loose-plugin:loose"


@pytest.mark.parametrize(
    ("plugin", "message"),
    [("loose_plugin", "Pass the imported module"), (Inline, r"Pass an object of it: Inline\(\)")],
)
def test_register_says_what_it_takes(site: Any, plugin: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        site.registry().register(plugin)


def test_a_plugin_has_one_name(site: Any) -> None:
    registry, plugin = site.registry(), Inline()
    registry.register(plugin, "mine")
    with pytest.raises(InputError, match="is registered already, as 'mine'"):
        registry.register(plugin, "yours")
    assert registry.registered() == ((plugin, "mine"),)


def test_register_refuses_what_an_entry_point_would_not_load(site: Any) -> None:
    site.add_method("a-one", "group-dro")
    registry = site.registry()
    registry.register(Inline(), "mine")
    later = Inline()
    later.FAIRVISION_API = (2, 0)
    twice = Inline()
    twice.names = ("same", "same")
    misspelt = types.SimpleNamespace(
        FAIRVISION_API=(1, 0), fairvision_preprocesing=hookimpl(lambda: [])
    )
    for plugin, words in (
        (object(), "states no FAIRVISION_API"),
        (later, r"plugin API \(2, 0\)"),
        (twice, "a second time"),
        (misspelt, "Closest: 'fairvision_preprocessing'"),
    ):
        with pytest.raises(PluginError, match=words):
            registry.register(plugin, "mine")
    with pytest.raises(InputError, match="'a-one' is an installed distribution"):
        registry.register(Inline(), "a-one")
    # What was there before is there still, and nothing else.
    assert [m.qualified_name for m in registry.methods()] == ["a-one:group-dro", "mine:tried-out"]
    assert registry.register(Inline(), "mine").status == "loaded"

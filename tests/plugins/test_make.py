"""From a name to an unfitted object."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest

import fairvision as fv
from fairvision.exceptions import InputError, PluginError, UnknownNameError
from fairvision.plugins import Registry, resolve

HOOK = """
@hookimpl
def fairvision_inprocessing():
    yield Method("plain", "a_targets:Plain", "", presets=dict(quick=dict(epochs=1, width=2)))
    yield Method("own-preset", "a_targets:OwnPreset", "", presets=dict(quick=dict(preset="mine")))
    yield Method("open", "a_targets:Open", "", presets=dict(quick=dict(anything=1)))
    yield Method("bad-preset", "a_targets:Plain", "", presets=dict(quick=dict(epoch=1)))
    yield Method("no-class", "a_targets:NUMBER", "")
    yield Method("not-there", "a_targets:Plian", "")
    yield Method("no-module", "a_tragets:Plain", "")
    yield Method("needs-more", "a_needs:Thing", "")
    yield Method("exits", "a_exits:Thing", "")
    yield Method("mend", "a_targets:Mend", "")
"""
TARGETS = """
NUMBER = 3
class Plain:
    def __init__(self, epochs=10, width=20, name="x"):
        self.values = (epochs, width, name)
class OwnPreset:
    def __init__(self, preset="default"):
        self.preset = preset
class Open:
    def __init__(self, **kwargs):
        self.values = kwargs
class Mend:
    def __init__(self, estimator, *, strength=1.0):
        self.estimator = estimator
        self.strength = strength
"""


@pytest.fixture
def registry(site: Any) -> Registry:
    site.add("a-dist", HOOK, version="1.4")
    (site.path / "a_targets.py").write_text(TARGETS)
    (site.path / "a_needs.py").write_text("import no_such_package.sub\n")
    (site.path / "a_exits.py").write_text("raise SystemExit\n")
    made: Registry = site.registry()
    assert made.failures == ()
    return made


def test_preset_then_params(registry: Registry) -> None:
    assert registry.make("plain").values == (1, 2, "x")
    assert registry.make("plain", preset=None).values == (10, 20, "x")
    assert registry.make("plain", preset="quick").values == (1, 2, "x")
    assert registry.make("plain", "quick", width=5, name="y").values == (1, 5, "y")
    assert registry.make("a-dist:plain", epochs=3).values == (3, 2, "x")


def test_the_default_preset_is_that_of_compare() -> None:
    defaults = [inspect.signature(f).parameters["preset"].default for f in (fv.make, fv.compare)]
    assert defaults == ["quick", "quick"]


def test_nothing_is_imported_before(registry: Registry) -> None:
    assert "a_targets" not in sys.modules
    registry.make("plain")
    assert "a_targets" in sys.modules


def test_a_class_may_have_a_parameter_called_preset(registry: Registry) -> None:
    assert registry.make("own-preset", preset=None).preset == "default"
    assert registry.make("own-preset", preset="quick").preset == "mine"


def test_wrong_preset_lists_those_there_are(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match=r"no preset 'quik'. Its presets: 'quick'\."):
        registry.make("plain", preset="quik")
    with pytest.raises(UnknownNameError, match=r"Its presets: none\."):
        registry.make("mend", preset="paper")
    # "quick" is the default, so a method without it takes its own.
    assert registry.make("mend", preset="quick", estimator="e").strength == 1.0


def test_wrong_parameter_names_the_closest(registry: Registry) -> None:
    with pytest.raises(InputError) as caught:
        registry.make("plain", epoch=3)
    assert "'epoch'. Closest: 'epochs'. It takes: epochs, name, width." in str(caught.value)


def test_any_parameter_goes_to_a_class_that_takes_any(registry: Registry) -> None:
    assert registry.make("open", preset="quick", more=2).values == {"anything": 1, "more": 2}


def test_missing_parameter(registry: Registry) -> None:
    with pytest.raises(InputError, match=r"needs estimator: make\('mend', estimator=\.\.\.\)"):
        registry.make("mend", strength=2)
    assert registry.make("mend", estimator="e").estimator == "e"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("needs-more", "Install the package that provides 'no_such_package'"),
        ("no-module", "No module named 'a_tragets'"),
        ("not-there", "has no attribute 'Plian'"),
        ("exits", "SystemExit"),
        ("no-class", "is not a class"),
    ],
)
def test_a_target_that_cannot_be_had(registry: Registry, name: str, words: str) -> None:
    with pytest.raises(PluginError, match="of a-dist 1") as caught:
        registry.make(name)
    assert words in str(caught.value)


def test_a_presets_mistake_is_the_plugins(registry: Registry) -> None:
    with pytest.raises(PluginError, match="sets epoch, which a_targets:Plain does not take"):
        registry.make("bad-preset", preset="quick")
    assert registry.make("bad-preset", preset=None).values == (10, 20, "x")


def test_resolve() -> None:
    assert resolve("fairvision.types:Method.__name__") == "Method"
    with pytest.raises(PluginError, match=r"fairvision\.nothing:Here cannot be imported"):
        resolve("fairvision.nothing:Here")

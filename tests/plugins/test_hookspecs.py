"""Every hook is documented, and its example works when it is pasted into a plugin."""

from __future__ import annotations

import doctest
import inspect
from typing import Any

import pytest

from fairvision import hookspecs
from fairvision.plugins._check import HOOKS
from fairvision.plugins._text import clean, closest, describe

SPECS = {
    name: value
    for name, value in vars(hookspecs).items()
    if hasattr(value, f"{hookspecs.PROJECT}_spec")
}


def test_the_loader_knows_every_spec_in_order() -> None:
    assert list(HOOKS) == list(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_documented(name: str) -> None:
    text = inspect.getdoc(SPECS[name]) or ""
    assert text.splitlines()[0].endswith(".")
    assert "Examples\n--------" in text


@pytest.mark.parametrize("name", SPECS)
def test_example_is_a_working_plugin(site: Any, name: str) -> None:
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(SPECS[name]) or "")
    assert examples
    site.add("x-example", "".join(example.source for example in examples))
    plugin = site.only("x-example")
    assert plugin.failure is None
    (offered,) = plugin.offers
    hook = HOOKS[name]
    assert isinstance(offered.descriptor, hook.descriptor)
    assert offered.kind == hook.kind
    assert getattr(offered, "stage", None) == hook.stage
    assert offered.summary


def test_clean() -> None:
    assert clean("\x1b[1;31mred\x1b[0m\n\ttext\x07") == "red text"
    assert clean("a\u202eb\x9bc\ud800") == "a b c"
    assert clean("é ü 漢") == "é ü 漢"
    assert clean("x" * 500, limit=10) == "xxxxxxx..."


def test_describe() -> None:
    assert describe(ValueError("two\nlines")) == "ValueError: two lines"
    assert describe(SystemExit()) == "SystemExit"


def test_closest() -> None:
    assert closest("JLU", ["jlu", "erm"]) == " Closest: 'jlu'."
    assert closest("zzz", ["jlu", "erm"]) == ""

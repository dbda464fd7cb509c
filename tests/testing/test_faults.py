"""Each check finds the fault that it is for, and only what it is for is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import fairvision as fv
from fairvision.exceptions import InputError, UnknownNameError
from fairvision.plugins import Registry
from fairvision.testing import (
    CHECKS,
    ConformanceError,
    Result,
    _behaviour,
    check_method,
    check_plugin,
    method_checks,
    plugin_checks,
)
from fairvision.types import Claims

PLUGIN = """
from fairvision.hookspecs import hookimpl
from fairvision.types import Claims, Method, Needs

FAIRVISION_API = (1, 0)
FIT = Needs(fit=True)


@hookimpl
def fairvision_inprocessing():
    for name in ("WorksInInit", "HiddenKeywords", "PositionalGroups", "ChangesInput",
                 "ChangesParameters", "Unseeded", "MovesTheGlobals", "Remembers",
                 "ReadsGroupsInSecret", "Guesses"):
        yield Method(name.lower(), f"broken:{name}", "Broken.", claims=Claims(disabled_params={}))
    for name in ("IgnoresGroups", "FallsBackInSilence", "Peeks"):
        yield Method(name.lower(), f"broken:{name}", "Broken.", needs=FIT)
    yield Method("presetless", "broken:Guesses", "Broken.", presets={"quick": {"epochs": 3}})


@hookimpl
def fairvision_preprocessing():
    yield Method("losesgroups", "broken:LosesGroups", "Broken.", needs=FIT)


@hookimpl
def fairvision_postprocessing():
    yield Method("makesallequal", "broken:MakesAllEqual", "Broken.", needs=Needs(validation=True))
"""

FAULTS = {
    "worksininit": ("constructor_only_stores", "works with its parameters"),
    "hiddenkeywords": ("signatures_follow_the_stage", "has no parameter `sensitive_features`"),
    "positionalgroups": ("signatures_follow_the_stage", "put it behind a *"),
    "changesinput": ("input_is_left_alone", "changes X"),
    "changesparameters": ("parameters_are_left_alone", "verbose"),
    "unseeded": ("same_seed_same_result", "predict differently"),
    "movestheglobals": ("global_random_state_is_left_alone", "numpy's global"),
    "remembers": ("fit_forgets_an_earlier_fit", "second fit"),
    "readsgroupsinsecret": ("groups_are_read_when_declared_and_only_then", "says never"),
    "ignoresgroups": ("groups_are_read_when_declared_and_only_then", "change nothing"),
    "fallsbackinsilence": ("refuses_missing_groups", "was accepted"),
    "guesses": ("does_nothing_when_disabled", "from those of ERM training"),
    "presetless": ("presets_can_be_made", "epochs, which do not exist"),
    "losesgroups": ("resamples_whole_rows", "sensitive_features_ has 64 rows, y 62"),
    "makesallequal": (
        "leaves_nobody_worse_off",
        "a good net, the worst cell falls from 1.0",
    ),
}


@pytest.fixture
def broken(site: Any, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry of methods that are each broken in one way."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    site.add("x-broken", PLUGIN, header="")
    yield site.registry()
    sys.modules.pop("broken", None)


def run(registry: Registry, name: str, check: str) -> Result:
    (found,) = [c for c in method_checks(registry.find("method", name)) if c.name == check]
    return found.run()


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_found_and_named(broken: Registry, name: str) -> None:
    check, words = FAULTS[name]
    found = run(broken, name, check)
    assert found.status == "failed", found
    assert words in found.message
    assert found.message.isprintable()


@pytest.mark.parametrize(
    ("name", "check", "words"),
    [
        ("guesses", "recovers_planted_bias", "worst cell"),
        ("guesses", "no_great_harm_without_bias", "accuracy against ERM"),
        ("peeks", "no_gain_from_shuffled_groups", "still gains"),
    ],
)
@pytest.mark.slow
def test_bad_behaviour_is_found(
    broken: Registry, monkeypatch: pytest.MonkeyPatch, name: str, check: str, words: str
) -> None:
    """With fewer seeds and epochs: cheating shows at once."""
    monkeypatch.setattr(_behaviour, "_EPOCHS", 4)
    monkeypatch.setattr(_behaviour, "_GAIN_SEEDS", range(3))
    monkeypatch.setattr(_behaviour, "_plain_accuracies", _behaviour._plain_accuracies.__wrapped__)
    found = run(broken, name, check)
    assert found.status == "failed", found
    assert words in found.message


def test_plain_training_passes_what_the_broken_ones_fail() -> None:
    wanted = {check for check, _ in FAULTS.values()} - {
        "resamples_whole_rows",
        "leaves_nobody_worse_off",
    }
    results = [check.run() for check in method_checks("erm") if check.name in wanted]
    assert {result.status for result in results} == {"passed"}


# -- exceptions -------------------------------------------------------------------


def excepted(name: str, check: str, **exceptions: str) -> Result:
    claims = Claims(exceptions=exceptions)
    (found,) = [c for c in method_checks(name, claims=claims) if c.name == check]
    return found.run()


def test_an_exception_excuses_with_its_reason() -> None:
    found = excepted("exponentiated-gradient", "has_features", has_features="a mixture")
    assert (found.status, found.message) == ("excused", "a mixture (it has no transform)")


def test_an_exception_that_is_not_needed_fails() -> None:
    found = excepted("erm", "has_features", has_features="for no reason")
    assert found.status == "failed"
    assert "'for no reason' is not used" in found.message


def test_an_exception_names_a_check_and_a_reason() -> None:
    with pytest.raises(InputError, match=r"no check\. Closest: 'has_features'"):
        list(method_checks("erm", claims=Claims(exceptions={"has_feature": "x"})))
    with pytest.raises(InputError, match="without a reason"):
        list(method_checks("erm", claims=Claims(exceptions={"has_features": " "})))


def test_claiming_no_gain_is_not_asked_for_one() -> None:
    claims = Claims(no_gain_reason="it is the baseline")
    checks = {c.name: c for c in method_checks("erm", claims=claims)}
    found = checks["recovers_planted_bias"].run()
    assert (found.status, found.message) == (
        "not applicable",
        "it does not claim to: it is the baseline",
    )


# -- for people and tests ---------------------------------------------------------


def test_check_method_names_every_failure(broken: Registry, monkeypatch: Any) -> None:
    kept = dict.fromkeys(["constructor_only_stores", "presets_can_be_made"])
    for name in CHECKS.keys() - kept:
        monkeypatch.delitem(CHECKS, name)
    with pytest.raises(ConformanceError, match=r"(?s)1 check\(s\) failed:.*presetless, presets"):
        check_method(broken.find("method", "presetless"))
    assert [r.status for r in check_method("erm")] == ["passed", "passed"]
    with pytest.raises(InputError, match="device is 'cuda:99'"):
        check_method("erm", device="cuda:99")


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UnknownNameError, match="Closest: 'erm'"):
        list(method_checks("ermm"))
    with pytest.raises(UnknownNameError, match="no plugin 'fairvison'"):
        list(plugin_checks("fairvison"))


PLUGIN_FAULTS = {
    "loads": ("import nothing_like_it", "No module named"),
    "states_its_licence": ("", "no licence"),
    "is_described": ('    yield Method("m", "broken:Guesses", "x" * 101)', "100 characters"),
    "targets_can_be_imported": ('    yield Method("m", "nowhere:X", "A thing.")', "nowhere:X"),
    "sections_name_methods": (
        '    yield Method("m", "broken:Guesses", "A thing.")\n\n@hookimpl\n'
        "def fairvision_report_sections():\n"
        '    yield ReportSection("s", "broken:Guesses", "A title", methods=("n",))',
        "s is for n",
    ),
}


@pytest.mark.parametrize("check", PLUGIN_FAULTS)
def test_faults_of_a_plugin(site: Any, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    body, words = PLUGIN_FAULTS[check]
    hook = "@hookimpl\ndef fairvision_inprocessing():\n"
    plain = '    yield Method("m", "broken:Guesses", "A thing.")\n'
    site.add("x-one", body if body.startswith("import") else hook + (body or plain))
    with pytest.raises(ConformanceError, match="failed") as caught:
        check_plugin("x-one", methods=False, registry=site.registry())
    assert any(
        f"x-one, {check}: " in line and words in line for line in str(caught.value).split("\n")
    )


def test_a_package_that_imports_torch_is_heavy_whoever_imported_it_before(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    hook = "import torch\n@hookimpl\ndef fairvision_inprocessing():\n"
    site.add("x-two", hook + '    yield Method("m", "broken:Guesses", "A thing.")\n')
    with pytest.raises(ConformanceError, match=r"is_light_to_list: listing it imports .*torch"):
        check_plugin("x-two", methods=False, registry=site.registry())


def test_a_plugin_that_prints_is_no_heavy_one(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    hook = "print('hello')\n@hookimpl\ndef fairvision_inprocessing():\n"
    site.add("x-three", hook + '    yield Method("m", "broken:Guesses", "A thing.")\n')
    (light,) = (
        check
        for check in plugin_checks("x-three", methods=False, registry=site.registry())
        if check.name == "is_light_to_list"
    )
    assert light.run().status == "passed"


def test_every_check_says_what_must_hold() -> None:
    for name, check in CHECKS.items():
        first = str(check.__doc__).splitlines()[0]
        assert first.endswith("."), name


def test_importing_the_kit_imports_no_torch(site: Any) -> None:
    done = site.python("import fairvision.testing, sys; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False"
    assert "check_method" in dir(fv.testing)

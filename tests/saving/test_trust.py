"""What a forged file with a right checksum can name: nothing that is not on the list."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fairvision as fv
from fairvision.exceptions import SavingError
from fairvision.nn import TorchClassifier
from fairvision.saving._trust import Trust


@pytest.fixture
def path(model, tmp_path):
    return fv.save(model, tmp_path / "m")


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported or called."""
    mark = tmp_path / "mark"
    code = f"""
import pathlib
mark = pathlib.Path({str(mark)!r})
mark.touch()
class Thing:
    def __init__(self, *args, **kwargs): mark.touch()
    def get_params(self, deep=True): return {{}}
def run(*args): mark.touch()
"""
    (tmp_path / "canary.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield mark
    assert not mark.exists()
    assert "canary" not in sys.modules


NAMES = [
    "canary:Thing",
    "canary:run",
    "os:system",
    "builtins:eval",
    "subprocess:Popen",
    "torch:load",
    "torch.hub:load",
    "torchvision.datasets.utils:download_url",
    "torchvision.models:get_model",
    "torchvision.models._api:get_model",
    "fairvision:load",
    "fairvision.saving:load",
    "fairvision.nn:as_module",
    "fairvision_jlu.plugin:hookimpl",
    "sklearn.base:clone",
    "sklearn.utils:resample",
    "../canary:Thing",
    "/etc/passwd",
    "canary",
    "",
    ":",
]


def forge(part, value):
    def edit(manifest):
        node = manifest["estimator"]
        if part == "class":
            node.pop("method"), node.update({"class": value})
        elif part == "name":
            node["params"]["backbone"] = {"$": "name", "path": value}
        elif part == "data":
            node["state"]["groups_"] = {"$": "data", "class": value, "fields": {}}
        else:
            node["params"]["backbone"] = value

    return edit


@pytest.mark.parametrize("part", ["class", "name", "data", "string"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_on_the_list_is_refused(part, name, path, rewritten, canary):
    with pytest.raises(SavingError, match=r"forged.safetensors cannot be loaded"):
        fv.load(rewritten(path, forge(part, name)))


def test_a_module_of_a_plugin_is_not_imported_by_its_path(path, rewritten):
    with pytest.raises(SavingError, match=r"'fairvision.cli.__main__:main', which no installed"):
        fv.load(rewritten(path, forge("class", "fairvision.cli.__main__:main")))


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m.pop("estimator"),
        lambda m: m.update(estimator=None),
        lambda m: m.update(objects=None),
        lambda m: m["estimator"].pop("params"),
        lambda m: m["estimator"]["params"].update(unheard_of=1),
        lambda m: m["estimator"]["state"].update(input_shape_="https://example.org"),
        lambda m: m["estimator"]["state"].update(input_shape_={"$": "tuple", "items": ["a"]}),
        lambda m: m["estimator"]["state"].update(classes_={"$": "array", "name": "nothing"}),
        lambda m: m["estimator"]["state"]["module_"].popitem(),
        lambda m: m["estimator"]["state"].update(classes_={"$": "ref", "to": 7}),
        lambda m: m["estimator"]["state"].update(classes_={"$": "spell"}),
        lambda m: m["estimator"]["state"].update(classes_={"$": "object", "name": "x"}),
        lambda m: m["estimator"]["state"].update(classes_={"$": "name", "path": "torch:load"}),
        lambda m: m["estimator"]["params"].update(backbone="resnet18"),
        lambda m: m["estimator"]["params"].update(backbone="timm:hf-hub:someone/model"),
        lambda m: m["estimator"]["params"].update(backbone="timm:hf-hub:x", weights="DEFAULT"),
    ],
)  # fmt: skip
def test_a_manifest_that_makes_no_sense_is_an_error_of_ours(edit, path, rewritten):
    with pytest.raises(SavingError, match=r"forged.safetensors cannot be loaded"):
        fv.load(rewritten(path, lambda manifest: edit(manifest) and None))


def test_pretrained_weights_cannot_be_asked_for(path, rewritten):
    """Sockets are blocked here: a download would be an error of another kind."""

    def edit(manifest):
        manifest["estimator"]["params"].update(backbone="resnet18", weights="DEFAULT")
        manifest["estimator"]["state"]["input_shape_"] = {"$": "tuple", "items": [3, 32, 32]}

    with pytest.raises(SavingError, match=r"Missing key"):
        fv.load(rewritten(path, edit))


def test_a_plugin_that_is_not_installed_is_named(path, rewritten):
    def edit(manifest):
        manifest["estimator"] |= {
            "class": "fairvision_other:Thing",
            "method": "fairvision-other:thing",
            "distribution": "fairvision-other",
            "version": "1.2",
        }

    with pytest.raises(SavingError, match=r"of fairvision-other 1.2, .*Install fairvision-other"):
        fv.load(rewritten(path, edit))


def test_names_go_both_ways():
    import torch
    import torchvision.models as zoo

    trust = Trust()
    for thing in (TorchClassifier, torch.optim.SGD, zoo.resnet18):
        assert trust.find(trust.name(thing)) is thing
    for thing in (torch.load, zoo.get_model, Path, print, fv.load, 3, None):
        assert trust.name(thing) is None


PLUGIN = """
import dataclasses
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from fairvision.hookspecs import hookimpl
from fairvision.types import Method

__all__ = ["Constant", "Note"]

@dataclasses.dataclass(frozen=True)
class Note:
    text: str

@dataclasses.dataclass(frozen=True)
class Private:
    text: str

class Constant(ClassifierMixin, BaseEstimator):
    def __init__(self, label=None): self.label = label
    def fit(self, X, y, *, sensitive_features=None):
        self.note_, self.classes_ = Note("hello"), np.unique(y)
        return self
    def predict(self, X): return np.full(len(X), self.label)

class Steered(Constant):
    def fit(self, X, y, *, sensitive_features=None):
        super().fit(X, y)
        self.handle_ = open(__file__)
        return self
    def __fairvision_getstate__(self):
        self.handle_.close()
        return {"classes_": self.classes_}
    def __fairvision_setstate__(self, state):
        self.classes_, self.loaded_ = state["classes_"], True

class WithPrivate(Constant):
    def fit(self, X, y, *, sensitive_features=None):
        self.note_ = Private("hello")
        return self

@hookimpl
def fairvision_inprocessing():
    yield Method("private", f"{__name__}:WithPrivate", "A constant that keeps secrets.")
    yield Method("constant", f"{__name__}:Constant", "A constant.")
    yield Method("steered", f"{__name__}:Steered", "A constant with a file open.")
"""

USE = """
import numpy as np, fairvision as fv
X, y = np.zeros((4, 1, 4, 4)), [0, 0, 1, 1]
def again(name):
    model = fv.make(name, label=1).fit(X, y)
    loaded = fv.load(fv.save(model, {folder!r} + "/" + name))
    assert (loaded.predict(X) == model.predict(X)).all() and type(loaded) is type(model)
    return model, loaded
model, loaded = again("constant")
assert loaded.note_ == model.note_ and loaded.note_ is not model.note_
model, loaded = again("steered")
assert loaded.loaded_ and not hasattr(loaded, "handle_")
try:
    again("private")
except fv.exceptions.SavingError as error:
    assert "note_ of WithPrivate holds a constants_plugin.Private" in str(error), error
else:
    raise AssertionError("saved what the package does not list")
"""


@pytest.mark.slow
def test_classes_of_a_third_party_and_what_its_package_lists(site, tmp_path):
    site.add("constants", PLUGIN)
    done = site.python(USE.format(folder=str(tmp_path)))
    assert done.returncode == 0, done.stderr

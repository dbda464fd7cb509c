"""A comparison on the features of a net: computed once, and for those methods that can use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch
from torch import nn
from torchvision import models

import fairvision as fv
from fairvision.comparison import Comparison
from fairvision.comparison.command import command
from fairvision.comparison.features import Features, suited_to_form
from fairvision.comparison.methods import plan_methods
from fairvision.exceptions import InputError, RunError
from fairvision.hookspecs import hookimpl
from fairvision.nn import FeatureExtractor
from fairvision.types import Method, Needs

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]


def extractor(seed: int = 0, **params: Any) -> FeatureExtractor:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        )
    return FeatureExtractor(net, **params)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each pass through a net was for."""
    counted: list[int] = []
    transform = FeatureExtractor.transform

    def count(self: FeatureExtractor, X: Any) -> Any:
        counted.append(len(X))
        return transform(self, X)

    monkeypatch.setattr(FeatureExtractor, "transform", count)
    return counted


def test_features_are_computed_once_for_all_runs(
    compare: Compare, passes: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    methods = {"erm": "erm", "mine": LogisticRegression(), "weighed": "reweighing"}
    result = compare(methods, features=extractor(), n_jobs=1, progress=True)
    assert capsys.readouterr().err.startswith("computing the features of 500 images\n[1/")
    assert passes == [500]
    assert not result.failures
    assert set(result.table()["features s (once)"]) == {f"{result.features_seconds:.1f}"}
    assert any("given 32 features of a module, from images of 24x24" in n for n in result.notes())
    assert not any("enlarged" in note for note in result.notes())
    larger = compare("erm", features=extractor(image_size=32), seeds=1)
    assert larger.notes()[0].startswith("Images were read at 24x24 pixels and enlarged to 32x32")


def test_the_numbers_are_those_of_features_computed_by_hand(compare: Compare, faces: Bunch) -> None:
    by_hand = Bunch(**{**faces, "images": extractor().fit_transform(faces.images)})
    one = compare(features=extractor())
    assert {m.params.get("backbone", m.stage) for m in one.plan.methods} <= {"linear", "pre"}
    two = compare(dataset=by_hand, shared_params={"backbone": "linear"})
    for mine, theirs in zip(one.runs, two.runs, strict=True):
        np.testing.assert_array_equal(mine.y_score, theirs.y_score)


def test_workers_get_the_same(compare: Compare, tmp_path: Path, passes: list[int]) -> None:
    one = compare(features=extractor(cache=tmp_path))
    two = compare(features=extractor(cache=tmp_path), n_jobs=2)
    assert passes == [500, 500]  # none in a worker
    for mine, theirs in zip(one.runs, two.runs, strict=True):
        np.testing.assert_array_equal(mine.y_score, theirs.y_score)


def test_a_finished_folder_needs_no_features_and_keeps_their_time(
    compare: Compare, tmp_path: Path, passes: list[int]
) -> None:
    first = compare(features=extractor(), out=tmp_path / "out", report=True)
    again = compare(features=extractor(), out=tmp_path / "out", report=True)
    assert passes == [500]
    assert again.reused == 2
    assert again.features_seconds == first.features_seconds
    with pytest.raises(RunError, match="features changed"):
        compare(features=extractor(seed=1), out=tmp_path / "out", report=True)
    with pytest.raises(RunError, match="features changed"):
        compare(out=tmp_path / "out", report=True)
    assert "data:image/" in (tmp_path / "out/report.html").read_text()  # the pictures themselves


def test_maps_of_a_layer(compare: Compare) -> None:
    result = compare(features=extractor(layer="1"))
    assert not result.failures
    assert any("8x10x10 features of a module, layer 1" in note for note in result.notes())


@pytest.fixture
def needy(fresh_registry: None) -> None:
    """A method that needs pixels."""

    class Plugin:
        FAIRVISION_API = (1, 0)

        @hookimpl
        def fairvision_inprocessing(self) -> Any:
            target = "fairvision.nn:TorchClassifier"
            yield Method("needy", target, "Training on pixels.", needs=Needs(pixels=True))
            needs = Needs(pixels=True, pixels_except=("on-features",))
            presets = {"on-features": {"backbone": "linear"}}
            yield Method("either", target, "Pixels or not.", needs=needs, presets=presets)

    fv.register(Plugin())


@pytest.mark.usefixtures("needy")
def test_a_method_that_needs_pixels_is_refused_before_anything_runs(
    compare: Compare, faces: Bunch, passes: list[int]
) -> None:
    with pytest.raises(InputError, match=r"needy needs pixels.*Leave out the method"):
        compare(["erm", "needy"], features=extractor())
    table = np.asarray(faces.images).reshape(500, -1)
    with pytest.raises(InputError, match="needy needs pixels"):
        compare(["erm", "needy"], dataset=Bunch(**{**faces, "images": table}))
    assert passes == []


@pytest.mark.usefixtures("needy")
def test_it_is_left_out_where_all_are_asked_for() -> None:
    planned = plan_methods(["erm", "needy"], preset=None)
    left, notes = suited_to_form(planned, features=True, every=True)
    assert [method.label for method in left] == ["erm"]
    assert notes == ["Left out, since only images will do for it: needy."]


@pytest.mark.usefixtures("needy")
def test_a_preset_that_takes_features(compare: Compare, passes: list[int]) -> None:
    for preset, given, message in (
        (None, extractor(), "either needs pixels.*either takes features with preset='on-features'"),
        ("on-features", None, "either needs features.*FeatureExtractor"),
    ):
        with pytest.raises(InputError, match=message):
            compare(["erm", "either"], preset=preset, features=given)
    assert passes == []
    result = compare(["either"], preset="on-features", features=extractor(), n_jobs=1)
    assert not result.failures
    planned = plan_methods(["erm", "either"], preset="on-features")
    left, notes = suited_to_form(planned, features=False, every=True)
    assert [method.label for method in left] == ["erm"]
    assert notes == ["Left out, since only features will do for it: either."]


def test_parameters_for_every_method_that_has_them(compare: Compare) -> None:
    result = compare(
        {"erm": "erm", "own": ("erm", {"lr": 0.5}), "weighed": "reweighing"},
        shared_params={"backbone": "mlp", "lr": 0.01},
    )
    params = {m.label: dict((m.model or m).params) for m in result.plan.methods}
    shared = {"backbone": "mlp", "lr": 0.01}
    assert params == {"erm": shared, "own": {**shared, "lr": 0.5}, "weighed": shared}
    with pytest.raises(InputError, match=r"\['bakbone'\], which none of the methods has"):
        compare(shared_params={"bakbone": "mlp"})


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (LogisticRegression(), "features is LogisticRegression.*FeatureExtractor"),
        (FeatureExtractor, "features is <class"),
        (extractor(layer="9"), "no layer '9'"),
    ],
)
def test_what_computes_no_features(compare: Compare, features: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(features=features)


def test_of_features_none_are_computed(compare: Compare, faces: Bunch) -> None:
    table = Bunch(**{**faces, "images": np.zeros((500, 3))})
    with pytest.raises(InputError, match=r"hold features of shape \(500, 3\)"):
        compare(dataset=table, features=extractor())


def test_the_command_that_does_it_again(
    compare: Compare, faces_params: dict[str, Any], tmp_path: Path
) -> None:
    weights = str(tmp_path / "net.pth")
    torch.save(models.squeezenet1_1().state_dict(), weights)
    given = {"weights": weights, "layer": "features.2", "image_size": 32, "cache": str(tmp_path)}
    net = FeatureExtractor("squeezenet1_1", **given)
    methods = ["erm"]
    result = compare(methods, dataset="faces", dataset_params=faces_params, features=net)
    words = command(result.plan.to_dict())
    assert (
        f"--features --backbone squeezenet1_1 --weights {weights} --layer features.2 "
        f"--features-size 32 --features-cache {tmp_path}" in words
    )
    shared = {"backbone": "mlp"}
    result = compare(
        methods, dataset="faces", dataset_params=faces_params, shared_params=shared, max_epochs=0
    )
    words = command(result.plan.to_dict())
    assert "--backbone mlp" in words
    assert "--set" not in words
    assert "--set" not in command(
        compare(methods, dataset="faces", dataset_params=faces_params, features=net).plan.to_dict()
    )
    shared = {"lr": 0.1, "backbone": "mlp"}
    result = compare(methods, features=extractor(), shared_params=shared, max_epochs=0)
    assert result.plan.methods[0].params["backbone"] == "mlp"
    python = command(result.plan.to_dict())
    assert "shared_params={'lr': 0.1, 'backbone': 'mlp'}" in python
    assert "features=FeatureExtractor(backbone='a module')" in python


@pytest.mark.filterwarnings("ignore:.*has random weights")
def test_a_choice_made_on_a_gpu_is_read_without_one(compare: Compare, passes: list[int]) -> None:
    asked = {"validation_fraction": 0.2, "keep_models": True, "seeds": 1}
    squeezenet = FeatureExtractor("squeezenet1_1", image_size=32)
    chosen = compare("erm", features=squeezenet, **asked)
    plan = replace(chosen.plan, device=f"cuda:{torch.cuda.device_count()}")
    model = replace(chosen, plan=plan, extractor=None).choose().model()
    assert model.extractor.device == ("cuda" if torch.cuda.is_available() else "cpu")


def test_wrong_weights_are_refused_before_the_first_run(compare: Compare, tmp_path: Path) -> None:
    net = {"backbone": "squeezenet1_1", "weights": str(tmp_path / "net.pth")}
    torch.save(models.alexnet(num_classes=2).state_dict(), tmp_path / "net.pth")
    given = ({"erm": net}, {"mine": fv.nn.TorchClassifier(**net)}, {"reweighing": net})
    for params in given:
        (label, value), *_ = params.items()
        methods = {label: value if label == "mine" else (label, value)}
        if label == "reweighing":  # its own model has the net
            methods = {label: label}
        shared = value if label == "reweighing" else None
        with pytest.raises(InputError, match=r"net\.pth"):
            compare(methods, shared_params=shared)


def test_images_among_the_parameters_of_fit_become_features(faces: Bunch) -> None:
    given = {"spurious_data": (faces.images[:7], faces.target[:7]), "held_out": np.arange(500) < 9}
    data = Features(extractor(), faces).extract(Bunch(**faces, fit_params=given))
    images, labels = data.fit_params["spurious_data"]
    np.testing.assert_array_equal(images, np.asarray(data.images)[:7])
    assert labels is given["spurious_data"][1]
    assert data.fit_params["held_out"] is given["held_out"]

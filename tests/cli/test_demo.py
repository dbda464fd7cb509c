"""`fairvision demo`: which methods are trained, and what is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fairvision as fv
from fairvision.cli import demo


def test_a_method_is_trained_where_the_data_and_its_promises_allow_it() -> None:
    on_hats, reasons = demo._methods(demo._faces("eyeglasses", "hat"), "hat", has_pixels=True)
    on_skin, left_out = demo._methods(
        demo._faces("smiling", "skin_group"), "skin_group", has_pixels=True
    )
    assert "data-attribution" in on_hats
    assert "there the target shows, too" in left_out["data-attribution"]
    assert {"reweighing", "jlu", "last-layer-retraining"} <= {*on_hats} & {*on_skin}
    for name, reason in {**reasons, **left_out}.items():
        assert reason, name
    on_features, reasons = demo._methods(demo._faces("eyeglasses", "hat"), "hat", has_pixels=False)
    assert "data-attribution" not in on_features
    assert "needs images" in reasons["data-attribution"]


def test_methods_left_out_for_one_reason_stand_together() -> None:
    left_out = {1: {"a": "too slow", "b": "no place", "c": "too slow"}, 2: {"a": "too slow"}}
    assert demo._by_reason(left_out) == [("a, c (task 1)", "too slow"), ("b (task 1)", "no place")]


@pytest.mark.slow
def test_it_ends_with_models_that_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_EPOCHS", 1)
    monkeypatch.setattr(demo, "_TRAIN", 400)
    monkeypatch.delenv("FAIRVISION_WEIGHTS", raising=False)
    only = (["erm", "reweighing"], {"jlu": "it is left out of this test"})
    monkeypatch.setattr(demo, "_methods", lambda *_, **__: (only[0][1:], only[1]))
    result = CliRunner().invoke(demo.command, ["--out", str(tmp_path), "--jobs", "1", "--quiet"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line for line in lines if "left out of this" in line] == [
        "jlu: it is left out of this test"
    ]
    assert all(len(line) <= 100 for line in lines if "report.html" not in line)
    assert "fairvision predict model.fv" in result.output
    for folder in ("smiling-given-skin_group", "eyeglasses-given-hat"):
        assert (tmp_path / folder / "report.html").stat().st_size > 10_000
        model = fv.load(tmp_path / folder / "model.fv")
        faces = fv.datasets.load("faces", n_samples=20, image_size=32)
        assert len(np.asarray(model.predict(faces.images))) == 20

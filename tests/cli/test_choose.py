"""``fairvision choose``, and ``compare --choose``, from the shell."""

from __future__ import annotations

import json
import shlex
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import fairvision as fv
from fairvision.cli import main

# A choice that is trained again must predict what its run did.
pytestmark = pytest.mark.cpu

FACES = shlex.split(
    "compare --dataset faces --n-samples 400 --image-size 24 --target eyeglasses --sensitive hat "
    "--methods erm,reweighing --seeds 1 --epochs 1 --n-boot 20 --quiet"
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def line(result: Result) -> str:
    """Its error, on one line however wide the terminal is."""
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    more = ("--out", str(folder / "out"), "--choose", str(folder / "model.fv"))
    result = run(*FACES, "--validation-fraction", "0.3", *more)
    assert result.exit_code == 0, result.output
    assert f"Model: {folder / 'model.fv'}" in result.output
    return folder


def test_the_choice_is_printed_as_a_sentence_and_as_json(finished: Path) -> None:
    found = json.loads(run("choose", str(finished / "out"), "--json").output)
    assert found["method"] in ("erm", "reweighing")
    assert found["model"] is None
    assert {row["method"] for row in found["table"]} == {"erm", "reweighing"}
    assert found["sentence"] in line(run("choose", str(finished / "out")))
    assert found["sentence"] in unescape((finished / "out" / "report.html").read_text())


def test_the_model_predicts_from_picture_files(finished: Path, tmp_path: Path) -> None:
    from PIL import Image

    again = tmp_path / "again.fv"
    result = run("choose", str(finished / "out"), "--out", str(again))
    assert result.exit_code == 0, result.output
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    scores = [
        fv.load(path).predict_proba([tmp_path / "one.png"])
        for path in (again, finished / "model.fv")
    ]
    np.testing.assert_array_equal(*scores)


def test_a_file_that_exists_stays(finished: Path) -> None:
    model = finished / "model.fv"
    before = model.read_bytes()
    for arguments in (("choose", str(finished / "out"), "--out"), (*FACES, "--choose")):
        result = run(*arguments, str(model))
        assert result.exit_code == 2
        assert "exists" in line(result)
        assert "ther name" in line(result)
    assert model.read_bytes() == before


def test_a_finished_comparison_is_said_again(finished: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.fv"
    model.write_bytes(b"an older model")
    more = ("--validation-fraction", "0.3", "--out", str(finished / "out"), "--choose", str(model))
    again = run(*FACES, *more, "--overwrite")
    assert again.exit_code == 0, again.output
    assert "runs were already done" in again.output
    assert model.read_bytes() == (finished / "model.fv").read_bytes()
    model.write_bytes(b"an older model")
    assert run("choose", str(finished / "out"), "--out", str(model), "--overwrite").exit_code == 0
    assert model.read_bytes() == (finished / "model.fv").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--at-least", "accuracy>1"), "no method meets accuracy>1 on the validation rows"),
        (("--at-least", "accuracy"), "write a metric and a bound"),
        (("--at-least", "accuracy>1.2.3"), "write a metric and a bound"),
        (("--out", "none/never.fv"), "there is no folder none"),
        (("--by", "acuracy"), "unknown metric 'acuracy'"),
        (("--seed", "5", "--out", "never.fv"), "no finished run of seed 5"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(
    finished: Path, options: tuple[str, ...], words: str
) -> None:
    result = run("choose", str(finished / "out"), *options)
    assert result.exit_code == 2
    assert words in line(result)
    assert not Path("never.fv").exists()


def test_a_folder_without_validation_rows_says_what_to_do(finished: Path, tmp_path: Path) -> None:
    result = run("choose", str(tmp_path))
    assert result.exit_code == 2
    assert "fairvision compare" in line(result)
    old = tmp_path / "old"
    old.mkdir()
    (old / "comparison.json").write_text((finished / "out/comparison.json").read_text())
    result = run("choose", str(old))
    assert result.exit_code == 2
    assert "--validation-fraction" in line(result)

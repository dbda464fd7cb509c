"""``fairvision fit`` and ``fairvision predict``: from pictures to a model to predictions."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sklearn.base import BaseEstimator, clone

import fairvision as fv
from fairvision.base import row_draws
from fairvision.cli import main
from fairvision.cli._predictions import read_table_file
from fairvision.datasets import ImageFiles, LabelTable
from fairvision.models import Picture, PredictionFile, predict_pictures, unlabelled_pictures
from fairvision.nn import TorchClassifier

pytestmark = pytest.mark.cpu

FIT = ["--target", "kind", "--sensitive", "coat", "--image-size", "12", "--epochs", "1"]


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def refusal(result: Result) -> str:
    """The one line of an error of the input."""
    assert result.exit_code == 2, (result.output, result.exception)
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "model.fv"
    data = ["--dataset", "folder", "--root", folder, "--labels", "labels.csv"]
    result = run("fit", "erm", *data, *FIT, "--set", "erm.backbone=mlp", "--quiet", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.output == ""
    return out


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


# -- fit ----------------------------------------------------------------------------


def test_fit_says_what_validation_rows_show(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.fv"
    data = ["--dataset", "folder", "--root", folder, "--labels", "labels.csv", *FIT]
    words = ["--pre", "reweighing", "--model", "erm", "--n-boot", "20", "--out", out]
    result = run("fit", *data, *words)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("reweighing + erm: trained on 32 rows")
    assert "equalized_odds_difference" in result.stdout
    assert " to " in result.stdout
    assert "exists" in refusal(run("fit", *data, "--out", out))
    assert "no folder" in refusal(run("fit", *data, "--out", tmp_path / "none" / "x.fv"))


@pytest.mark.slow
def test_fit_writes_the_same_model_as_onnx(folder: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    out, onnx = tmp_path / "model.fv", tmp_path / "model.onnx"
    data = ["--dataset", "folder", "--root", folder, "--labels", "labels.csv", *FIT]
    result = run("fit", *data, "--out", out, "--onnx", onnx, "--json", "--quiet")
    assert json.loads(result.stdout)["n_validation"] == 8
    model, pictures = fv.load(out), sorted(map(str, folder.glob("*/*.png")))
    images = np.asarray(ImageFiles(pictures, **model.settings)).astype(np.float32) / 255
    session = runtime.InferenceSession(onnx)
    probabilities, _ = session.run(None, {"images": images})
    np.testing.assert_allclose(probabilities, model.predict_proba(pictures), atol=1e-5)


def test_fit_that_is_stopped_writes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TorchClassifier, "fit", stop)
    data = ["--dataset", "folder", "--root", folder, "--labels", "labels.csv", *FIT]
    result = run("fit", *data, "--out", tmp_path / "model.fv")
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []


# -- predict ------------------------------------------------------------------------


def test_files_folders_and_a_table(folder: Path, model: Path, tmp_path: Path) -> None:
    loaded = fv.load(model)
    paths = sorted(map(str, folder.glob("*/*.png")))
    expected = loaded.predict_proba(paths)
    result = run("predict", model, folder, "--batch-size", "7")
    (tmp_path / "printed.csv").write_text(result.stdout)
    printed = table(tmp_path / "printed.csv")
    assert list(printed) == ["path", "class", "probability_cat", "probability_dog", "model"]
    assert printed["path"].tolist() == paths
    np.testing.assert_allclose(printed["probability_dog"], expected[:, 1], rtol=1e-12)
    out = tmp_path / "out.csv"
    assert run("predict", model, "--labels", folder / "labels.csv", "--out", out).exit_code == 0
    labelled, labels = table(out), table(folder / "labels.csv")
    for ours, theirs in (("path", "path"), ("true_class", "kind"), ("coat", "coat")):
        assert labelled[ours].tolist() == labels[theirs].tolist()
    assert labelled["class"].tolist() == printed["class"].tolist()
    result = run("predict", model, paths[3], paths[1], "--format", "json")
    assert [json.loads(line)["path"] for line in result.stdout.splitlines()] == [paths[3], paths[1]]


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_audit_reads_it_as_it_is(ending: str, folder: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out.{ending}"
    result = run("predict", model, folder, "--labels", "labels.csv", "--out", out)
    assert result.exit_code == 0, result.output
    audit = run("audit", out, "--n-boot", "10", "--json")
    assert audit.exit_code == 0, audit.output
    report, labels = json.loads(audit.stdout), table(folder / "labels.csv")
    paths = [str(folder / path) for path in labels["path"]]
    right = fv.load(model).predict(paths) == (labels["kind"] == "dog")
    assert report["overall"]["accuracy"]["value"] == pytest.approx(right.mean())
    assert report["sensitive"] == ["coat"]
    assert report["overall"]["roc_auc"]["value"] is not None
    assert list(tmp_path.iterdir()) == [out]


def test_audit_says_what_is_missing(folder: Path, model: Path, tmp_path: Path) -> None:
    run("predict", model, folder, "--out", tmp_path / "out.csv")
    assert "with --labels" in refusal(run("audit", tmp_path / "out.csv"))
    assert "--y-true, the column" in refusal(run("audit", folder / "labels.csv"))


def test_a_table_of_pictures_is_read_once(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, tables = LabelTable.read, []

    def counted(root: Any, labels: Any, *args: Any, **options: Any) -> LabelTable:
        tables.append(labels)
        return read(root, labels, *args, **options)

    monkeypatch.setattr(LabelTable, "read", counted)
    words = ["predict", model, "--labels", folder / "labels.csv", "--out", tmp_path / "out.csv"]
    for _ in range(2):  # written, and found there
        assert run(*words).exit_code == 0
    assert tables == [folder / "labels.csv"] * 2


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_a_finished_file_is_finished_and_takes_more_pictures(
    ending: str, folder: Path, model: Path, tmp_path: Path
) -> None:
    out, grown = tmp_path / f"out.{ending}", tmp_path / f"grown.{ending}"
    paths = sorted(folder.glob("*/*.png"))
    assert run("predict", model, *paths, "--out", out).exit_code == 0
    whole = out.read_bytes()
    again = run("predict", model, *paths, "--out", out)
    assert again.exit_code == 0, again.output
    assert "0 picture(s) predicted, 40 were already there" in again.stderr
    for part in (paths[:16], paths):
        assert run("predict", model, *part, "--batch-size", 8, "--out", grown).exit_code == 0
    assert out.read_bytes() == whole
    assert {*tmp_path.iterdir()} == {out, grown}
    audited = [read_table_file(place, None)["path"].tolist() for place in (out, grown)]
    assert audited[0] == audited[1] == list(map(str, paths))


def test_a_parquet_of_something_else_is_left_alone(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    run("predict", model, folder, "--out", out)
    good = pd.read_parquet(out)
    for words, write in (
        ("not from the model", good.assign(model="other").to_parquet),
        ("other columns", good.drop(columns="class").to_parquet),
        ("not a file of predictions", lambda path: path.write_text("my notes")),
    ):
        write(out)
        before = out.read_bytes()
        assert words in refusal(run("predict", model, folder, "--out", out))
        assert out.read_bytes() == before
        assert list(tmp_path.iterdir()) == [out]


def test_white_of_deep_grey_pictures_is_told(model: Path, tmp_path: Path) -> None:
    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    Image.fromarray((pixels // 2).astype(np.uint8)).save(tmp_path / "usual.png")
    assert "(--pixel-max)" in refusal(run("predict", model, tmp_path / "deep.png"))
    deep, usual = (
        run("predict", model, tmp_path / name, "--pixel-max", 511).stdout.splitlines()[1]
        for name in ("deep.png", "usual.png")
    )
    assert deep.split(",")[1:] == usual.split(",")[1:]


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_it_goes_on_wherever_it_was_cut(
    ending: str, folder: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"out.{ending}"
    words = ["predict", model, folder, "--out", out, "--batch-size", "8"]
    assert run(*words).exit_code == 0
    whole = out.read_bytes()
    for length in (0, 3, 20, whole.index(b"\n") + 1, len(whole) // 2, len(whole) - 1, len(whole)):
        out.write_bytes(whole[:length])
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert out.read_bytes() == whole
    assert "40 were already there" in result.stderr


def test_a_picture_that_was_replaced_since_is_not_taken_for_done(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    out, pictures = tmp_path / "out.csv", tmp_path / "pictures"
    shutil.copytree(folder, pictures)
    words = ["predict", model, pictures, "--out", out]
    run(*words)
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    first = sorted(pictures.rglob("*.png"))[0]
    later = out.stat().st_mtime_ns + 10**9
    os.utime(first, ns=(later, later))
    for _ in range(2):  # the refusal leaves the file as it was
        assert f"{first.name}' was changed since it was predicted" in refusal(run(*words))
    assert out.read_bytes() == whole[: len(whole) // 2]


def test_a_file_of_something_else_is_left_alone(folder: Path, model: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out.csv", tmp_path / "other.fv"
    run("predict", model, folder, "--out", out)
    net = TorchClassifier("mlp", max_epochs=0, random_state=1)
    fv.save(net.fit(np.zeros((2, 3, 12, 12), dtype=np.uint8), ["cat", "dog"]), other)
    for content, words, extra in (
        (out.read_text(), "not from the model", [other]),
        (out.read_text(), "other columns", [model, "--labels", "labels.csv"]),
        ("my notes", "not a file of predictions", [model]),
        ('my "notes\n', "not a file of predictions|columns", [model]),
        ("a,b\n1,2\n", "other columns", [model]),
        ("my notes\n", "not a file of predictions", [model, "--format", "json"]),
        ("[1]\n", "not a file of predictions", [model, "--format", "json"]),
    ):
        out.write_text(content)
        assert any(
            part in refusal(run("predict", extra[0], folder, *extra[1:], "--out", out))
            for part in words.split("|")
        )
        assert out.read_text() == content


def test_bad_pictures(folder: Path, model: Path, tmp_path: Path) -> None:
    for name, content in (("cut.png", b"\x89PNG\r\n\x1a\n"), ("text.jpg", b"text")):
        (tmp_path / name).write_bytes(content)
    good = sorted(folder.glob("*/*.png"))[:2]
    pictures = [
        good[0],
        tmp_path / "cut.png",
        tmp_path / "none.png",
        good[1],
        tmp_path / "text.jpg",
    ]
    line = refusal(run("predict", model, *pictures, "--out", tmp_path / "out.csv"))
    assert "cut.png" in line
    assert "(--skip-bad)" in line
    result = run("predict", model, *pictures, "--skip-bad", "--out", tmp_path / "out.csv")
    assert result.exit_code == 0
    assert "3 left out" in result.stderr
    assert table(tmp_path / "out.csv")["path"].tolist() == list(map(str, good))
    Image.new("L", (9, 50)).save(tmp_path / "grey.png")  # another size, another colour
    assert run("predict", model, tmp_path / "grey.png").exit_code == 0


def test_wrong_models(folder: Path, model: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    for name, content, words in (
        ("text", b"some text", "not a file of fairvision.save"),
        ("cut", whole[: len(whole) // 2], "damaged or cut short"),
    ):
        (tmp_path / name).write_bytes(content)
        assert words in refusal(run("predict", tmp_path / name, folder))
    pixels = np.zeros((4, 3, 12, 12), dtype=np.uint8)
    net = TorchClassifier("mlp", max_epochs=1, random_state=0)
    for name, estimator, words in (
        ("unfitted", net, "is not fitted"),
        ("table", clone(net).fit(pixels.reshape(4, -1) / 255, list("abab")), r"shape (432,)"),
        ("bare", clone(net).fit(pixels, list("abab")), ""),
    ):
        fv.save(estimator, tmp_path / name)
        result = run("predict", tmp_path / name, folder)
        assert words in refusal(result) if words else result.exit_code == 0


def test_groups_that_the_model_reads(folder: Path, tmp_path: Path) -> None:
    data = fv.datasets.load(
        "folder", root=folder, labels="labels.csv", target="kind", sensitive="coat", image_size=12
    )
    net = TorchClassifier("mlp", max_epochs=1, random_state=0)
    thresholds = fv.make("threshold-optimizer", estimator=net, random_state=0, allow_worse=True)
    thresholds.fit(data.images, data.target, sensitive_features=data.sensitive_features)
    model = fv.ImageModel.from_dataset(thresholds, data).save(tmp_path / "model.fv")
    assert "(coat) come from a table" in refusal(run("predict", model, folder))
    labels = table(folder / "labels.csv")
    labels.rename(columns={"coat": "fur"}).to_csv(tmp_path / "fur.csv", index=False)
    labels.replace("plain", "striped").to_csv(tmp_path / "striped.csv", index=False)
    with_labels = ["predict", model, folder, "--labels"]
    result = run(*with_labels, tmp_path / "fur.csv", "--groups", "fur")
    assert result.exit_code == 0
    assert result.stdout == run(*with_labels, "labels.csv").stdout
    assert "'coat'" in refusal(run(*with_labels, tmp_path / "fur.csv"))
    assert "striped" in refusal(run(*with_labels, tmp_path / "striped.csv"))


class Coin(BaseEstimator):
    """Draws each class, as `exponentiated-gradient` and `threshold-optimizer` do."""

    classes_ = np.array(["heads", "tails"])

    def predict(self, X: Any) -> Any:
        return self.classes_[(row_draws(0, len(X)) > 0.5).astype(int)]


def test_a_drawn_class_depends_on_no_batch_and_no_bad_picture(folder: Path, tmp_path: Path) -> None:
    paths = [picture.path for picture in unlabelled_pictures([folder])]
    model = fv.ImageModel(Coin(), image_size=12)
    whole = dict(zip(paths, model.predict(paths), strict=True))
    bad = paths[3]
    for n, done in ((40, ()), (7, ()), (7, paths[4:12])):
        pictures = (Picture(p, str(tmp_path) if p == bad else p) for p in paths)
        batches = predict_pictures(model, pictures, batch_size=n, done=done, on_bad=str)
        drawn = {
            p.name: name
            for batch, names, _ in batches
            for p, name in zip(batch, names, strict=True)
        }
        assert drawn == {p: whole[p] for p in paths if p != bad and p not in done}


def test_a_class_that_the_model_does_not_know(folder: Path, model: Path, tmp_path: Path) -> None:
    table(folder / "labels.csv").replace("dog", "wolf").to_csv(tmp_path / "wolf.csv", index=False)
    line = refusal(run("predict", model, folder, "--labels", tmp_path / "wolf.csv"))
    assert "'wolf'" in line
    assert "'cat', 'dog'" in line


# -- what goes wrong on the way -------------------------------------------------------


def test_ctrl_c_keeps_rows(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write, calls = tmp_path / "out.csv", PredictionFile.write, iter(range(9))

    def interrupted(self: Any, rows: Any) -> int:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return write(self, rows)

    monkeypatch.setattr(PredictionFile, "write", interrupted)
    words = ["predict", model, folder, "--out", out, "--batch-size", "8"]
    result = run(*words)
    assert result.exit_code == 1
    assert "same command resumes" in result.stderr
    assert len(table(out)) == 16
    monkeypatch.undo()
    assert "24 picture(s) predicted, 16 were already there" in run(*words).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_one_line(folder: Path, model: Path) -> None:
    line = refusal(run("predict", model, folder, "--out", "/dev/full"))
    assert "No space left" in line
    assert "kept" in line


def test_memory_does_not_grow_with_the_pictures(folder: Path, model: Path) -> None:
    loaded, paths = fv.load(model), list(unlabelled_pictures([folder]))

    def peak(n: int) -> int:
        many = islice((p for _ in range(n) for p in paths), n)
        tracemalloc.start()
        for _ in predict_pictures(loaded, many, batch_size=16):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(32)
    assert peak(640) < 1.5 * peak(64)


def test_pictures_are_named_one_by_one(folder: Path) -> None:
    pictures: Iterator[Any] = unlabelled_pictures([folder, folder / "none.png"])
    assert next(pictures).path.endswith("00.png")
    assert ImageFiles(p.path for p in pictures).shape[0] == 40

"""``fairvision compare`` from the shell: drawn faces, folders with a CSV, UTKFace."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torchvision import models

import fairvision as fv
from fairvision.cli import main

pytestmark = pytest.mark.cpu

FACES = shlex.split(
    "--dataset faces --n-samples 500 --image-size 24 --target eyeglasses --sensitive hat "
    "--confounding 0.9 --n-train 160 --n-test 80"
)
SMALL = shlex.split("--epochs 1 --n-boot 50 --seeds 2 --no-report")


def run(*arguments: str, small: list[str] = SMALL) -> Result:
    return CliRunner().invoke(main, ["compare", *arguments, *small])


def words(result: Result) -> str:
    """What was printed, with the box of an error and line breaks taken out."""
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("finished") / "out"
    return out, run(*FACES, "--methods", "erm", "--out", str(out))


def test_the_same_numbers_as_from_python(finished: tuple[Path, Result]) -> None:
    out, result = finished
    assert result.exit_code == 0, result.output
    found = fv.compare(
        "faces",
        ["erm"],
        seeds=2,
        dataset_params={
            "n_samples": 500, "image_size": 24, "target": "eyeglasses", "sensitive": "hat",
        },
        confounding=0.9,
        n_train=160,
        n_test=80,
        max_epochs=1,
        n_boot=50,
        progress=False,
        report=False,
    )  # fmt: skip
    table = pd.read_csv(out / "results.csv").drop(columns="train_seconds")
    mine = found.results.drop(columns="train_seconds")
    pd.testing.assert_frame_equal(table, mine, check_dtype=False)
    plan = json.loads((out / "plan.json").read_text())
    assert plan == found.plan.to_dict()


def test_what_is_printed(finished: tuple[Path, Result]) -> None:
    out, result = finished
    (value,) = pd.read_csv(out / "results.csv")["worst_group_accuracy"].groupby(lambda _: 0).mean()
    head, row = (line for line in result.output.splitlines() if re.match(r"(method|erm)  ", line))
    columns = re.split(r"\s{2,}", head.strip())
    assert columns == [
        "method", "worst group", "accuracy", "eq. odds diff.", "s",
    ]  # fmt: skip
    cells = re.split(r"\s{2,}", row.strip())
    assert cells[0] == "erm"
    assert re.fullmatch(rf"{value:.2f} \[\d\.\d+, \d\.\d+\]", cells[1])
    assert "500 images of 3x24x24; target eyeglasses (no eyeglasses, eyeglasses)" in result.output
    assert "Positive class: eyeglasses; 90 % of its training rows have hat = " in result.output
    assert f"Results: {out / 'results.csv'}" in result.output
    assert "[1/2] erm, seed 0: trained in " in result.output  # no terminal: a line a run
    assert "\x1b" not in result.output


def test_the_same_command_resumes(finished: tuple[Path, Result]) -> None:
    result = run(*FACES, "--methods", "erm", "--out", str(finished[0]), "--full")
    assert "[2/2] erm, seed 1: already done" in result.output
    assert "2 of 2 runs were already done." in result.output
    head, row = (line for line in result.output.splitlines() if re.match(r"(method|erm)  ", line))
    assert re.split(r"\s{2,}", head.strip()) == [
        "method", "groups seen", "accuracy", "worst-group accuracy", "accuracy gap",
        "equalized odds difference", "leakage", "training s", "steps",
    ]  # fmt: skip
    assert re.split(r"\s{2,}", row.strip())[:2] == ["erm", "never"]
    assert "Mean over seeds [95 % interval: bootstrap" in result.output


def test_another_plan_is_refused_in_one_line(finished: tuple[Path, Result]) -> None:
    result = run(*FACES, "--methods", "erm", "--out", str(finished[0]), "--epochs", "2", small=[])
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert "max_epochs was 1 and is 2" in result.output
    assert len(result.output.splitlines()) == 1


def test_differences_to_plain_training(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairvision.plugins import _registry

    site.add(
        "sluggish",
        "@hookimpl\ndef fairvision_inprocessing():\n"
        "    yield Method('slow', 'fairvision.nn:TorchClassifier', 'Plain training.',\n"
        "                 presets={'quick': {'lr': 1e-4}})\n",
    )
    _registry._default.cache_clear()
    try:
        result = run(*FACES, "--methods", "erm, slow", "--quiet", "--full")
        as_json = run(*FACES, "--methods", "erm,slow", "--quiet", "--json")
        fewer = run(*FACES, "--methods", "slow", "--set", "slow.lr=0.5", "--quiet", "--json")
    finally:
        monkeypatch.undo()
        _registry._default.cache_clear()
    second = result.output.split("minus erm")[1]
    signed = r"[+-]0\.\d{3} \[[+-]0\.\d{3}, [+-]0\.\d{3}\]"
    assert re.search(rf"slow +{signed} +{signed} +{signed} +{signed} +[+-]0\.\d+", second)
    assert "seed 0" not in result.output  # --quiet
    told = json.loads(as_json.output, parse_constant=pytest.fail)
    minus = [r for r in told["differences"] if r["metric"] == "worst_group_accuracy"]
    assert [row["method"] for row in minus] == ["slow"]
    assert len(told["results"]) == 4
    alone = json.loads(fewer.output)
    assert alone["differences"] == []
    assert alone["plan"]["methods"][0]["params"] == {"lr": 0.5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "ern"], "There is no method 'ern'. Closest: 'erm'"),
        (["--methods", ","], "methods is empty"),
        (["--dataset", "face"], "There is no dataset 'face'. Closest: 'faces'"),
        (["--target", "moustache"], "there are skin_tone, "),
        (["--sensitive", "sex,hat"], "sensitive feature 'sex' is not in the data; there are"),
        (["--set", "erm.momentum=1"], "'erm' has no parameter 'momentum'"),
        (["--set", "momentum=1"], "write METHOD.PARAMETER=VALUE"),
        (["--dataset", "utkface"], "needs root"),
        (["--root", "/tmp"], "has no parameter 'root'"),
        (["--preset", "papr"], "Closest: 'paper'"),
        (["--n-train", "100"], "n_train and n_test need confounding"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run("--n-samples", "50", *arguments, "--out", str(tmp_path / "out"))
    if arguments[0] == "--dataset":
        result = run(*arguments)
    assert result.exit_code == 2
    assert message in words(result)
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_nothing_but_failures_is_exit_code_1() -> None:
    result = run(*FACES, "--methods", "erm", "--set", "erm.backbone=no-such-net")
    assert result.exit_code == 1
    assert "erm, seed 0 failed: " in result.output
    assert "no-such-net" in result.output


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A real terminal in the place of stderr; what was written there is in the list afterwards."""
    ours, theirs = pty.openpty()
    written: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # which a closed terminal gives
            while data := os.read(ours, 1 << 16):
                written.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w") as stderr, redirect_stderr(stderr):
        yield written
    reader.join()
    os.close(ours)


@pytest.mark.slow
@pytest.mark.enable_socket
def test_workers_move_the_bar_by_finished_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = fv.datasets.load("faces", n_samples=200, image_size=24, target="eyeglasses")
    small: Any = {"seeds": 2, "n_boot": 20, "n_jobs": 2, "report": False}
    # Workers that start on the terminal would hold it open.
    fv.compare(faces, "erm", max_epochs=0, progress=False, **small)
    with terminal(monkeypatch) as written:
        fv.compare(faces, "erm", max_epochs=2, **small)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(written).decode())
    assert re.search(r"runs +[━╸╺ ]+ *2/2", shown)
    for seed in (0, 1):
        assert re.search(rf"/2\] erm, seed {seed}: trained in", shown)


def test_a_terminal_gets_a_bar_of_runs_and_of_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = fv.datasets.load("faces", n_samples=200, image_size=24, target="eyeglasses")
    with terminal(monkeypatch) as written:
        fv.compare(faces, {"\x1b[31m[b]red": "erm"}, seeds=2, max_epochs=3, n_boot=20)
    text = b"".join(written).decode()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert re.search(r"runs +[━╸╺ ]+ *2/2", shown)
    assert re.search(r"\[b\]red, seed 1 +[━╸╺ ]+ *3/3", shown)  # epochs
    assert "[2/2] [b]red, seed 1: trained in" in shown
    assert "\x1b[31m" not in text  # a label steers no terminal


def test_quiet_writes_nothing_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = fv.datasets.load("faces", n_samples=200, image_size=24, target="eyeglasses")
    with terminal(monkeypatch) as written:
        fv.compare(faces, "erm", seeds=1, max_epochs=1, n_boot=20, progress=False)
    assert written == []


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 pictures with a CSV: path, smiling, hat, part."""
    root = tmp_path_factory.mktemp("photographs")
    faces = fv.datasets.load("faces", n_samples=200, image_size=32, target="smiling")
    rows = []
    for i, picture in enumerate(faces.images):
        Image.fromarray(picture.transpose(1, 2, 0)).save(root / f"{i:03d}.png")
        part = "val" if i < 5 else "test" if i % 3 == 0 else "train"
        rows.append((f"{i:03d}.png", faces.target[i], faces.attributes["hat"][i], part))
    table = pd.DataFrame(rows, columns=["path", "smiling", "hat", "part"])
    table.to_csv(root / "labels.csv", index=False)
    return root


def of_folder(root: Path, *more: str, target: str = "smiling") -> list[str]:
    named = ["--root", str(root), "--labels", "labels.csv", "--target", target]
    return ["--dataset", "folder", *named, "--sensitive", "hat", "--image-size", "24", *more]


def test_a_folder_with_its_own_split(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(*of_folder(photographs, "--split-column", "part", "--methods", "erm"),
                 "--out", str(out))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "200 images of 3x24x24; target smiling (0, 1); sensitive hat (" in result.output
    assert "130 rows to train on, 65 to test on." in result.output
    assert "Only to choose a method and a threshold: 5 rows of split 'val'." in result.output
    part = pd.read_csv(photographs / "labels.csv")["part"]
    for seed in (0, 1):
        with np.load(out / "erm" / f"seed-{seed}" / "predictions.npz") as held:
            assert held["rows"].tolist() == np.flatnonzero(part == "test").tolist()


def test_a_table_of_other_names_and_separators_in_grey(photographs: Path, tmp_path: Path) -> None:
    table = pd.read_csv(photographs / "labels.csv").rename(columns={"path": " file "})
    table.to_csv(tmp_path / "mine.tsv", sep="\t", index=False)
    arguments = of_folder(photographs, "--methods", "erm", "--path-column", "file")
    arguments[arguments.index("--labels") + 1] = str(tmp_path / "mine.tsv")
    result = run(*arguments, "--sep", "tab", "--mode", "L", "--resize", "squash", "--json")
    assert result.exit_code == 0, result.output
    assert "images of 1x24x24" in words(result)


def test_a_bad_photograph_stops_or_is_counted(photographs: Path, tmp_path: Path) -> None:
    root = tmp_path / "photographs"
    shutil.copytree(photographs, root)
    place = root / "100.png"
    place.write_bytes(place.read_bytes()[:400])
    stopped = run(*of_folder(root, "--methods", "erm"), "--out", str(tmp_path / "out"))
    assert stopped.exit_code == 2
    assert "100.png" in stopped.output
    assert "Traceback" not in stopped.output
    again = run(*of_folder(root, "--methods", "erm", "--skip-bad"))
    assert again.exit_code == 0, again.output
    assert "Left out: 1 unreadable image(s), the first '100.png'." in again.output
    assert "199 images of" in again.output


def test_a_column_that_is_not_there(photographs: Path) -> None:
    result = run(*of_folder(photographs, "--methods", "erm", target="smile"))
    assert result.exit_code == 2
    assert "'smile' is not in the data; there are path, smiling, hat, part" in words(result)


@pytest.fixture(scope="module")
def utkface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred photographs of a local copy, one truncated, one without a race."""
    root = os.environ.get("FAIRVISION_UTKFACE")
    if not root:
        pytest.skip("FAIRVISION_UTKFACE names no folder")
    folder = tmp_path_factory.mktemp("utkface")
    names = [n for n in sorted(os.listdir(root)) if re.match(r"\d+_[01]_[0-4]_\d{8}", n)]
    for name in names[:: max(1, len(names) // 300)]:
        shutil.copy(Path(root) / name, folder)
    first = min(folder.iterdir())
    (folder / "30_1_20170116174525125.jpg").write_bytes(first.read_bytes())
    bad = folder / "31_1_2_20170116174525125.jpg"
    bad.write_bytes(first.read_bytes()[:500])
    return folder


def of_utkface(root: Path, target: str, sensitive: str, *more: str) -> list[str]:
    named = ["--dataset", "utkface", "--root", str(root), "--skip-bad", "--methods", "erm"]
    return [*named, "--target", target, "--sensitive", sensitive, "--image-size", "24", *more]


def test_photographs_of_utkface(utkface: Path) -> None:
    result = run(*of_utkface(utkface, "old", "gender", "--confounding", "0.9", "--n-test", "80"))
    assert result.exit_code == 0, result.output
    assert "target old (under 40, 40 or older); sensitive gender (female, male)" in result.output
    assert "Left out: 1 unreadable image(s), the first '31_1_2_2017" in result.output
    assert "Left out: 1 file(s) without a race in the name, the first '30_1_2017" in result.output


def test_many_classes_by_gender_and_race(utkface: Path) -> None:
    result = run(*of_utkface(utkface, "age_bin", "gender,race"), "--full")
    assert result.exit_code == 0, result.output
    assert "16-19, 20-23, 24-27, 28-31, 32-35, 36-39, and 8 more" in result.output
    assert "image(s) outside the age bins, the first" in result.output
    row = next(line for line in result.output.splitlines() if line.startswith("erm "))
    assert "undefined" in row  # not every age of every group is among so few
    assert "worst-group accuracy is undefined in seed 0: " in result.output


def test_downloads_are_asked_for_and_offered_for_celeba_only(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    result = run("--dataset", "celeba", "--root", missing, "--methods", "erm")
    assert (result.exit_code, "does not exist" in words(result)) == (2, True)
    result = run("--dataset", "celeba", "--root", missing, "--methods", "erm", "--download")
    assert result.exit_code == 2
    assert "CelebA could not be downloaded" in words(result)
    assert "list_eval_partition.txt" in words(result)
    result = run("--dataset", "lfw", "--root", missing, "--methods", "erm", "--download")
    assert (result.exit_code, "no parameter 'download'" in words(result)) == (2, True)


def test_an_estimator_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_models.py").write_text(
        "from sklearn.dummy import DummyClassifier\n"
        "def make(): return DummyClassifier(strategy='prior')\n"
        "def fail(): raise ZeroDivisionError('by zero')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    more = ["--method", "mine=my_models:make", "--method", "dummy=sklearn.dummy:DummyClassifier"]
    result = run(*FACES, "--methods", "erm", *more, "--quiet", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert [m["label"] for m in told["plan"]["methods"]] == ["erm", "mine", "dummy"]
    for entry, message in (
        ("my_models:make", "write NAME=PACKAGE.MODULE:FACTORY"),
        ("mine=my_models:makee", "my_models:makee cannot be imported"),
        ("mine=my_models:fail", "my_models:fail() fails: ZeroDivisionError: by zero"),
        ("mine=builtins:int", "methods['mine'] is 0, which has no fit"),
    ):
        result = run(*FACES, "--methods", "erm", "--method", entry)
        assert (result.exit_code, message in words(result)) == (2, True), result.output


def test_features_of_a_net_from_a_file(tmp_path: Path) -> None:
    weights = str(tmp_path / "net.pth")
    torch.save(models.squeezenet1_1().state_dict(), weights)
    net = ["--backbone", "squeezenet1_1", "--weights", weights]
    own = ["--features", "--features-size", "32", "--features-cache", str(tmp_path / "kept")]
    result = run(*FACES, "--methods", "erm", *net, *own, "--full")
    assert result.exit_code == 0, result.output
    assert "features s (once)" in result.output
    assert "512 features of squeezenet1_1, from images of 32x32" in words(result)
    assert list((tmp_path / "kept").iterdir())


def test_a_net_that_all_methods_train() -> None:
    net = ["--backbone", "mlp", "--trainable", "head"]
    result = run(*FACES, "--methods", "erm", *net, "--json")
    assert result.exit_code == 0, result.output
    (method,) = json.loads(result.stdout)["plan"]["methods"]
    assert method["params"] == {"backbone": "mlp", "trainable": "head"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features"], "--features needs --backbone"),
        (["--features", "--backbone", "mlp", "--trainable", "head"], "Leave --features out"),
        (["--backbone", "mlp", "--layer", "0"], "need --features"),
        (["--features", "--backbone", "resnet18", "--weights", "no.pth"], "there is no such file"),
        (
            ["--weights", "no.pth", "--backbone", "resnet18"],
            "weights is 'no.pth': there is no such",
        ),
        (["--weights", __file__, "--backbone", "resnet18"], "test_compare.py cannot be loaded"),
        (["--weights", "no.pth"], "weights is 'no.pth', but backbone is 'small-cnn'"),
    ],
)
def test_what_cannot_be_a_net(arguments: list[str], message: str) -> None:
    result = run(*FACES, "--methods", "reweighing", *arguments)
    assert result.exit_code == 2, result.output
    assert message in words(result)

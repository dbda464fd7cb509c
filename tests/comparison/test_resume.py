"""The folder of a comparison: resumed, extended, refused, mended, replaced."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.comparison import Comparison, scheduler
from fairvision.comparison.plan import versions
from fairvision.comparison.serialization import dumps, plain
from fairvision.comparison.store import Store
from fairvision.datasets import ImageFiles
from fairvision.exceptions import InputError, RunError

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]
Snapshot = Callable[[Path], dict[str, tuple[int, bytes]]]


@pytest.fixture(scope="module")
def finished(faces: Bunch, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One seed of plain training; tests work on copies."""
    out = tmp_path_factory.mktemp("finished") / "out"
    fv.compare(faces, "erm", **small | {"seeds": 1, "out": out})
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def runs_of(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {name: held for name, held in snapshot.items() if "seed-" in name}


def test_the_same_call_redoes_nothing(compare: Compare, out: Path, snapshot: Snapshot) -> None:
    before = snapshot(out)
    first = compare(seeds=1)
    again = compare(seeds=1, out=out)
    assert (first.reused, again.reused) == (0, 1)
    assert runs_of(snapshot(out)) == runs_of(before)
    pd.testing.assert_frame_equal(again.summary, first.summary)
    table = again.results.drop(columns="train_seconds")
    pd.testing.assert_frame_equal(table, first.results.drop(columns="train_seconds"))


def test_seeds_and_methods_may_be_added(
    compare: Compare, methods: Any, out: Path, snapshot: Snapshot
) -> None:
    before = runs_of(snapshot(out))
    longer = compare(methods, seeds=(0, 1), out=out)
    assert longer.reused == 1
    assert runs_of(snapshot(out)).items() > before.items()
    fresh = compare(methods, seeds=(0, 1))
    pd.testing.assert_frame_equal(longer.summary, fresh.summary)
    pd.testing.assert_frame_equal(longer.differences, fresh.differences)
    assert len(pd.read_csv(out / "results.csv")) == 4
    fewer = compare(seeds=1, out=out)  # and left out again: what is stored stays
    assert fewer.reused == 1
    assert len(runs_of(snapshot(out))) == 8


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"max_epochs": 2}, "max_epochs was 1 and is 2"),
        ({"n_boot": 49}, "n_boot was 50 and is 49"),
        ({"confounding": 0.8}, "split.confounding was 0.9 and is 0.8"),
        ({"n_test": 40}, "split.n_test was 80 and is 40"),
        (
            {"dataset": "digits", "n_train": 100},
            "dataset.name was 'given' and is 'digits'",
        ),
    ],
)
def test_another_comparison_is_refused_and_nothing_is_touched(
    compare: Compare, out: Path, snapshot: Snapshot, changed: Any, words: str
) -> None:
    before = snapshot(out)
    with pytest.raises(RunError, match=f"{words}.*--rerun"):
        compare(seeds=1, out=out, **changed)
    assert snapshot(out) == before


def test_other_pixels_under_the_same_labels_are_another_comparison(
    compare: Compare, faces: Bunch, out: Path
) -> None:
    data = Bunch(**{**faces, "images": 255 - faces.images})
    with pytest.raises(RunError, match=r"pictures changed"):
        compare(dataset=data, seeds=1, out=out)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty pictures and their table."""
    root = tmp_path / "photographs"
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3), dtype=np.uint8)
    for row, picture in enumerate(pixels):
        Image.fromarray(picture).save(root / f"{row}.bmp")
    parts = ["train"] * 24 + ["test"] * 16
    table = {"path": [f"{row}.bmp" for row in range(40)], "y": [0, 1] * 20, "part": parts}
    pd.DataFrame(table).assign(a=list("aabb") * 10).to_csv(root / "labels.csv", index=False)
    return root


def of_folder(root: Path, out: Path, small: dict[str, Any]) -> Comparison:
    params = {"root": str(root), "labels": "labels.csv", "target": "y", "sensitive": "a"}
    params |= {"split_column": "part", "image_size": 24}
    own = {k: v for k, v in small.items() if k not in ("confounding", "n_train", "n_test")}
    return fv.compare("folder", "erm", **own | {"seeds": 1, "out": out, "dataset_params": params})


def test_a_photograph_replaced_under_its_name_is_another_comparison(
    folder: Path, tmp_path: Path, small: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    of_folder(folder, out, small)
    os.utime(folder / "3.bmp")  # touched, not changed
    assert of_folder(folder, out, small).reused == 1
    shutil.copy(folder / "4.bmp", folder / "3.bmp")  # of the same size
    with pytest.raises(RunError, match=r"request: pictures changed\. Pass"):
        of_folder(folder, out, small)


def test_rows_that_change_their_part_are_another_comparison(
    folder: Path, tmp_path: Path, small: dict[str, Any]
) -> None:
    of_folder(folder, tmp_path / "out", small)
    table = pd.read_csv(folder / "labels.csv")
    table["part"] = table["part"][::-1].to_numpy()
    table.to_csv(folder / "labels.csv", index=False)
    with pytest.raises(RunError, match=r"request: parts changed\. Pass"):
        of_folder(folder, tmp_path / "out", small)


def test_pictures_that_were_given_may_move(folder: Path, tmp_path: Path) -> None:
    names = [f"{row}.bmp" for row in range(40)]
    here = ImageFiles([folder / name for name in names], image_size=24)
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    there = ImageFiles([moved / name for name in names], image_size=24)
    assert here.fingerprint() == there.fingerprint()
    assert here[::-1].fingerprint() != here.fingerprint()
    grey = ImageFiles(here.paths, image_size=24, mode="L")
    assert grey.fingerprint() != here.fingerprint()
    # Of a large file, the middle counts as well.
    large = bytearray((folder / "0.bmp").read_bytes() + bytes(200_000))
    prints = set()
    for place in (None, len(large) // 2, len(large) - 1):
        if place is not None:
            large[place] ^= 1
        (folder / "0.bmp").write_bytes(large)
        prints.add(here.fingerprint())
    assert len(prints) == 3


def test_a_difference_is_named_in_words(compare: Compare, faces: Bunch, out: Path) -> None:
    labels = Bunch(**{**faces, "target": 1 - faces.target})
    for changed, words in (
        ({"dataset": labels}, "labels changed"),
        ({"params": {"erm": {"lr": 0.01}}}, "erm: lr was not given and is 0.01"),
        ({"methods": {"erm": ("erm", {"batch_size": 32})}}, "erm: batch_size was not given"),
        ({"preset": None}, "erm: preset was 'quick' and is not given"),
    ):
        with pytest.raises(RunError, match=f"{words}.*rerun=True") as caught:
            compare(seeds=1, out=out, **changed)
        assert not re.search("[0-9a-f]{16}", str(caught.value).replace(str(out), ""))


def test_a_newer_fairvision_or_other_code_asks_for_rerun(
    compare: Compare, out: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(out)
    with monkeypatch.context() as patched:
        new = {**versions(), "fairvision": "9.9"}
        patched.setattr("fairvision.comparison.api.versions", lambda: new)
        with pytest.raises(RunError, match=r"fairvision was '[\d.]+' and is '9\.9'.*--rerun"):
            compare(seeds=1, out=out)
    monkeypatch.setattr("fairvision.comparison.methods.source_hash", lambda *_: "0" * 32)
    with pytest.raises(RunError, match=r"erm: code changed\. Pass --rerun"):
        compare(seeds=1, out=out)
    assert snapshot(out) == before
    assert compare(seeds=1, out=out, rerun=True).reused == 0
    assert compare(seeds=1, out=out, rerun=True).reused == 1


def test_rerun_does_again_what_differs_and_touches_nothing_else(
    compare: Compare, methods: Any, out: Path
) -> None:
    (out / "notes.txt").write_text("mine")
    changed = {**methods, "erm": ("erm", {"lr": 0.01})}
    compare({"slow": methods["slow"]}, seeds=1, out=out)
    found = compare(changed, seeds=(0, 1), out=out, rerun=True)
    assert found.reused == 1  # of the two that were stored
    fresh = compare(changed, seeds=(0, 1))
    pd.testing.assert_frame_equal(found.summary, fresh.summary)
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["plan.json", "photo.jpg"])
def test_a_strangers_folder_is_refused(compare: Compare, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"terraform": 1}')
    for rerun in (False, True):
        with pytest.raises(RunError, match="not empty and holds no comparison"):
            compare(seeds=1, out=tmp_path, rerun=rerun)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_without_a_finished_run_takes_any_request(
    compare: Compare, tmp_path: Path, faces: Bunch
) -> None:
    broken = Bunch(**{**faces, "target": faces.target[:-1]})
    first = compare({"erm": ("erm", {"lr": -1.0})}, seeds=1, out=tmp_path, confounding=0.8)
    assert (len(first.runs), len(first.failures)) == (0, 1)
    assert (tmp_path / "plan.json").exists()
    with pytest.raises(InputError):
        compare("erm", broken, seeds=1, out=tmp_path)
    assert len(compare("erm", seeds=1, out=tmp_path).runs) == 1


def test_a_damaged_plan_is_named(compare: Compare, out: Path, snapshot: Snapshot) -> None:
    (out / "plan.json").write_text('{"dataset": ')
    before = snapshot(out)
    with pytest.raises(RunError, match=r"plan\.json cannot be read"):
        compare(seeds=1, out=out)
    assert snapshot(out) == before


def test_a_changed_parameter_redoes_that_method_only(compare: Compare, out: Path) -> None:
    assert compare(seeds=1, out=out, params={"erm": {"lr": 0.01}}, rerun=True).reused == 0
    assert compare(seeds=1, out=out, params={"erm": {"lr": 0.01}}).reused == 1
    assert compare({"erm": ("erm", {"lr": 0.01}), "b": "erm"}, seeds=1, out=out).reused == 1


def test_another_version_of_a_plugin_redoes_its_runs(
    compare: Compare, third_party: ModuleType, site: Any, out: Path
) -> None:
    assert compare(["erm", "guess"], seeds=1, out=out).reused == 1
    assert compare(["erm", "guess"], seeds=1, out=out).reused == 2
    (info,) = site.path.glob("third_party-*.dist-info")
    metadata = (info / "METADATA").read_text()
    (info / "METADATA").write_text(metadata.replace("Version: 1.0", "Version: 1.1"))
    info.rename(info.with_name("third_party-1.1.dist-info"))
    from fairvision.plugins import _registry

    _registry._default.cache_clear()
    with pytest.raises(RunError, match=r"guess: version was '1\.0' and is '1\.1'"):
        compare(["erm", "guess"], seeds=1, out=out)
    assert compare(["erm", "guess"], seeds=1, out=out, rerun=True).reused == 1


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def pickled(path: Path) -> None:
    with np.load(path) as held:
        arrays = dict(held)
    arrays["y_pred"] = arrays["y_pred"].astype(object)
    np.savez(path, **arrays)


def shortened(path: Path) -> None:
    with np.load(path) as held:
        arrays = dict(held)
    arrays["y_pred"] = arrays["y_pred"][:-1]
    np.savez(path, **arrays)


def another_field(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"from": "the future"}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("run.json", truncate),
        ("run.json", flip),
        ("run.json", another_field),
        ("run.json", Path.unlink),
        ("predictions.npz", truncate),
        ("predictions.npz", flip),
        ("predictions.npz", pickled),
        ("predictions.npz", shortened),
        ("predictions.npz", Path.unlink),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_damaged_run_is_done_again(
    compare: Compare, out: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(out / "erm" / "seed-0" / name)
    mended = compare(seeds=1, out=out)
    assert mended.reused == 0
    assert compare(seeds=1, out=out).reused == 1
    pd.testing.assert_frame_equal(mended.summary, compare(seeds=1).summary)


def test_what_a_kill_left_is_cleared_away(compare: Compare, out: Path) -> None:
    shutil.rmtree(out / "erm" / "seed-0")
    for folder in (out / "erm" / ".seed-0.partial", out / "erm" / ".seed-1.partial"):
        folder.mkdir()
        (folder / "run.json").write_text('{"request"')
    compare(seeds=2, out=out)
    assert sorted(p.name for p in (out / "erm").iterdir()) == ["seed-0", "seed-1"]


LABELS = [
    "../../up", "..", ".", "", "/etc/passwd", "a/b", "a_b", "a\nb", "A", "a", "plan.json",
    "results.csv", "x" * 300, "é", "\x1b[31mred", "con\x00", "seed-0",
]  # fmt: skip


def test_labels_name_folders_of_their_own_inside(tmp_path: Path) -> None:
    out = tmp_path / "out"
    places = [Store(out).folder(label, 0) for label in LABELS]
    assert all(place.resolve().parent.parent == out.resolve() for place in places)
    assert len({str(place).lower() for place in places}) == len(LABELS)
    assert not {place.parent.name for place in places} & {"plan.json", "results.csv"}
    assert all(len(place.parent.name) < 100 for place in places)


def test_any_label_is_stored_and_found(compare: Compare, tmp_path: Path) -> None:
    labels = dict.fromkeys(["../../up", "a/b", "a_b", "a\nb", "", "plan.json"], "erm")
    out = tmp_path / "deep" / "out"
    first = compare(labels, seeds=1, out=out)
    again = compare(labels, seeds=1, out=out)
    assert again.reused == len(labels)
    assert [run.method for run in again.runs] == list(labels)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    pd.testing.assert_frame_equal(first.summary, again.summary)


def test_json_is_valid_whatever_is_in_it() -> None:
    odd = {
        "nan": float("nan"),
        "inf": np.float32("inf"),
        "n": np.int64(3),
        "path": Path("a/b"),
        ("smiling", "hat"): (0.9, np.array([1, 2])),
        "function": scheduler.dry_run,
    }
    read = json.loads(dumps(odd), parse_constant=pytest.fail)
    assert read["nan"] is None
    assert read["inf"] is None
    assert (read["n"], read["path"]) == (3, "a/b")
    assert read["('smiling', 'hat')"] == [0.9, [1, 2]]


def test_large_arrays_are_told_apart_by_content() -> None:
    zeros, one = np.zeros(5000), np.zeros(5000)
    one[2500] = 1
    assert repr(zeros) == repr(one)
    assert plain(zeros) != plain(one)
    assert plain(zeros) == plain(np.zeros(5000))

"""What goes wrong on the way: methods that fail, Ctrl-C, disks that fill up, workers that die."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock

from fairvision.comparison import Comparison
from fairvision.exceptions import InputError, RunError

pytestmark = pytest.mark.cpu

Compare = Callable[..., Comparison]


def names(folder: Path) -> list[str]:
    """All files, the empty lock aside."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return sorted(str(path.relative_to(folder)) for path in files)


def test_a_method_that_fails_costs_the_others_nothing(
    compare: Compare, third_party: ModuleType, tmp_path: Path
) -> None:
    chosen, out = ["erm", "fragile", "absent"], tmp_path / "out"
    third_party.BROKEN.add("fragile")
    found = compare(chosen, out=out)
    assert [run.method for run in found.runs] == ["erm", "erm"]
    assert found.failures["fragile", 1] == "OverflowError: too much of it"
    assert "no_such_package" in found.failures["absent", 0]
    assert set(found.table().loc["fragile", ["accuracy", "leakage"]]) == {"failed"}
    assert "fragile, seed 0 failed: OverflowError" in str(found)
    assert "in fit\n" in (out / "fragile" / "seed-0.error.txt").read_text()
    pd.testing.assert_frame_equal(found.summary, compare("erm").summary)

    third_party.BROKEN.clear()  # mended, it is tried again
    again = compare(chosen, out=out)
    assert again.reused == 2
    assert [run.method for run in again.runs] == ["erm", "erm", "fragile", "fragile"]
    assert not (out / "fragile" / "seed-0.error.txt").exists()
    assert set(again.failures) == {("absent", 0), ("absent", 1)}


def test_a_method_that_fails_in_one_seed_says_over_how_many_it_is(
    compare: Compare, third_party: ModuleType, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    compare(["erm", "fragile"], seeds=(0,), out=out)
    third_party.BROKEN.add("fragile")
    found = compare(["erm", "fragile"], seeds=(0, 1), out=out)
    assert found.table().loc["fragile", "accuracy"].endswith("(1 of 2)")
    assert found.differences.loc[("fragile", "accuracy"), "n_seeds"] == 1


def test_nothing_but_failures(compare: Compare, third_party: ModuleType, tmp_path: Path) -> None:
    found = compare("absent", seeds=1, out=tmp_path / "out")
    assert found.runs == ()
    assert "failed" in str(found)
    assert "<p>" in found._repr_html_()
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == 0


def test_a_parameter_that_a_constructor_refuses_is_met_at_once(
    compare: Compare, third_party: ModuleType
) -> None:
    with pytest.raises(InputError, match="'thresholds' has no parameter 'constraints'"):
        compare("thresholds", params={"thresholds": {"constraints": "x"}})


# Jobs that a shell put into the background ignore SIGINT, and so do their children.
INTERRUPTED = """
import signal
from fairvision.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main("compare --dataset faces --n-samples 500 --image-size 24 --target eyeglasses --sensitive hat "
     "--methods erm --seeds 60 --confounding 0.9 --n-train 160 --n-test 80 --epochs 40 --n-boot 9 "
     "--no-report --out".split() + [{out!r}])
"""


def test_an_interrupt_leaves_what_is_finished(
    compare: Compare, tmp_path: Path, faces_params: Any
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(out=str(out))],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (out / "erm" / "seed-0" / "run.json").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    time.sleep(0.1)  # some way into the second run
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Finished runs are kept; the same command again resumes." in errors
    assert "Traceback" not in errors
    # However far it came: whole runs and nothing else, and not all 60.
    runs = {name.rpartition("/")[0] for name in names(out)} - {""}
    assert "erm/seed-0" in runs
    assert len(runs) < 60
    whole = [f"{run}/{file}" for run in runs for file in ("predictions.npz", "run.json")]
    assert names(out) == sorted([*whole, "plan.json"])
    found = compare(
        ["erm"],
        dataset="faces",
        dataset_params=faces_params,
        seeds=1,
        max_epochs=40,
        n_boot=9,
        out=out,
    )
    assert found.reused == 1


@pytest.fixture
def limit_files() -> Iterator[Callable[[int], None]]:
    """A function that lets no file of this process grow beyond a number of bytes."""
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_may_not_grow(
    compare: Compare, tmp_path: Path, limit_files: Callable[[int], None]
) -> None:
    out = tmp_path / "out"
    compare(seeds=1, out=out)
    before = names(out)
    limit_files((out / "plan.json").stat().st_size + 500)
    words = f"cannot write {out / 'erm' / 'seed-1'}: File too large. Finished runs are kept"
    with pytest.raises(RunError, match=words):
        compare(seeds=2, out=out)
    assert names(out) == before
    assert not list(tmp_path.rglob("*.partial"))
    limit_files(1 << 30)
    assert compare(seeds=2, out=out).reused == 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A real file system of its own; call it with mount options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str, *more: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, *more, "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no `mount` here")
        if done.returncode:
            pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_is_full(compare: Compare, disk: Callable[..., Path]) -> None:
    # Blocks of 4 kB: the plan takes one, a run five and two folders.
    place = disk("size=48k")
    with pytest.raises(RunError, match=r"No space left on device\. Finished runs are kept"):
        compare(seeds=6, out=place / "out")
    kept = names(place / "out")
    assert len(kept) % 2 == 1  # the plan and whole runs
    assert len(kept) > 2
    assert not list(place.rglob("*.partial"))
    disk("remount,size=1m")
    assert compare(seeds=6, out=place / "out").reused == len(kept) // 2


def test_a_disk_that_cannot_be_written(compare: Compare, disk: Callable[..., Path]) -> None:
    place = disk("size=1m")
    compare(seeds=1, out=place / "out")
    disk("remount,ro")
    with pytest.raises(RunError, match="Read-only file system"):
        compare(seeds=2, out=place / "out")
    with pytest.raises(RunError, match="Read-only file system"):
        compare(seeds=2, out=place / "out", rerun=True)
    assert "erm/seed-0/run.json" in names(place / "out")


def test_a_file_in_the_place_of_the_folder(compare: Compare, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunError, match="out is a file; pass a folder as --out"):
        compare(out=tmp_path / "out")
    with pytest.raises(RunError, match=r"cannot .*plan\.json"):
        compare(out=tmp_path / "out" / "below")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_in_use_is_refused(compare: Compare, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compare(seeds=1, out=out)
    with (
        FileLock(out / ".lock"),
        pytest.raises(RunError, match=f"another comparison is writing to {out}"),
    ):
        compare(seeds=1, out=out)
    assert compare(seeds=1, out=out).reused == 1


def test_a_crash_before_the_plan_was_whole(compare: Compare, tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".plan.json.partial").write_text('{"datas')
    compare(seeds=1, out=tmp_path)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_clock_that_jumps(
    compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = itertools.count(4_000_000_000, -3600)
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: float(next(back)))
        found = compare(seeds=1, out=tmp_path)
    assert 0 < found.runs[0].train_seconds < 60
    for year in (0, 4_000_000_000):
        for path in tmp_path.rglob("*"):
            os.utime(path, (year, year))
        assert compare(seeds=1, out=tmp_path).reused == 1

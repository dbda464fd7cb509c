"""`kill -9`: nothing finished is lost, done again or damaged, and no lock outlives its process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairvision.comparison import Comparison, read_report_data
from fairvision.comparison.store import Store
from fairvision.exceptions import RunError

Compare = Callable[..., Comparison]
Snapshot = Callable[[Path], dict[str, tuple[int, bytes]]]

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL"),
]

# A process that has imported everything starts a comparison in a copy of itself within
# milliseconds, and ends it there: after some seconds, or before its n-th touch of a file.
WARM = """
import json, os, signal, sys, time
import fairvision as fv

CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
given = json.loads(sys.stdin.readline())
faces = fv.datasets.load("faces", **given["faces"])

def die_before(n, folder):
    left = n
    def look(event, args):
        nonlocal left
        if event in CHANGES and str(args[0]).startswith(folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(look)

def compare(**more):
    fv.compare(faces, **{**given["small"], **more})

compare(methods="erm", seeds=1)
print("warm", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        try:
            if order["touch"]:
                die_before(order["touch"], order["params"]["out"])
            compare(**order["params"])
            os._exit(0)
        finally:
            os._exit(1)
    if order["seconds"] is not None:
        time.sleep(order["seconds"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""

DONE, KILLED = 0, -9


class Warm:
    """The process that comparisons are started from."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def say(self, words: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self, out: Path, *, kill: float | None = None, touch: int = 0, **params: Any) -> None:
        """Compare into `out`, to the end or until it is killed."""
        params = {"methods": METHODS, "out": str(out), **params}
        self.say({"params": params, "seconds": kill, "touch": touch})

    def run(self, out: Path, **given: Any) -> int:
        self.start(out, **given)
        return int(self.hear())


METHODS = ["erm", "reweighing", "threshold-optimizer"]


@pytest.fixture(scope="module")
def warm(faces_params: Any, small: Any) -> Iterator[Warm]:
    process = subprocess.Popen(
        [sys.executable, "-c", WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        found = Warm(process)
        found.say({"faces": faces_params, "small": small})
        assert found.hear() == "warm"
        yield found
        process.kill()


@pytest.fixture(scope="module")
def undisturbed(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert warm.run(out) == DONE
    return out


def look(out: Path, undisturbed: Path) -> set[tuple[str, int]]:
    """Read the folder as a report does: the finished runs, each as it is without any kill."""
    if (out / "comparison.json").exists():
        assert read_report_data(out)["results"]
    finished = {(m, s) for m in METHODS for s in (0, 1) if (out / m / f"seed-{s}").exists()}
    for method, seed in finished:
        run, same = (Store(where).find(method, seed) for where in (out, undisturbed))
        assert run is not None
        assert same is not None
        assert run.evaluation == same.evaluation
        np.testing.assert_array_equal(run.y_score, same.y_score)
    return finished


def results(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "results.csv").drop(columns="train_seconds")


def of_runs(held: dict[str, Any], runs: set[tuple[str, int]]) -> dict[str, Any]:
    folders = tuple(f"{method}/seed-{seed}/" for method, seed in runs)
    return {name: what for name, what in held.items() if name.startswith(folders)}


@pytest.mark.long
def test_twenty_kills_at_random_moments(
    warm: Warm, undisturbed: Path, tmp_path: Path, snapshot: Snapshot
) -> None:
    dice, outs, kills = random.Random(0), [tmp_path / "0"], 0
    while kills < 20:
        out = outs[-1]
        finished, before = look(out, undisturbed), snapshot(out)
        ended = warm.run(out, kill=dice.uniform(0.02, 0.7))
        kills += ended == KILLED
        assert finished <= look(out, undisturbed)
        assert of_runs(snapshot(out), finished) == of_runs(before, finished)
        if ended == DONE:
            outs.append(tmp_path / str(len(outs)))
    for out in outs:
        finished, before = look(out, undisturbed), snapshot(out)
        assert warm.run(out) == DONE
        assert of_runs(snapshot(out), finished) == of_runs(before, finished)
        pd.testing.assert_frame_equal(results(out), results(undisturbed))
        assert not [name for name in snapshot(out) if name.endswith(".partial")]


@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_before_every_touch_of_a_file(
    warm: Warm, undisturbed: Path, tmp_path: Path, snapshot: Snapshot, step: int
) -> None:
    params = {"methods": ["erm"], "seeds": 1}
    moments = 0
    while True:
        out = tmp_path / str(moments)
        ended = warm.run(out, touch=moments + 1, **params)
        look(out, undisturbed)
        if ended == DONE:
            break
        moments += step
        assert ended == KILLED
        assert warm.run(out, **params) == DONE
        assert look(out, undisturbed) == {("erm", 0)}
        assert {n for n in snapshot(out) if not n.startswith("erm/seed-0/")} == {
            "plan.json", "results.csv", "comparison.json",
        }  # fmt: skip
    assert moments > 15


def test_a_folder_is_held_by_one_process_and_let_go_when_it_is_killed(
    warm: Warm, compare: Compare, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    warm.start(out, kill=3, max_epochs=1000)
    while not (out / "plan.json").exists():
        time.sleep(0.01)
    held = f"another comparison is writing to {out}\\. Wait until it ends .* or pass another --out"
    with pytest.raises(RunError, match=held):
        compare(METHODS, out=out, max_epochs=1000)
    with pytest.raises(RunError, match=held):
        compare(METHODS, out=out, rerun=True)
    with pytest.raises(RunError, match="there is none"):  # whoever reads needs no lock
        read_report_data(out)
    assert warm.hear() == str(KILLED)
    assert compare(METHODS, out=out, rerun=True).reused == 0
    pd.testing.assert_frame_equal(results(out), results(undisturbed))

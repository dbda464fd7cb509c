"""Commands that are killed, interrupted or meet a full disk: given again, they end as if uncut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fairvision as fv

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and POSIX signals"),
]

# A process that has done every command once does others in copies of itself. A copy sends itself
# a signal as it is about to touch the n-th file below a folder, or may write no larger file.
WARM = """
import contextlib, json, os, resource, signal, sys
from fairvision.cli import main

TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}

def signal_at(folder, n, number):
    left = n
    def look(event, args):
        nonlocal left
        if event in TOUCHES and str(args[0]).startswith(folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), number)
    sys.addaudithook(look)

def run(words):
    try:
        main(words)
    except SystemExit as end:
        return end.code

with contextlib.redirect_stdout(sys.stderr):
    codes = [run(words) for words in json.loads(sys.stdin.readline())]
print(codes, flush=True)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 70
        try:
            log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if order["at"]:
                signal_at(*order["at"])
            if order["limit"]:
                resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"],) * 2)
            code = run(order["words"])
            sys.stdout.flush()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
#: Each command, and the touches of what it writes before which it is cut, beside that of a picture.
MOMENTS = {"fit": (2, 3), "compare": (9, 25), "csv": (), "parquet": (4, 5, 6)}


def words(command: str, folder: Path, model: Path, out: Path) -> list[str]:
    """A command that writes into the folder `out`."""
    if command not in ("fit", "compare"):
        place = out / f"predictions.{command}"
        return ["predict", str(model), str(folder), "--batch-size=8", f"--out={place}"]
    common = [
        command, "--dataset=folder", f"--root={folder}", "--labels=labels.csv", "--target=kind",
        "--sensitive=coat", "--image-size=12", "--backbone=mlp", "--epochs=1", "--n-boot=10",
        "--validation-fraction=0.3",
    ]  # fmt: skip
    if command == "fit":
        return [*common, f"--out={out / 'model.fv'}"]
    place = [f"--out={out / 'run'}", f"--choose={out / 'model.fv'}", "--no-report"]
    return [*common, "--methods=erm,reweighing", "--seeds=1", *place]


class Warm:
    """That process, and what the commands wrote when nothing disturbed them."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, place: Path) -> None:
        self.process, self.folder, self.place = process, folder, place
        self.model = place / "fit" / "model.fv"
        for command in MOMENTS:
            (place / command).mkdir()
        codes = self.ask([self.words(command, place / command) for command in MOMENTS])
        assert json.loads(codes) == [0] * len(MOMENTS)

    def words(self, command: str, out: Path) -> list[str]:
        return words(command, self.folder, self.model, out)

    def ask(self, order: Any) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def run(self, command: str, out: Path, *, at: Any = None, limit: int = 0) -> tuple[int, str]:
        """Do a command; return its exit code and all that it printed."""
        log = self.place / "log"
        order = {"words": self.words(command, out), "at": at, "limit": limit, "log": str(log)}
        return int(self.ask(order)), log.read_text()

    def check(self, command: str, out: Path) -> None:
        """The command again ends well, with what it writes undisturbed."""
        code, log = self.run(command, out)
        assert code == 0, log
        whole = self.place / command
        files = [sorted(p.relative_to(top) for p in top.rglob("*")) for top in (out, whole)]
        assert files[0] == files[1]
        for ours, theirs in ((out / file, whole / file) for file in files[0]):
            if ours.suffix == ".fv":
                scores = [fv.load(path).predict_proba(self.folder) for path in (ours, theirs)]
                np.testing.assert_array_equal(*scores)
            elif ours.suffix in (".npz", ".parquet") or command == "csv":
                assert ours.read_bytes() == theirs.read_bytes()


@pytest.fixture(scope="module")
def warm(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    with subprocess.Popen(
        [sys.executable, "-c", WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Warm(process, folder, tmp_path_factory.mktemp("uncut"))
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("command", MOMENTS)
def test_a_command_that_was_cut(
    command: str, number: signal.Signals, warm: Warm, tmp_path: Path
) -> None:
    for n in (0, *MOMENTS[command]):
        out = tmp_path / str(n)
        out.mkdir()
        at = (str(out), n, number) if n else (str(warm.folder), 20, number)
        code, log = warm.run(command, out, at=at)
        assert code == (1 if number == signal.SIGINT else -signal.SIGKILL), log
        assert "Traceback" not in log
        assert not (out / "model.fv").exists()
        warm.check(command, out)


@pytest.mark.parametrize("command", MOMENTS)
def test_a_full_disk_is_one_line_and_loses_nothing(
    command: str, warm: Warm, tmp_path: Path
) -> None:
    sizes = [path.stat().st_size for path in (warm.place / command).rglob("*") if path.is_file()]
    code, log = warm.run(command, tmp_path, limit=max(sizes) // 2)
    assert code == 2, log
    assert log.count("Error: ") == 1
    assert "File too large" in log
    assert "Traceback" not in log
    warm.check(command, tmp_path)

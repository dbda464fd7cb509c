"""The folder of a comparison: one folder a run, each complete or not there at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from fairvision.base import atomic_write
from fairvision.comparison.execute import Run
from fairvision.comparison.plain import dumps
from fairvision.comparison.plan import Plan
from fairvision.comparison.sound import check_run
from fairvision.exceptions import RunError

__all__ = ["Store"]

_ARRAYS = ("rows", "y_true", "y_pred", "y_score")
_PLAN, _RUN, _PREDICTIONS, _ERROR = "plan.json", "run.json", "predictions.npz", ".error.txt"
_EVIDENCE = "evidence.json"
_SUMMARY = "comparison.json"
_RESULTS = ("results.csv", _SUMMARY, "report.html")
_CHECKPOINT = ".checkpoint"
_LOCK = ".lock"
# All that a comparison leaves that is killed before its plan is written.
_BEGUN = {_LOCK, f".{_PLAN}.partial"}
# No dots and no capitals: a label can name neither our own files nor a second one's folder.
_SAFE = re.compile(r"[a-z0-9][a-z0-9_=-]{0,63}")


class Store:
    """Reads and writes ``out/``.

    Layout::

        out/plan.json                      what was asked for
        out/results.csv, comparison.json   a row a run, and all numbers
        out/report.html                    the same to look at
        out/METHOD/seed-0/run.json         metrics, training curves, seconds
        out/METHOD/seed-0/predictions.npz  rows, y_true, y_pred, y_score
        out/METHOD/seed-0/evidence.json    pictures for the report, first seed only
        out/METHOD/seed-0.error.txt        why a run failed
        out/METHOD/.seed-0.checkpoint/     trainings of a run that is not over, if asked for
        out/.lock                          held by the process that writes here

    A run is written to a temporary folder beside its place and renamed, so that
    a killed process or a full disk never leaves half a run.

    Parameters
    ----------
    out : str or Path
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)

    @contextmanager
    def open(self, plan: Plan, *, overwrite: bool = False) -> Iterator[None]:
        """Hold the folder while runs are written to it, or refuse it.

        The operating system lets go of the lock when a process ends, however it ends. Who
        only reads needs no lock.

        Raises
        ------
        RunError
            If another process holds the folder, it belongs to something else, or it
            holds a link; nothing is touched then.
        """
        self.refuse_links()
        self._stored()  # a stranger's folder is left without a lock in it, too
        with self._locked():
            stored = self._stored()
            if overwrite:
                with self._guard(self.out):
                    self._clear()
            elif stored is not None:
                self._check_same(plan, stored)
            self.write_text(_PLAN, dumps(plan.to_dict()))
            yield

    def refuse_links(self) -> None:
        """What is written through a link lands elsewhere, and what is replaced is lost there.

        Raises
        ------
        RunError
            Naming the first link in the folder.
        """
        for folder, folders, files in os.walk(self.out):
            for path in (Path(folder, name) for name in (*folders, *files)):
                if path.is_symlink():
                    raise RunError(
                        f"{path} is a link, which could lead out of {self.out}. Remove it, or "
                        "pass another --out."
                    )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.out / _LOCK, timeout=0)
        with self._guard(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout:
                raise RunError(
                    f"another comparison is writing to {self.out}. Wait until it ends and run the "
                    "same command again, which then takes its runs over, or pass another --out."
                ) from None
        try:
            yield
        finally:
            lock.release()

    def _stored(self) -> dict[str, Any] | None:
        """The plan that the folder holds; None if nothing is there yet."""
        if self.out.exists() and not self.out.is_dir():
            raise RunError(f"{self.out} is a file; pass a folder as --out.")
        try:
            stored = json.loads((self.out / _PLAN).read_text(encoding="utf-8"))
        except FileNotFoundError:
            stored = None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(
                f"{self.out / _PLAN} cannot be read: {error}. Mend or move it."
            ) from error
        if isinstance(stored, dict) and {"dataset", "split", "methods"} <= stored.keys():
            return stored
        if self.out.is_dir() and {path.name for path in self.out.iterdir()} - _BEGUN:
            raise RunError(
                f"{self.out} is not empty and holds no comparison. Pass another --out, or empty it."
            )
        return None

    def _clear(self) -> None:
        """Remove what an earlier comparison made, file by file: nothing else."""
        for name in _RESULTS:
            (self.out / name).unlink(missing_ok=True)
        for file in [*self.out.glob("*/seed-*" + _ERROR), *self.out.rglob(".*.partial")]:
            if file.is_file():
                file.unlink()
        inside = ("*/seed-*", "*/.seed-*.partial", "*/.seed-*" + _CHECKPOINT)
        for run in [folder for pattern in inside for folder in self.out.glob(pattern)]:
            for file in [*(run / name for name in (_RUN, _PREDICTIONS, _EVIDENCE)), *_kept(run)]:
                file.unlink(missing_ok=True)
            with suppress(OSError):  # a folder that holds something else stays
                run.rmdir()
                run.parent.rmdir()

    def _check_same(self, plan: Plan, stored: dict[str, Any]) -> None:
        common = plan.common()
        mine, theirs = _flat(common), _flat({key: stored.get(key) for key in common})
        for key in [*mine, *theirs]:
            if mine.get(key) != theirs.get(key):
                raise RunError(
                    f"{self.out} holds another comparison: its {key} is {theirs.get(key)!r}, this "
                    f"one's {mine.get(key)!r}. Pass another --out, or --overwrite to replace it."
                )

    def folder(self, method: str, seed: int) -> Path:
        """Where a run lies. Labels may hold anything: what is no plain name gets a hash."""
        name = method
        if not _SAFE.fullmatch(method):
            digest = hashlib.sha256(method.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            name = f"{re.sub('[^a-z0-9]+', '-', method.lower())[:40].strip('-')}.{digest}"
        return self.out / name.lstrip(".") / f"seed-{seed}"

    def checkpoint(self, method: str, seed: int) -> Path:
        """Where the trainings of a run are kept until it is stored."""
        place = self.folder(method, seed)
        return place.with_name(f".{place.name}{_CHECKPOINT}")

    def drop_checkpoint(self, method: str, seed: int) -> None:
        """Remove them: the run is stored, or failed and is tried anew from its start."""
        folder = self.checkpoint(method, seed)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)

    def read(self, method: str, seed: int, identity: str) -> Run | None:
        """A finished run of exactly this identity, or None.

        A folder that cannot be read counts as not run: it is done again.
        """
        run = self.find(method, seed)
        return run if run is not None and run.identity == identity else None

    def find(self, method: str, seed: int) -> Run | None:
        """A finished run of whatever identity, or None."""
        folder = self.folder(method, seed)
        try:
            fields = json.loads((folder / _RUN).read_text(encoding="utf-8"))
            # Opened here: numpy leaves a damaged archive open.
            with (
                (folder / _PREDICTIONS).open("rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                columns = {name: arrays.get(name) for name in _ARRAYS}
            run = Run(**fields, **columns, evidence=_evidence(folder))
            check_run(run)
        except Exception:  # a damaged archive raises anything from BadZipFile to zlib.error
            return None
        return run if (run.method, run.seed) == (method, seed) else None

    def summary(self) -> dict[str, Any]:
        """What the last comparison in this folder found.

        Raises
        ------
        RunError
            If the folder holds no finished comparison.
        """
        path = self.out / _SUMMARY
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if {"plan", "results", "summary", "methods"} <= found.keys():
                return dict(found)
            reason = "it lacks what a report needs; run the same `fairvision compare` once more"
        except FileNotFoundError:
            reason = "there is none; pass the --out of a finished `fairvision compare`"
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            reason = f"{error}; run the same `fairvision compare` once more"
        raise RunError(f"{path} cannot be read: {reason}.")

    def write(self, run: Run) -> None:
        """Store a run: all of it or nothing."""
        place = self.folder(run.method, run.seed)
        fields = {k: v for k, v in vars(run).items() if k not in (*_ARRAYS, "evidence")}
        arrays = {k: v for k in _ARRAYS if (v := getattr(run, k)) is not None}
        # A name that the next attempt finds again: whatever a kill left there goes.
        scratch = place.with_name(f".{place.name}.partial")
        with self._guard(place):
            try:
                shutil.rmtree(scratch, ignore_errors=True)
                scratch.mkdir(parents=True)
                _write(scratch / _RUN, dumps(fields).encode())
                _write(scratch / _PREDICTIONS, _packed(arrays))
                if run.evidence is not None:
                    _write(scratch / _EVIDENCE, dumps(run.evidence).encode())
                if place.exists():
                    shutil.rmtree(place)
                os.rename(scratch, place)
                place.with_name(place.name + _ERROR).unlink(missing_ok=True)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        self.drop_checkpoint(run.method, run.seed)

    def write_error(self, method: str, seed: int, text: str) -> None:
        """Keep the traceback of a run that failed."""
        place = self.folder(method, seed)
        self.drop_checkpoint(method, seed)
        self.write_text(str(place.relative_to(self.out)) + _ERROR, text)

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the folder at once: the old content stays until the new is complete."""
        path = self.out / name
        with self._guard(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                file.write(text.encode("utf-8", "backslashreplace"))

    @contextmanager
    def _guard(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"cannot write {path}: {error.strerror or error}. Finished runs are kept: free "
                "some space or mend the folder, and run the same command again."
            ) from error


def _kept(folder: Path) -> Iterator[Path]:
    """Trainings in a folder of checkpoints; of any other folder, nothing."""
    if folder.suffix == _CHECKPOINT:
        yield from (*folder.glob("*.pt"), *folder.glob("*.pt.lock"))


def _evidence(folder: Path) -> dict[str, Any] | None:
    """What a run shows in the report; a run without it is whole all the same."""
    try:
        found = json.loads((folder / _EVIDENCE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _packed(arrays: dict[str, Any]) -> bytes:
    """Arrays as an npz, made in memory: numpy's zip file complains where a disk fills up."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, keys joined by dots."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flat(item, f"{prefix}{key}.") if isinstance(item, dict) else {prefix + key: item}
    return found

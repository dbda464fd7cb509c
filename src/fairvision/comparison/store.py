"""The folder of a comparison: one subfolder per run, which is complete or absent."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from fairvision.base import atomic_write
from fairvision.comparison.changes import changes
from fairvision.comparison.plan import Plan
from fairvision.comparison.run import Predictions, Run
from fairvision.comparison.serialization import dumps
from fairvision.comparison.validation import check_run
from fairvision.exceptions import RunError

__all__ = ["GROUPS", "Store"]

_ARRAYS = ("rows", "y_true", "y_pred", "y_score")
_VALIDATION = "validation_"  # before the names of the same arrays of validation rows
_APART = (*_ARRAYS, "validation", "artifacts", "model")  # all but these are in run.json
_PLAN, _RUN, _PREDICTIONS, _ERROR = "plan.json", "run.json", "predictions.npz", ".error.txt"
_ARTIFACTS = "artifacts.json"
_MODEL = "model.safetensors"
_SUMMARY = "comparison.json"
GROUPS = "groups.csv"
_RESULTS = ("results.csv", _SUMMARY, "report.html")
_CHECKPOINT = ".checkpoint"
_LOCK = ".lock"
# Files that a comparison leaves if it is killed before its plan is written.
_BEGUN = {_LOCK, f".{_PLAN}.partial"}
# No dots and no capitals: no label can collide with our own files or with another label's folder.
_SAFE = re.compile(r"[a-z0-9][a-z0-9_=-]{0,63}")


class Store:
    """Reads and writes ``out/``.

    Layout::

        out/plan.json                      what was asked for
        out/results.csv, comparison.json   a row a run, and all numbers
        out/report.html                    the same to look at
        out/groups.csv                     groups of all rows, where there are validation rows
        out/METHOD/seed-0/run.json         metrics, training curves, seconds
        out/METHOD/seed-0/predictions.npz  rows, y_true, y_pred, y_score; of validation rows, too
        out/METHOD/seed-0/model.safetensors  the fitted estimator, if asked for
        out/METHOD/seed-0/artifacts.json   pictures for the report, first seed only
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
    def open(self, plan: Plan, *, rerun: bool = False) -> Iterator[None]:
        """Lock the folder while runs are written to it, or refuse it.

        The operating system releases the lock when the process ends. Reading needs no lock.

        Raises
        ------
        RunError
            If another process holds the lock, the folder holds a link or something other
            than a comparison, or runs with another request are stored there and `rerun`
            is False. Nothing is changed then.
        """
        self.refuse_links()
        self._stored()  # before the lock: it would be a file in a folder that is not ours
        with self._locked():
            changed = self._changes(plan)
            if changed and not rerun:
                raise RunError(
                    f"{self.out} holds runs of another request: {'; '.join(changed)}. Pass "
                    "--rerun (rerun=True) to repeat these runs, or another --out."
                )
            with self._guard(self.out):
                for name in _RESULTS if changed else ():
                    (self.out / name).unlink(missing_ok=True)
            self.write_text(_PLAN, dumps(plan.to_dict()))
            yield

    def _changes(self, plan: Plan) -> list[str]:
        """The differences between the stored plan and runs and this plan, in words."""
        stored = self._stored()
        if not any(self.out.glob(f"*/seed-*/{_RUN}")):
            return []  # no run was finished, so that nothing can be lost
        common = plan.common()
        differences = [] if stored is None else changes({k: stored.get(k) for k in common}, common)
        for method, seed in product(plan.methods, plan.seeds):
            run = _read_object(self.folder(method.label, seed) / _RUN) or {}
            if isinstance(request := run.get("request"), dict):
                differences += changes(request, plan.request(method, seed), method.label)
        return list(dict.fromkeys(differences))

    def refuse_links(self) -> None:
        """Refuse a folder with links: a file written through one would land elsewhere.

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
                    "same command again, which then reuses its runs; or pass another --out."
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
                f"{self.out / _PLAN} cannot be read: {error}. Repair or move the file."
            ) from error
        if isinstance(stored, dict) and {"dataset", "split", "methods"} <= stored.keys():
            return stored
        if self.out.is_dir() and {path.name for path in self.out.iterdir()} - _BEGUN:
            raise RunError(
                f"{self.out} is not empty and holds no comparison. Pass another --out, or empty it."
            )
        return None

    def folder(self, method: str, seed: int) -> Path:
        """Folder of a run. A label that is no plain name gets a hash."""
        name = method
        if not _SAFE.fullmatch(method):
            digest = hashlib.sha256(method.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            name = f"{re.sub('[^a-z0-9]+', '-', method.lower())[:40].strip('-')}.{digest}"
        return self.out / name.lstrip(".") / f"seed-{seed}"

    def model(self, method: str, seed: int) -> Path | None:
        """The file of a run's fitted estimator, if it was kept."""
        path = self.folder(method, seed) / _MODEL
        return path if path.is_file() else None

    def checkpoint(self, method: str, seed: int) -> Path:
        """Folder of the training checkpoints of a run, until the run is stored."""
        place = self.folder(method, seed)
        return place.with_name(f".{place.name}{_CHECKPOINT}")

    def drop_checkpoint(self, method: str, seed: int) -> None:
        """Remove them: the run is stored, or failed and starts anew."""
        folder = self.checkpoint(method, seed)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)

    def read(self, method: str, seed: int, request: dict[str, Any]) -> Run | None:
        """A finished run of exactly this request, or None.

        A run that cannot be read is done again.
        """
        run = self.find(method, seed)
        return run if run is not None and run.request == request else None

    def find(self, method: str, seed: int) -> Run | None:
        """A finished run of any request, or None."""
        folder = self.folder(method, seed)
        try:
            fields = json.loads((folder / _RUN).read_text(encoding="utf-8"))
            # Opened here: numpy leaves a damaged archive open.
            with (
                (folder / _PREDICTIONS).open("rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                columns = {name: arrays.get(name) for name in _ARRAYS}
                held_out = {name: arrays.get(_VALIDATION + name) for name in _ARRAYS}
            validation = None if held_out["rows"] is None else Predictions(**held_out)
            artifacts = _read_object(folder / _ARTIFACTS)
            run = Run(**fields, **columns, validation=validation, artifacts=artifacts)
            check_run(run)
        except Exception:  # a damaged archive raises anything from BadZipFile to zlib.error
            return None
        return run if (run.method, run.seed) == (method, seed) else None

    def summary(self) -> dict[str, Any]:
        """The results of the last comparison in this folder.

        Raises
        ------
        RunError
            If the folder holds no finished comparison.
        """
        path = self.out / _SUMMARY
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            if {"plan", "results", "summary", "methods"} <= summary.keys():
                return dict(summary)
            reason = "it lacks data that a report needs; run the same `fairvision compare` again"
        except FileNotFoundError:
            reason = "there is none; pass the --out of a finished `fairvision compare`"
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            reason = f"{error}; run the same `fairvision compare` once more"
        raise RunError(f"{path} cannot be read: {reason}.")

    def groups(self) -> str:
        """The group table as CSV text; it exists if the runs have validation rows.

        Raises
        ------
        RunError
            If there is none.
        """
        try:
            return (self.out / GROUPS).read_text(encoding="utf-8")
        except OSError as error:
            raise RunError(
                f"{self.out} holds no predictions for validation rows, and test rows must not "
                f"choose a method ({GROUPS}: {error.strerror}). Compare with "
                "--validation-fraction 0.2 into another --out, or on data with a split 'valid'."
            ) from error

    def write(self, run: Run) -> None:
        """Store a run: all of it or nothing."""
        place = self.folder(run.method, run.seed)
        fields = {k: v for k, v in vars(run).items() if k not in _APART}
        held_out = {} if run.validation is None else vars(run.validation)
        arrays = {k: getattr(run, k) for k in _ARRAYS}
        arrays |= {_VALIDATION + k: v for k, v in held_out.items()}
        arrays = {k: v for k, v in arrays.items() if v is not None}
        # The same name at the next attempt, which removes what a kill left there.
        scratch = place.with_name(f".{place.name}.partial")
        with self._guard(place):
            try:
                shutil.rmtree(scratch, ignore_errors=True)
                scratch.mkdir(parents=True)
                _write(scratch / _RUN, dumps(fields).encode())
                _write(scratch / _PREDICTIONS, _packed(arrays))
                if run.artifacts is not None:
                    _write(scratch / _ARTIFACTS, dumps(run.artifacts).encode())
                if run.model is not None:
                    _write(scratch / _MODEL, run.model)
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
                "some space or repair the folder, and run the same command again."
            ) from error


def _read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object; None if there is none, or it cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _packed(arrays: dict[str, Any]) -> bytes:
    """Arrays as an npz, made in memory: numpy's zip file complains where a disk fills up."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)

"""The folder of a comparison: one folder a run, each complete or not there at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fairvision.comparison.execute import Run
from fairvision.comparison.plan import Plan
from fairvision.exceptions import RunError

__all__ = ["Store"]

_ARRAYS = ("rows", "y_true", "y_pred", "y_score")
_RUN, _PREDICTIONS = "run.json", "predictions.npz"


class Store:
    """Reads and writes ``out/``.

    Layout::

        out/plan.json                      what was asked for
        out/results.csv, comparison.json   the table, a row a run, and all numbers
        out/METHOD/seed-0/run.json         metrics, history, seconds, versions
        out/METHOD/seed-0/predictions.npz  rows, y_true, y_pred, y_score
        out/METHOD/seed-0.error.txt        why a run failed

    A run is written to a temporary folder beside its place and renamed, so that
    a killed process or a full disk never leaves half a run.

    Parameters
    ----------
    out : str or Path
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)

    def open(self, plan: Plan, *, overwrite: bool = False) -> None:
        """Make the folder, or check that what it holds belongs to the same comparison.

        Raises
        ------
        RunError
            If the folder holds something else; nothing is touched then.
        """
        path = self.out / "plan.json"
        if overwrite and path.exists():
            self._clear(plan)
        if path.exists():
            self._check_same(plan, json.loads(path.read_text(encoding="utf-8")))
        elif self.out.is_dir() and any(self.out.iterdir()):
            raise RunError(
                f"{self.out} is not empty and holds no comparison. Pass another --out, or empty it."
            )
        self.write_text("plan.json", _json(plan.to_dict()))

    def _clear(self, plan: Plan) -> None:
        """Remove the runs of an earlier comparison: only folders that it made."""
        for run in self.out.glob("*/seed-*/" + _RUN):
            shutil.rmtree(run.parent)

    def _check_same(self, plan: Plan, stored: dict[str, Any]) -> None:
        # Through JSON, so that tuples and lists compare alike.
        mine = json.loads(_json(plan.common()))
        differing = [key for key, value in mine.items() if stored.get(key) != value]
        if differing:
            key = differing[0]
            raise RunError(
                f"{self.out} holds another comparison: its {key} is {stored.get(key)}, this one's "
                f"{mine[key]}. Pass another --out, or --overwrite to replace its runs."
            )

    def folder(self, method: str, seed: int) -> Path:
        """Where a run lies. Labels are made safe: they may hold anything."""
        return self.out / re.sub(r"[^A-Za-z0-9._=,-]+", "_", method).lstrip(".") / f"seed-{seed}"

    def read(self, method: str, seed: int, identity: str) -> Run | None:
        """A finished run of exactly this identity, or None.

        A folder that cannot be read counts as not run: it is done again.
        """
        folder = self.folder(method, seed)
        try:
            fields = json.loads((folder / _RUN).read_text(encoding="utf-8"))
            with np.load(folder / _PREDICTIONS, allow_pickle=False) as arrays:
                columns = {name: arrays[name] if name in arrays else None for name in _ARRAYS}
            run = Run(**fields, **columns)  # type: ignore[arg-type]
        except (OSError, ValueError, TypeError, KeyError, EOFError):
            return None
        return run if run.identity == identity else None

    def write(self, run: Run) -> None:
        """Store a run: all of it or nothing."""
        place = self.folder(run.method, run.seed)
        fields = {k: v for k, v in vars(run).items() if k not in _ARRAYS}
        arrays = {k: v for k in _ARRAYS if (v := getattr(run, k)) is not None}
        with self._guard(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            scratch = place.parent / f".{place.name}.{uuid.uuid4().hex}"
            try:
                scratch.mkdir()
                _write(scratch / _RUN, lambda file: file.write(_json(fields).encode()))
                _write(scratch / _PREDICTIONS, lambda file: np.savez_compressed(file, **arrays))
                if place.exists():
                    shutil.rmtree(place)
                os.rename(scratch, place)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        place.with_name(place.name + ".error.txt").unlink(missing_ok=True)

    def write_error(self, method: str, seed: int, text: str) -> None:
        """Keep the traceback of a run that failed."""
        place = self.folder(method, seed)
        self.write_text(str(place.relative_to(self.out)) + ".error.txt", text)

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the folder at once: the old content stays until the new is complete."""
        path = self.out / name
        with self._guard(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
            try:
                _write(scratch, lambda file: file.write(text.encode()))
                os.replace(scratch, path)
            finally:
                scratch.unlink(missing_ok=True)

    @contextmanager
    def _guard(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"cannot write {path}: {error.strerror or error}. Finished runs are kept: free "
                "some space or mend the folder, and run the same command again."
            ) from error


def _write(path: Path, fill: Callable[[Any], Any]) -> None:
    with path.open("wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=repr)

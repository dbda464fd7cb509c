"""A file of predictions that is written row by row, and can be resumed."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, Self

from fairvision.base import atomic_write
from fairvision.exceptions import InputError, RunError
from fairvision.models.columns import PROBABILITY, PredictionColumns
from fairvision.models.labels import Picture

__all__ = ["PredictionFile"]

Format = Literal["csv", "parquet", "json"]


class PredictionFile:
    """Rows of predictions on disk: CSV, JSON Lines, or Parquet.

    Each row is written as soon as it is predicted. An existing file is continued: an incomplete
    last line is removed, and `done` lists the pictures in the file. Parquet cannot be extended,
    so its rows are written to a CSV beside it, which `finish` converts.

    Parameters
    ----------
    path : Path or None
        None writes to stdout.
    columns : PredictionColumns
    model : str
        Identifier of the model, in the last column of each row.
    form : {"csv", "parquet", "json"}
    pictures : iterable of Picture, default=()
        The pictures to predict; used only if the file exists.

    Attributes
    ----------
    done : set of str
        Names of the pictures that the file contains.

    Raises
    ------
    InputError
        If the existing file has other columns, is from another model, or is not a file of
        predictions, or if a picture in it has changed since its last row was written.
    RunError
        If it cannot be read or written.
    """

    def __init__(
        self,
        path: Path | None,
        columns: PredictionColumns,
        model: str,
        form: Format,
        pictures: Iterable[Picture] = (),
    ) -> None:
        self.names = columns.names()
        self.model = model
        self.form = form
        self.pictures = pictures
        self.place = path
        self.parquet = path if form == "parquet" else None
        if self.parquet is not None:
            self.place = self.parquet.with_name(f"{self.parquet.name}.partial.csv")
        self.done: set[str] = set()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        with self._guard():
            length = 0
            if self.place is None:
                self._file = sys.stdout.buffer
            else:
                finished = self.parquet if not self.place.exists() else None
                if finished is not None and finished.is_file():
                    self._from_parquet(finished, self.place)
                    os.utime(self.place, ns=(0, finished.stat().st_mtime_ns))
                if self.place.is_file():
                    length = self._read(self.place)
                    self._check_unchanged(self.place.stat().st_mtime_ns)
                    os.truncate(self.place, length)
                self._file = self.place.open("ab")
            if not length and self.form != "json":
                self._file.write(_csv_lines([self.names]))
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None and self.place is not None:
            # After an error, that of closing is the same once more: a full disk.
            with self._guard() if exc[0] is None else suppress(OSError):
                self._file.close()

    def write(self, rows: Iterable[Sequence[Any]]) -> int:
        """Add rows, each a value for every column but the last; return how many."""
        assert self._file is not None
        whole = [[*row, self.model] for row in rows]
        with self._guard():
            self._file.write(self._lines(whole))
            self._file.flush()
        return len(whole)

    def finish(self) -> None:
        """Convert the CSV beside the file to Parquet."""
        if self.parquet is not None and self.place is not None:
            with self._guard():
                _to_parquet(self.place, self.parquet)
                self.place.unlink()

    def _lines(self, rows: list[list[Any]]) -> bytes:
        if self.form != "json":
            return _csv_lines(rows)
        lines = (json.dumps(dict(zip(self.names, row, strict=True))) + "\n" for row in rows)
        return "".join(lines).encode()

    # -- what is there ----------------------------------------------------------------

    def _read(self, place: Path) -> int:
        """Note the pictures of the file; return the length of its whole rows."""
        length = 0
        with place.open("rb") as file:
            lines = _Lines(file)
            read = _json_rows if self.form == "json" else csv.reader
            try:
                for row in read(lines, strict=True):
                    if length or self.form == "json":
                        self._note(row)
                    elif row != self.names:
                        self._refuse("it has other columns")
                    length = lines.length
            except InputError:
                raise
            except (csv.Error, ValueError):
                if not lines.ended:  # else its last row was cut
                    self._refuse("it is not a file of predictions")
        first = b'{"path": ' if self.form == "json" else _csv_lines([self.names])
        if not length and (lines.length or not first.startswith(lines.rest[: len(first)])):
            self._refuse("it is not a file of predictions")
        return length

    def _from_parquet(self, path: Path, place: Path) -> None:
        """Write the rows of a finished Parquet as the CSV that it was made of."""
        from pyarrow import ArrowInvalid, parquet

        try:
            table = parquet.ParquetFile(path)
        except ArrowInvalid:
            self._refuse("it is not a file of predictions", path)
        with table, atomic_write(place) as file:
            if table.schema_arrow.names != self.names:
                self._refuse("it has other columns", path)
            file.write(_csv_lines([self.names]))
            for block in table.iter_batches():
                columns = block.to_pydict().values()
                if {*block[-1].to_pylist()} - {self.model}:
                    self._refuse(f"it is not from the model {self.model}", path)
                file.write(_csv_lines(zip(*columns, strict=True)))

    def _note(self, row: Any) -> None:
        if len(row) != len(self.names) or row[-1] != self.model:
            self._refuse(f"its row {len(self.done) + 1} is not from the model {self.model}")
        self.done.add(row[0])

    def _check_unchanged(self, written: int) -> None:
        """Refuse to continue if a picture is newer than the file that holds its row."""
        for picture in self.pictures if self.done else ():
            if picture.name in self.done:
                with suppress(OSError):  # reading it says what is wrong
                    if os.stat(picture.path).st_mtime_ns > written:
                        self._refuse(f"{picture.name!r} was changed since it was predicted")

    def _refuse(self, reason: str, path: Path | None = None) -> NoReturn:
        raise InputError(
            f"{path or self.place} exists, but cannot be continued: {reason}. Choose another name, "
            "or remove the file."
        )

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.place is None:  # who reads stdout went away
                raise
            raise RunError(
                f"cannot write {self.place}: {error.strerror or error}. Written rows are kept: "
                "free some space or repair the folder, and run the same command again."
            ) from error


class _Lines:
    """The whole lines of a file, as text; `length` is that of those that were read.

    What is left after the last line end is `rest`. File names that are not UTF-8 survive.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.length = 0
        self.ended = False
        self.rest = b""

    def __iter__(self) -> Iterator[str]:
        for line in self.file:
            if not line.endswith(b"\n"):
                self.rest = line
                break
            self.length += len(line)
            yield line.decode("utf-8", "surrogateescape")
        self.ended = True


def _json_rows(lines: Iterable[str], *, strict: bool) -> Iterator[list[Any]]:
    for line in lines:
        row = json.loads(line, strict=strict)
        if not isinstance(row, dict):
            raise ValueError
        yield list(row.values())


def _csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _to_parquet(source: Path, path: Path) -> None:
    """A CSV of predictions as Parquet, a block at a time."""
    from pyarrow import csv as arrow
    from pyarrow import float64, parquet, string

    with source.open("rb") as file:
        (names,) = csv.reader([file.readline().decode()])
    kinds = {n: float64() if n.startswith(PROBABILITY) else string() for n in names}
    with (
        arrow.open_csv(
            source,
            parse_options=arrow.ParseOptions(newlines_in_values=True),
            convert_options=arrow.ConvertOptions(column_types=kinds, strings_can_be_null=True),
        ) as blocks,
        atomic_write(path) as made,
        parquet.ParquetWriter(made, blocks.schema) as writer,
    ):
        for block in blocks:
            writer.write_batch(block)

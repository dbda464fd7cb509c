"""Progress over runs, and over epochs of serial runs: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from skorch.callbacks import Callback

from fairvision.plugins import clean

__all__ = ["EpochCallback", "Progress"]

Key = tuple[str, int]


class Progress:
    """Shows finished runs, and the epochs of a run in this process, on stderr.

    Parameters
    ----------
    total : int
        Runs to do.
    max_epochs : int
        Epochs of a run.
    show : bool
    """

    def __init__(self, total: int, max_epochs: int, *, show: bool = True) -> None:
        self.total = total
        self.max_epochs = max_epochs
        self.done = 0
        self._bar = self._make_bar() if show and sys.stderr.isatty() else None
        self._lines = show and self._bar is None
        self._epochs: dict[Key, Any] = {}

    def _make_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        return Progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True, markup=False, highlight=False),
        )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._runs = self._bar.add_task("runs", total=self.total)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            for key in list(self._epochs):
                self._remove(key)
            self._bar.stop()

    def callbacks(self, label: str, seed: int) -> list[EpochCallback]:
        """Start to show the epochs of a run in this process; what its nets must call."""
        report = partial(self._show_epoch, (label, seed))
        report(0)
        return [EpochCallback(report)]

    def _show_epoch(self, key: Key, n: int) -> None:
        if self._bar is None:
            return
        if key not in self._epochs:
            self._epochs[key] = self._bar.add_task(_name(*key), total=self.max_epochs)
        self._bar.update(self._epochs[key], completed=n)

    def finish(self, label: str, seed: int, what: str) -> None:
        """A run is over: it was done, found on disk, or failed."""
        self.done += 1
        line = f"[{self.done}/{self.total}] {_name(label, seed)}: {clean(what)}"
        if self._bar is not None:
            self._bar.refresh()  # a run shorter than the bar's own tick shows its end too
            self._remove((label, seed))
            self._bar.advance(self._runs)
            self._bar.refresh()
        self.say(line)

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._bar is not None:
            self._bar.console.print(line)
        if self._lines:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def _remove(self, key: Key) -> None:
        if self._bar is not None and key in self._epochs:
            self._bar.remove_task(self._epochs.pop(key))


def _name(label: str, seed: int) -> str:
    return f"{clean(label, limit=60)}, seed {seed}"


class EpochCallback(Callback):
    """Counts epochs, and calls a function with their number after each."""

    only_watches = True  # checkpoints of a training are the same without it

    def __init__(self, report: Callable[[int], None]) -> None:
        self.report = report
        self.n = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.n += 1
        self.report(self.n)

    def __sklearn_clone__(self) -> EpochCallback:
        # There is one terminal: clones of an estimator report to the same bar.
        return self

    def __deepcopy__(self, memo: Any) -> EpochCallback:
        return self

"""Progress over runs and epochs: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any, Self

from skorch.callbacks import Callback

__all__ = ["EpochCallback", "Progress"]


class Progress:
    """Shows runs and the epochs within them.

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
        self._bar = self._make_bar() if show and total and sys.stderr.isatty() else None
        self._lines = show and self._bar is None

    def _make_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        return Progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._runs = self._bar.add_task("runs", total=self.total)
            self._epochs = self._bar.add_task("epochs", total=self.max_epochs)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, label: str, seed: int) -> None:
        """A run begins."""
        if self._bar is not None:
            self._bar.reset(self._epochs, description=f"{label}, seed {seed}")

    def epoch(self) -> None:
        """An epoch of the current run is over."""
        if self._bar is not None:
            self._bar.advance(self._epochs)

    def finish(self, label: str, seed: int, what: str) -> None:
        """A run is over: it was done, found on disk, or failed."""
        self.done += 1
        if self._bar is not None:
            self._bar.advance(self._runs)
        if self._lines:
            line = f"[{self.done}/{self.total}] {label}, seed {seed}: {what}"
            print(line, file=sys.stderr, flush=True)


class EpochCallback(Callback):
    """Tells a `Progress` of each epoch."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.progress.epoch()

    def __sklearn_clone__(self) -> EpochCallback:
        # There is one terminal: clones of an estimator report to the same bar.
        return self

    def __deepcopy__(self, memo: Any) -> EpochCallback:
        return self

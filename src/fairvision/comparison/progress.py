"""Progress over runs and epochs: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any, Self

from skorch.callbacks import Callback

from fairvision.plugins import clean

__all__ = ["EpochCallback", "Progress"]


class Progress:
    """Shows runs and the epochs within them, on stderr.

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
            self._epochs = self._bar.add_task("epochs", total=self.max_epochs, visible=False)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.update(self._epochs, visible=False)
            self._bar.stop()

    def start(self, label: str, seed: int) -> None:
        """A run begins."""
        if self._bar is not None:
            self._bar.reset(self._epochs, description=_name(label, seed), visible=True)

    def epoch(self) -> None:
        """An epoch of the current run is over."""
        if self._bar is not None:
            self._bar.advance(self._epochs)

    def finish(self, label: str, seed: int, what: str) -> None:
        """A run is over: it was done, found on disk, or failed."""
        self.done += 1
        line = f"[{self.done}/{self.total}] {_name(label, seed)}: {clean(what)}"
        if self._bar is not None:
            self._bar.advance(self._runs)
            self._bar.refresh()  # a run shorter than the bar's own tick shows its end too
            self._bar.console.print(line)
        if self._lines:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def _name(label: str, seed: int) -> str:
    return f"{clean(label, limit=60)}, seed {seed}"


class EpochCallback(Callback):
    """Tells a `Progress` of each epoch."""

    only_watches = True  # checkpoints of a training are the same without it

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.progress.epoch()

    def __sklearn_clone__(self) -> EpochCallback:
        # There is one terminal: clones of an estimator report to the same bar.
        return self

    def __deepcopy__(self, memo: Any) -> EpochCallback:
        return self

"""Progress over runs and epochs: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any, Self

from skorch.callbacks import Callback

from fairvision.comparison.messages import mailbox
from fairvision.plugins import clean

__all__ = ["EpochCallback", "Progress"]

Key = tuple[str, int]


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
        self._epochs: dict[Key, Any] = {}
        self._over: set[Key] = set()
        self._lock = Lock()

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

    def teller(self, label: str, seed: int) -> Callable[[int], None]:
        """A run begins; a function that takes the number of epochs it has done."""
        tell = partial(self.epoch, (label, seed))
        tell(0)
        return tell

    @contextmanager
    def tellers(self, keys: Sequence[Key], cluster: str | None) -> Iterator[Sequence[Any]]:
        """The same of runs in other processes: a function each, that may be sent there.

        None each where no bar shows what they say, or where no message can be received.
        """
        if self._bar is None:
            yield [None] * len(keys)
            return
        with mailbox(cluster, len(keys), lambda i, n: self.epoch(keys[i], n)) as senders:
            yield senders

    def epoch(self, key: Key, n: int) -> None:
        """A run has done `n` epochs."""
        if self._bar is None:
            return
        with self._lock:
            if key in self._over:  # a message that was late
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
            self._bar.console.print(line)
        if self._lines:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def _remove(self, key: Key) -> None:
        with self._lock:
            self._over.add(key)
            if self._bar is not None and key in self._epochs:
                self._bar.remove_task(self._epochs.pop(key))


def _name(label: str, seed: int) -> str:
    return f"{clean(label, limit=60)}, seed {seed}"


class EpochCallback(Callback):
    """Counts epochs, and tells each time how many there were."""

    only_watches = True  # checkpoints of a training are the same without it

    def __init__(self, tell: Callable[[int], None]) -> None:
        self.tell = tell
        self.n = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.n += 1
        self.tell(self.n)

    def __sklearn_clone__(self) -> EpochCallback:
        # There is one terminal: clones of an estimator report to the same bar.
        return self

    def __deepcopy__(self, memo: Any) -> EpochCallback:
        return self

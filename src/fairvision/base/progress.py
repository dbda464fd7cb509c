"""A progress bar on stderr."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import Any, Self, TypeVar

__all__ = ["ProgressBar", "progress_bar"]

Item = TypeVar("Item")


class ProgressBar:
    """A progress bar on stderr, shown while its ``with`` block runs.

    Parameters
    ----------
    total : int
        Steps.
    label : str
        Text before the bar.
    show : bool or None
        None shows it where stderr is a terminal. There is no second bar
        while another one is on the screen.
    """

    def __init__(self, total: int, label: str, *, show: bool | None = None) -> None:
        self.total = total
        self.label = label
        self.show = sys.stderr.isatty() if show is None else show
        self._bar: Any = None

    def __enter__(self) -> Self:
        if not self.show:
            return self
        from rich.console import Console
        from rich.errors import LiveError
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bar = Progress(*columns, console=Console(stderr=True, markup=False))
        try:
            bar.start()
        except LiveError:
            return self
        self._task, self._bar = bar.add_task(self.label, total=self.total), bar
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def advance(self, label: str | None = None) -> None:
        """Count one more step, and change the text if there is a new one."""
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=label)

    def update(self, n_done: int, label: str | None = None) -> None:
        """Set the number of finished steps, and change the text if there is a new one."""
        if self._bar is not None:
            self._bar.update(self._task, completed=n_done, description=label)


def progress_bar(
    items: Collection[Item], label: str, *, show: bool | None = None
) -> Iterator[Item]:
    """Go through the items with a `ProgressBar`.

    Parameters
    ----------
    items : collection
    label : str
        Text before the bar.
    show : bool or None
        None shows the bar where stderr is a terminal.
    """
    with ProgressBar(len(items), label, show=show) as bar:
        for item in items:
            yield item
            bar.advance()

"""A bar with the critic's estimate."""

from __future__ import annotations

from typing import Any

__all__ = ["CriticBar"]


class CriticBar:
    """Shows on stderr how far the GAN is, and how far its images seem from real ones.

    Parameters
    ----------
    total : int
        Steps.
    show : bool
    """

    def __init__(self, total: int, *, show: bool) -> None:
        self._bar: Any = None
        if show:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

            columns = ("{task.description}", BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self._task = self._bar.add_task("GAN", total=total)
            self._bar.start()

    def show(self, entry: dict[str, Any]) -> None:
        """Show the newest entry of the history."""
        if self._bar is not None:
            text = f"GAN, {entry['resolution']} pixels, critic {entry['estimate']:.2f}"
            self._bar.update(self._task, completed=entry["step"], description=text)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()

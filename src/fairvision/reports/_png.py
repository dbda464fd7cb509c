"""A matplotlib figure as a PNG file, in the report's colours."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fairvision.base import atomic_write
from fairvision.exceptions import InputError
from fairvision.reports._svg import COLOURS, STYLE

__all__ = ["read_note", "write_figure"]

_DPI = 120


def write_figure(
    draw: Callable[[], Any], path: str | Path, *, notes: Mapping[str, str] | None = None
) -> Path:
    """Call `draw` and keep the figure that it returns.

    Lines take colours that readers with any colour vision tell apart.

    Parameters
    ----------
    draw : callable
        Returns a ``matplotlib.figure.Figure``, made without pyplot.
    path : str or Path
        Its folder is made if it is not there. The file is there whole or not at all.
    notes : mapping of str to str, optional
        Kept in the file, for `read_note`.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If `draw` returns something else.
    OSError
        If the file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.rcsetup import cycler

    path = Path(path)
    style: dict[Any, Any] = {
        **STYLE,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "axes.prop_cycle": cycler(color=COLOURS),
    }
    with matplotlib.rc_context(style):
        figure = draw()
        if not isinstance(figure, Figure):
            raise InputError(
                f"it returned {type(figure).__name__}; a figure's function returns a "
                "matplotlib.figure.Figure."
            )
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=_DPI, metadata=dict(notes or {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(picture.getvalue())
    return path


def read_note(path: str | Path, name: str) -> str | None:
    """A note that `write_figure` kept; None if there is no such file, or it is no picture."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()  # half a file has its notes too
            return picture.info.get(name)
    except (OSError, SyntaxError, ValueError):
        return None

"""matplotlib figures as small SVG pictures that follow the reader's light or dark mode."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["COLOURS", "GRID", "INK", "MARKERS", "MUTED", "STYLE", "Picture", "colour", "picture"]

INK, MUTED, GRID = "#1d2126", "#59616b", "#d5d9df"
#: Colours that readers with any colour vision can tell apart, with contrast 3:1 on white; markers
#: repeat the distinction.
COLOURS = ("#0060a8", "#c84a00", "#007a58", "#a4457f", "#7a5c00", "#5a48b0", "#3d6b75", "#8c3b3b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: The same on a dark page.
_DARK = (
    "#e9ebee",
    "#a7afb9",
    "#3d434b",
    *("#63b3f0", "#ff9552", "#38c99c", "#e794c4", "#e0bd4d", "#ab9df5", "#86bcc8", "#e58f8f"),
)
#: Of all pictures. The page gives the background.
STYLE: dict[Any, Any] = {
    # Text stays text: smaller files, sharp at any size. A label is never read as a formula.
    "svg.fonttype": "none",
    "svg.hashsalt": "fairvision",
    "text.parse_math": False,
    "text.usetex": False,
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": GRID,
    "axes.axisbelow": True,
}


class Picture(NamedTuple):
    """A picture as a data: address, and what it shows in words."""

    src: str
    alt: str


def colour(i: int) -> str:
    """The colour of group `i`."""
    return COLOURS[i % len(COLOURS)]


def picture(
    draw: Callable[[Any], None], alt: str, size: tuple[float, float], *, rows: int = 0
) -> Picture:
    """Call `draw` with axes (a list of them if `rows`), and keep the picture.

    Parameters
    ----------
    draw : callable
    alt : str
        What the picture says, in words.
    size : (float, float)
        Width and height in inches.
    rows : int, default=0
        Axes one above the other; 0 for single axes.
    """
    import matplotlib
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # The reader's fonts draw the text, not the one that matplotlib measures with.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(max(rows, 1), 1, squeeze=False)[:, 0]
        draw(list(axes) if rows else axes[0])
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue().replace("</style>", _rules() + "</style>", 1)
    code = base64.b64encode(svg.encode()).decode()
    return Picture(f"data:image/svg+xml;base64,{code}", alt)


def _rules() -> str:
    """The reader's own font, and other colours on a dark page."""
    dark = "".join(
        f'[style*="{paint}: {light}"]{{{paint}:{other}!important}}'
        for light, other in zip((INK, MUTED, GRID, *COLOURS), _DARK, strict=True)
        for paint in ("fill", "stroke")
    )
    return (
        "text{font-family:system-ui,sans-serif!important}"
        f"@media (prefers-color-scheme:dark){{{dark}}}"
    )

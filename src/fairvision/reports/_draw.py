"""Draw on axes, from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fairvision.reports._svg import GRID, INK, MARKERS, MUTED, colour
from fairvision.reports._words import Estimate, short

__all__ = [
    "LEAST_IN_BIN",
    "Point",
    "bars",
    "calibration",
    "curves",
    "embedding",
    "front",
    "tradeoff",
]

#: The share of a bin with fewer rows is too noisy to draw.
LEAST_IN_BIN = 5


class Point(NamedTuple):
    """A method in the plane of gap and accuracy."""

    label: str
    gap: Estimate
    accuracy: Estimate
    baseline: bool
    control: bool = False

    @property
    def marker(self) -> str:
        """A square for plain training, a diamond for it on balanced rows."""
        return "s" if self.baseline else "D" if self.control else "o"


def front(points: Sequence[Point]) -> list[Point]:
    """The Pareto front, smallest gap first. The balanced baseline had other rows: left out."""
    kept: list[Point] = []
    for point in sorted(
        (p for p in points if not p.control), key=lambda p: (p.gap.value, -p.accuracy.value)
    ):
        if not kept or point.accuracy.value > kept[-1].accuracy.value:
            kept.append(point)
    return kept


def tradeoff(
    ax: Any, points: Sequence[Point], gap_name: str, names: Sequence[str] | None = None
) -> None:
    """Accuracy over gap, a point a method with both intervals, the Pareto front as a line.

    `names` stand beside the points in place of their labels.
    """
    best = front(points)
    x, y = ([getattr(p, axis).value for p in best] for axis in ("gap", "accuracy"))
    ax.step(x, y, where="post", color=colour(0), linewidth=4, alpha=0.3, zorder=1)
    for point in points:
        _point(ax, point, point in best)
    ax.set_xlabel(f"{gap_name} (smaller is better)")
    ax.set_ylabel("accuracy")
    ax.grid(True, linewidth=0.6, color=GRID)
    ax.margins(0.16, 0.1)
    _label(ax, points, names or [short(point.label, 24) for point in points])


def _point(ax: Any, point: Point, on_front: bool) -> None:
    reference = point.baseline or point.control
    shade = INK if reference else colour(0) if on_front else MUTED
    ax.errorbar(
        point.gap.value,
        point.accuracy.value,
        xerr=_ends(point.gap),
        yerr=_ends(point.accuracy),
        fmt=point.marker,
        markersize=8 if point.baseline else 7,
        color=shade,
        markerfacecolor=shade if on_front or reference else "none",
        ecolor=MUTED,
        elinewidth=0.7,
        zorder=3,
    )


def _ends(number: Estimate) -> Any:
    if not number.bounded:
        return None
    # A bootstrap interval need not hold the estimate.
    return [[max(number.value - number.lower, 0)], [max(number.upper - number.value, 0)]]


_PLACES = [
    (dx * r, dy * r)
    for r in (8, 16, 26, 38, 52)
    for dx, dy in ((1, 1), (1, -1), (1, 0), (-1, 1), (-1, -1), (-1, 0), (0.5, 1.2), (0.5, -1.2))
]


def _label(ax: Any, points: Sequence[Point], names: Sequence[str]) -> None:
    """A name beside each point, where it covers no other point or name and stays inside."""
    from matplotlib.transforms import Bbox

    ax.figure.draw_without_rendering()  # which settles where the axes lie
    scale, size = 72 / ax.figure.dpi, 9
    spots = {
        p.label: ax.transData.transform((p.gap.value, p.accuracy.value)) * scale for p in points
    }
    frame = Bbox(ax.get_window_extent().get_points() * scale)
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in spots.values()]
    for point, text in zip(points, names, strict=True):
        boxes = [_box(spots[point.label], place, 0.6 * size * len(text)) for place in _PLACES]
        costs = [
            sum(_overlap(box, other) for other in taken) + _overlap(box, box) - _overlap(box, frame)
            for box in boxes
        ]
        dx, dy = _PLACES[int(np.argmin(costs))]
        taken.append(boxes[int(np.argmin(costs))])
        name = ax.annotate(
            text, (point.gap.value, point.accuracy.value), xytext=(dx, dy),
            textcoords="offset points", ha="left" if dx > 0 else "right", va="center",
            fontsize=size, fontweight="bold" if point.marker != "o" else "normal", color=INK,
            arrowprops={"arrowstyle": "-", "color": MUTED, "shrinkB": 4, "linewidth": 0.5}
            if max(abs(dx), abs(dy)) > 10 else None,
        )  # fmt: skip
        name.set_in_layout(False)


def _box(spot: Any, place: tuple[float, float], width: float) -> Any:
    from matplotlib.transforms import Bbox

    x, y = spot[0] + place[0], spot[1] + place[1]
    return Bbox.from_bounds(x if place[0] > 0 else x - width, y - 6, width, 12)


def _overlap(a: Any, b: Any) -> float:
    """Area that two boxes share."""
    shared = a.intersection(a, b)
    return 0.0 if shared is None else shared.width * shared.height


def bars(ax: Any, rows: Sequence[tuple[str, Estimate]], overall: float = math.nan) -> None:
    """A bar a group from 0 to its rate, with its interval; a line at the rate of everyone."""
    for place, (_, rate) in enumerate(rows):
        if rate:
            ax.barh(place, rate.value, height=0.62, color=colour(place), alpha=0.85)
            if rate.bounded:
                ax.errorbar(
                    rate.value, place, xerr=_ends(rate), color=INK, capsize=3, elinewidth=1.2
                )
        else:
            ax.text(0.02, place, "undefined", va="center", color=MUTED)
    ax.set_yticks(range(len(rows)), [short(label, 26) for label, _ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    if not math.isnan(overall):
        ax.axvline(overall, color=MUTED, linewidth=1, linestyle="--", zorder=0)
    ax.tick_params(axis="y", length=0)


def calibration(ax: Any, curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Share of positives over mean score of each bin, a line a group; larger dots are more rows."""
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    for place, bins in enumerate(curves.values()):
        drawn_bins = [b for b in bins if b["n"] >= LEAST_IN_BIN]
        if not drawn_bins:  # the group keeps its colour for the next picture
            continue
        x, y = ([b[key] for b in drawn_bins] for key in ("mean_score", "observed"))
        ax.plot(x, y, color=colour(place), linewidth=1.2, alpha=0.8)
        sizes = [8 + 60 * b["n"] / max(c["n"] for c in drawn_bins) for b in drawn_bins]
        marker = MARKERS[place % len(MARKERS)]
        ax.scatter(x, y, s=sizes, color=colour(place), marker=marker, zorder=3)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="mean score", ylabel="share of positives")


def embedding(ax: Any, points: Mapping[str, Any], groups: Sequence[str]) -> None:
    """Features in two dimensions: colour and marker say the group."""
    x, y = (np.asarray(points[axis], dtype=float) for axis in "xy")
    group_of_point = np.asarray(points["group"], dtype=object)
    for place, group in enumerate(groups):
        mine = group_of_point == group
        marker = MARKERS[place % len(MARKERS)]
        ax.scatter(
            x[mine], y[mine], s=13, color=colour(place), marker=marker, alpha=0.7, linewidths=0
        )
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_aspect("equal", adjustable="datalim")


def curves(rows: Sequence[Any], names: Sequence[str], seeds: Sequence[Any]) -> None:
    """What was measured in each epoch, a line a seed, one above the other."""
    for ax, name in zip(rows, names, strict=True):
        for history in seeds:
            epochs = [epoch.get("epoch", i + 1) for i, epoch in enumerate(history) if name in epoch]
            values = [epoch[name] for epoch in history if name in epoch]
            ax.plot(epochs, values, color=colour(0), linewidth=1.2, marker=".", alpha=0.7)
        ax.set_title(short(name.replace("_", " "), 40), fontsize=9, loc="left")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(True, axis="y", linewidth=0.6, color=GRID)
    rows[-1].set_xlabel("epoch")

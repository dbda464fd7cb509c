"""The report's section: pairs side by side, rows by cell, and samples of each stage."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.exceptions import InputError
from fairvision_latent._source import to_type

__all__ = ["pairs_figure"]

_COLUMNS = 10
_KINDS = 3  # sets of changed attributes that are shown


def pairs_figure(estimator: Any, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Any:
    """Generated images beside their partners, rows before and after, samples by training stage.

    Parameters
    ----------
    estimator : LatentPairSampler, or Resampled with one
        After ``fit_resample``.
    X, y, sensitive_features : ignored
        The pictures are of what was added to the training data.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure  # the object alone: no window, no global state

    sampler = getattr(estimator, "sampler_", estimator)
    if not hasattr(sampler, "pairs_"):
        raise InputError(
            f"{type(sampler).__name__} has made no pairs. Pass a LatentPairSampler after "
            "fit_resample, or a Resampled that was fitted with one."
        )
    strips = [*_pairs(sampler), *_stages(sampler)]
    rows = len(sampler.table_)
    heights = [0.6 + 0.24 * rows] + [0.82] * len(strips)
    figure = Figure(figsize=(7.6, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    _table(figure.add_subplot(grid[0]), sampler)
    for row, (title, images) in enumerate(strips, 1):
        axes = figure.add_subplot(grid[row])
        axes.imshow(_strip(images), aspect="equal", interpolation="nearest")
        axes.set_title(title, fontsize=8.5, loc="left", pad=3)
        axes.set_anchor("W")
        axes.set_axis_off()
    return figure


Strip = tuple[str, NDArray[Any]]


def _pairs(sampler: Any) -> list[Strip]:
    """One column a latent, as many of each cell as fit."""
    if sampler.source_.exact:
        return []  # features are no pictures
    pairs, dtype = sampler.pairs_, np.dtype(np.float32)
    _, cell = np.unique(pairs.labels, axis=0, return_inverse=True)
    order = np.lexsort((np.arange(len(cell)), cell.ravel()))
    columns = order[np.linspace(0, len(order) - 1, min(_COLUMNS, len(order))).astype(int)]
    names = sampler.groups_.names
    strips = [
        (
            "Generated images of latents z, sorted by their labels",
            sampler.source_.images(pairs.z[columns], dtype),
        )
    ]
    for flip, partners in list(zip(pairs.flips, pairs.partners, strict=True))[:_KINDS]:
        changed = " and ".join(name for name, f in zip(names, flip, strict=True) if f)
        verb = "brought to the hyperplane" if sampler.variant == "on-hyperplane" else "changed"
        strips.append(
            (
                f"Their partners z': {changed} {verb}",
                sampler.source_.images(partners[columns], dtype),
            )
        )
    return strips


def _stages(sampler: Any) -> list[Strip]:
    samples = getattr(sampler.generator_, "stage_samples_", {})
    return [
        (f"Samples when the generator had {size} x {size} pixels", images[:_COLUMNS])
        for size, images in sorted(samples.items())
    ]


def _table(axes: Any, sampler: Any) -> None:
    table = sampler.table_
    shares = (table / table.sum()).to_numpy()
    place = np.arange(len(table))
    for column, (name, colour) in enumerate((("before", "0.7"), ("after", "tab:blue"))):
        bars = axes.barh(place + 0.4 * column, shares[:, column], 0.38, color=colour, label=name)
        labels = [f" {n:,}  ({s:.0%})" for n, s in zip(table[name], shares[:, column], strict=True)]
        axes.bar_label(bars, labels, fontsize=7.5)
    axes.set_yticks(place + 0.2, [_words(table.index.names, key) for key in table.index])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * shares.max())
    axes.set_xticks([])
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="lower right", frameon=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    title = "Training rows in each cell, real alone (before) and with the pairs (after)"
    axes.set_title(title, fontsize=8.5, loc="left")


def _words(names: Any, key: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(names, key, strict=True))


def _strip(images: NDArray[Any]) -> NDArray[np.float64]:
    """Images side by side with a white gap, shape (height, width, 3), always as wide."""
    values = to_type(np.asarray(images[:_COLUMNS]), np.float64)
    values = np.pad(values, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=1)
    values = np.concatenate([values, np.ones((_COLUMNS - len(values), *values.shape[1:]))])
    flat = values.transpose(2, 0, 3, 1).reshape(values.shape[2], -1, values.shape[1])
    return np.broadcast_to(flat, (*flat.shape[:2], 3))

"""The report's section: the images that the DB-VAE drew most, and what its latents mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base import take

__all__ = ["latents_figure"]

_COLUMNS = 8
_TRAVERSED = 4
_REACH = (2, 98)  # percentiles that a traversal runs between


def latents_figure(estimator: Any, X: Any, y: ArrayLike, *, sensitive_features: Any = None) -> Any:
    """Most and least likely training images, sample size, reconstructions and traversals.

    Parameters
    ----------
    estimator : DBVAEClassifier
        Fitted. The training images are those it kept (``keep_images``).
    X : array-like of shape (n_samples, n_channels, height, width)
        Test images; the first ones of the debiased classes are reconstructed.
    y : array-like of shape (n_samples,)
    sensitive_features : ignored
        The method knows no groups, and neither do its pictures.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure  # the object alone: no window, no global state

    rows = np.flatnonzero(np.isin(np.asarray(y), estimator.debiased_classes_))
    if not len(rows):
        rows = np.arange(len(X))
    images = take(X, rows[:_COLUMNS])
    strips = [*_extremes(estimator), *_reconstructions(estimator, images)]
    strips += _traversals(estimator, take(X, rows[:200]))
    figure = Figure(figsize=(7.2, 1.9 + 0.95 * len(strips)), layout="constrained")
    grid = figure.add_gridspec(1 + len(strips), 1, height_ratios=[1.9] + [1] * len(strips))
    _sample_size(figure.add_subplot(grid[0]), estimator)
    for place, (title, row) in enumerate(strips, 1):
        axes = figure.add_subplot(grid[place])
        axes.imshow(_strip(row), aspect="equal", interpolation="nearest")
        axes.set_title(title, fontsize=9, loc="left", pad=3)
        axes.set_anchor("W")
        axes.set_axis_off()
    return figure


Strip = tuple[str, NDArray[Any]]


def _extremes(estimator: Any) -> list[Strip]:
    """The training images at both ends, under the trained net's probabilities."""
    most, least = estimator.extreme_images_
    if not len(most):
        return []
    odds = [_odds(estimator, rows) for rows in estimator.extreme_rows_]
    words = ("drawn most often", "drawn least often")
    return [
        (f"Training images {word}: {low:.2g} to {high:.2g} times as often as uniformly", images)
        for word, images, (low, high) in zip(words, (most, least), odds, strict=True)
    ]


def _odds(estimator: Any, rows: NDArray[np.intp]) -> tuple[float, float]:
    odds = estimator.sample_odds_[rows]
    return float(odds.min()), float(odds.max())


def _reconstructions(estimator: Any, images: NDArray[Any]) -> list[Strip]:
    return [
        ("Test images", images),
        ("The same, as their latents draw them", estimator.reconstruct(images)),
    ]


def _traversals(estimator: Any, images: NDArray[Any]) -> list[Strip]:
    """The latents that change a typical image most, over their range on these images."""
    mu = estimator.transform(images)
    typical = images[np.square((mu - np.median(mu, 0)) / (mu.std(0) + 1e-9)).sum(1).argmin()]
    ends = np.percentile(mu, _REACH, axis=0).T
    drawn = [estimator.traverse(typical, latent, pair) for latent, pair in enumerate(ends)]
    effects = np.array([np.abs(first - last).mean() for first, last in drawn])
    strips = []
    for latent in np.argsort(-effects, kind="stable")[:_TRAVERSED].tolist():
        low, high = ends[latent]
        values = np.linspace(low, high, _COLUMNS)
        title = f"One image with latent {latent} from {low:.2g} to {high:.2g}"
        strips.append((title, estimator.traverse(typical, latent, values)))
    return strips


def _sample_size(axes: Any, estimator: Any) -> None:
    history = estimator.history_
    sizes = history[:, "effective_sample_size"] if len(history) else []
    axes.plot(np.arange(1, len(sizes) + 1), sizes, marker="o", markersize=3)
    axes.axhline(estimator.n_debiased_, color="grey", linestyle=":", linewidth=1)
    axes.annotate(
        "every image alike", (0.995, estimator.n_debiased_), xycoords=("axes fraction", "data"),
        ha="right", va="top", fontsize=8, color="grey",
    )  # fmt: skip
    axes.set_ylim(0, 1.08 * estimator.n_debiased_)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel("images", fontsize=9)
    axes.tick_params(labelsize=8)
    title = "Effective sample size: how many images an epoch's draw is worth"
    axes.set_title(title, fontsize=9, loc="left")


def _strip(images: NDArray[Any]) -> NDArray[np.float64]:
    """Images side by side with a white gap, shape (height, width, 3), always `_COLUMNS` wide."""
    values = np.asarray(images[:_COLUMNS], dtype=np.float64)
    if np.asarray(images).dtype == np.uint8:
        values /= 255
    values = np.pad(values, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=1)
    values = np.concatenate([values, np.ones((_COLUMNS - len(values), *values.shape[1:]))])
    flat = values.transpose(2, 0, 3, 1).reshape(values.shape[2], -1, values.shape[1])
    return np.broadcast_to(flat, (*flat.shape[:2], 3))

"""The report's section: where the attribute was seen, what was hidden, what that cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairvision.base import Resampled, check_groups, take
from fairvision.exceptions import InputError
from fairvision_attribution._algorithm import top_mask
from fairvision_attribution._calibration import Calibration
from fairvision_attribution._curve import cell_accuracies
from fairvision_attribution._estimator import AttributionNoise
from fairvision_attribution._noise import NoisyImages
from fairvision_attribution._regions import as_labels

__all__ = ["attribution_figure", "reliability"]

_EXAMPLES = 5
_PATCHED = 200  # pictures for the reliability diagram: hundreds of patches each
_COLUMNS = ("original", "general mask", "specific mask", "general noise", "specific noise")
_QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def attribution_figure(
    estimator: Resampled,
    X: Any,
    y: ArrayLike,
    *,
    sensitive_features: Any,
    curve: Any = None,
    random_state: int = 0,
) -> Any:
    """Mean map over the mean picture, examples of the noises, reliability, accuracy over quantile.

    Parameters
    ----------
    estimator : Resampled
        Fitted, of an `AttributionNoise` and a classifier.
    X : array-like of shape (n_samples, n_channels, height, width)
        Test pictures.
    y : array-like of shape (n_samples,)
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_sensitive)
    curve : DataFrame or None, default=None
        Of `quantile_curve`: classifiers trained at each quantile. Without it the last
        panel shows the fitted classifier on test pictures whose region is grey.
    random_state : int, default=0

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure  # the object alone: no window, no global state

    sampler = getattr(estimator, "sampler_", None)
    if not isinstance(sampler, AttributionNoise):
        raise InputError(
            f"estimator is {type(estimator).__name__}; pass a fitted Resampled whose sampler is an "
            "AttributionNoise, as fairvision.compose(pre=..., model=...) makes it."
        )
    figure = Figure(figsize=(8.4, 2.9 + 1.5 * _EXAMPLES), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[2.9, 1.5 * _EXAMPLES])
    top, below = parts
    panels = top.subplots(1, 3)
    _mean_map(panels[0], sampler, X)
    _reliability(panels[1], sampler, X, sensitive_features)
    if curve is None:
        curve = _when_hidden(estimator, sampler, X, y, sensitive_features)
        panels[2].set_title("Fitted classifier,\nregion grey at test", fontsize=9)
    else:
        panels[2].set_title("Trained at each quantile,\nvalidation data", fontsize=9)
    _over_quantile(panels[2], curve, sampler.quantile)
    _examples(below, sampler, X, sensitive_features, random_state)
    return figure


def _mean_map(axes: Any, sampler: AttributionNoise, X: Any) -> None:
    mean = _as_picture(take(X, _some_rows(len(X), 500))).mean(0)
    axes.imshow(mean.mean(-1), cmap="gray", vmin=0, vmax=1)
    axes.imshow(sampler.mean_map_, cmap="inferno", alpha=0.5, vmin=0, vmax=1)
    if 0 < sampler.mask_.mean() < 1:
        axes.contour(sampler.mask_, levels=[0.5], colors="cyan", linewidths=1.2)
    axes.set_axis_off()
    axes.set_title(
        f"Mean map over the mean picture;\nline: above quantile {sampler.quantile:g}", fontsize=9
    )


def _reliability(axes: Any, sampler: AttributionNoise, X: Any, groups: Any) -> None:
    regions = sampler.attribution_
    given = check_groups(groups, len(X), required_by="attribution_figure")
    assert given is not None
    results = reliability(regions, X, as_labels(given))
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for result in results:
        curve = result.curve[result.curve["n"] >= 20]
        name = f"{result.name}, ECE {result.ece:.3f}"
        axes.plot(curve["confidence"], curve["accuracy"], marker=".", label=name)
    axes.set(xlim=(0.3, 1), ylim=(0, 1), xlabel="probability", ylabel="accuracy")
    axes.legend(fontsize=7, loc="lower right")
    axes.set_title("Reliability of single patches,\ntest pictures", fontsize=9)


def reliability(regions: Any, X: Any, labels: Any) -> list[Calibration]:
    """Of single patches of a few of the pictures, one an attribute."""
    rows = _some_rows(len(X), _PATCHED)
    calibration = regions.calibration(take(X, rows), labels.iloc[rows], n_bins=25)
    return [calibration] if isinstance(calibration, Calibration) else calibration


def _some_rows(n: int, most: int) -> NDArray[np.intp]:
    """Rows drawn at random: the first of photographs that are sorted by age are children."""
    return np.sort(np.random.default_rng(0).permutation(n)[:most])


def _when_hidden(
    estimator: Resampled, sampler: AttributionNoise, X: Any, y: ArrayLike, groups: Any
) -> dict[str, list[float]]:
    """What the fitted classifier loses where it cannot see the region: how much it relied on it."""
    curve: dict[str, list[float]] = {"quantile": [], "accuracy": [], "worst": []}
    for quantile in _QUANTILES:
        hidden = NoisyImages(X, top_mask(sampler.mean_map_, quantile), random_state=0)
        cells = cell_accuracies(estimator.predict(hidden), y, groups)
        curve["quantile"].append(quantile)
        curve["accuracy"].append(np.average(cells["accuracy"], weights=cells["n"]))
        curve["worst"].append(cells["accuracy"].min())
    return curve


def _over_quantile(axes: Any, curve: Any, chosen: float) -> None:
    quantiles = curve["quantile"] if isinstance(curve, dict) else curve.index
    for name in ("accuracy", "worst"):
        label = {"worst": "worst class and group"}.get(name, name)
        axes.plot(quantiles, curve[name], marker=".", label=label)
    axes.axvline(chosen, color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel="quantile", ylim=(0, 1.02))
    axes.legend(fontsize=7, loc="lower right")


def _examples(figure: Any, sampler: AttributionNoise, X: Any, groups: Any, seed: int) -> None:
    """The five columns of the paper, of pictures from each group in turn."""
    rows = _of_each_group(groups, len(X))
    images = take(X, rows)
    general = np.broadcast_to(sampler.mask_, (len(rows), *sampler.mask_.shape))
    specific = sampler.masks(images)
    columns = [images]
    second = "swap" if sampler.noise == "swap" else "gaussian"
    for noise in ("mask", second):
        for mask in (general, specific):
            # Among all pictures, since a swap draws from the others.
            whole = np.zeros((len(X), *sampler.mask_.shape), dtype=bool)
            whole[rows] = mask
            hidden = NoisyImages(X, whole, noise=noise, std=sampler.std, random_state=seed)  # type: ignore[arg-type]
            columns.append(np.asarray(hidden[rows]))
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, line in enumerate(grid):
        for axes, pictures in zip(line, columns, strict=True):
            axes.imshow(_as_picture(pictures[i : i + 1])[0])
            axes.set_axis_off()
    for axes, name in zip(grid[0], _COLUMNS, strict=True):
        axes.set_title(name.replace("noise", "swap") if second == "swap" else name, fontsize=9)


def _of_each_group(groups: Any, n: int) -> NDArray[np.intp]:
    given = check_groups(groups, n, required_by="attribution_figure")
    assert given is not None
    codes = given.intersection()[0]
    place = np.zeros(n, dtype=np.intp)  # which of its group a row is
    for code in np.unique(codes):
        place[codes == code] = np.arange((codes == code).sum())
    return np.lexsort((codes, place))[:_EXAMPLES]


def _as_picture(images: NDArray[Any]) -> NDArray[np.float64]:
    """(n, height, width, 3) in 0..1."""
    values = np.asarray(images, dtype=np.float64)
    if np.asarray(images).dtype == np.uint8:
        values /= 255
    values = values.transpose(0, 2, 3, 1)
    return np.broadcast_to(values, (*values.shape[:3], 3))

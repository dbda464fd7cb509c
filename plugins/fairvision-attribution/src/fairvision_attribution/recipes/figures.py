"""Figures 4, 5, 7 and 8 of the paper, of the runs of a recipe."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairvision_attribution._algorithm import top_mask
from fairvision_attribution._report import reliability

__all__ = ["mean_maps", "noises", "over_quantiles"]

_METHOD, _PLAIN = "data-attribution", "erm"
#: The accuracy of the second class is its recall, that of the first the rate of true negatives.
_OF_CLASSES = ("true_negative_rate", "true_positive_rate")
_COLOURS, _MARKERS = ("C0", "C1"), ("o", "s")


def mean_maps(figure_data: Any) -> Any:
    """Where each attribute is told: Figures 4 and 5.

    The general map of the region classifier that the first seed's runs used, with the
    pixels that its row hides, the true ones where the data know them, and how right and how
    calibrated it is on patches of test pictures.

    Parameters
    ----------
    shown : fairvision.recipes.BlockResult
        Of a block with a row of data attribution.
    """
    from matplotlib.figure import Figure

    label = next(row.label for row in figure_data.block.rows if row.method == _METHOD)
    sampler = figure_data.fit(label).sampler_
    regions = sampler.attribution_
    maps = regions.mean_map_.reshape(-1, *regions.mean_map_.shape[-2:])
    columns = figure_data.test.sensitive_features
    labels = columns.iloc[:, 0] if columns.shape[1] == 1 else columns
    results = reliability(regions, figure_data.test.images, labels)
    figure = Figure(figsize=(3.8 * len(maps), 4.2), layout="constrained")
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for ax, one, result in zip(axes, maps, results, strict=True):
        picture = ax.imshow(one, cmap="cividis", vmin=0, vmax=1)
        _outline(ax, top_mask(one, sampler.quantile), "-", f"above quantile {sampler.quantile:g}")
        _outline(
            ax, _true_pixels(figure_data.test, result.name), ":", "true pixels, in most pictures"
        )
        right = np.average(result.curve["accuracy"], weights=result.curve["n"])
        # Maps are scaled, so even one of nothing has a summit: do patches tell more than a guess?
        guess = columns[result.name].value_counts(normalize=True).max()
        ax.set_title(
            f"{figure_data.block.name}: patches right {100 * right:.0f} %,\n"
            f"a guess {100 * guess:.0f} %, calibration error {result.ece:.3f}"
        )
        ax.set(xlabel="column, pixels", ylabel="row, pixels")
        ax.spines[["top", "right"]].set_visible(True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center")
    figure.colorbar(picture, ax=list(axes), label="mean confidence, scaled to 0..1", shrink=0.8)
    return figure


def _outline(ax: Any, mask: Any, style: str, label: str) -> None:
    """Draw the border of a region; none if it is everywhere or nowhere."""
    if mask is None or not 0 < mask.mean() < 1:
        return
    ax.contour(mask, levels=[0.5], colors="white", linestyles=style, linewidths=1.4)
    ax.plot([], [], color="#8a8f96", linestyle=style, label=label)


def _true_pixels(data: Any, name: str) -> Any:
    """Where the attribute shows in most of the pictures that show it; None if nobody knows."""
    masks = (data.get("masks") or {}).get(name.partition("=")[0])
    if masks is None:
        return None
    return masks[masks.any((1, 2))].mean(0) > 0.5


def noises(figure_data: Any) -> Any:
    """Accuracy of the two classes by what hides the attribute: Figure 7.

    Parameters
    ----------
    shown : fairvision.recipes.BlockResult
        Of a block with two classes.
    """
    from matplotlib.figure import Figure

    table = figure_data.comparison.measure(_OF_CLASSES)[["value", "lower", "upper"]]
    params = {row.label: row.params for row in figure_data.block.rows}
    labels = list(dict.fromkeys(table.index.get_level_values("method")))
    labels = [name for name in labels if _is_shown(name, params, labels)]
    figure = Figure(figsize=(5.6, 1.3 + 0.42 * len(labels)), layout="constrained")
    ax = figure.subplots()
    for place, (measure, name) in enumerate(
        zip(_OF_CLASSES, _class_names(figure_data), strict=True)
    ):
        values = 100 * table.xs(measure, level="metric").loc[labels]
        ends = [values["value"] - values["lower"], values["upper"] - values["value"]]
        ax.errorbar(
            values["value"], np.arange(len(labels)) + 0.16 * (2 * place - 1), xerr=ends,
            fmt=_MARKERS[place], color=_COLOURS[place], capsize=2, elinewidth=1, label=name,
        )  # fmt: skip
    ax.set_yticks(range(len(labels)), [_with_quantile(name, params) for name in labels])
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(True, axis="x", linewidth=0.6)
    ax.set(xlabel=f"accuracy of a class on balanced test pictures, %{_intervals(figure_data)}")
    ax.set_title(figure_data.block.name)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _is_shown(label: str, params: Any, labels: list[str]) -> bool:
    """Of rows that differ in the quantile alone, the one at .7, as in the paper."""
    own = params.get(label, {})
    if "quantile" not in own:
        return True
    kind = (own.get("scope"), own.get("noise"))
    alike = [
        name for name in labels
        if (params.get(name, {}).get("scope"), params.get(name, {}).get("noise")) == kind
    ]  # fmt: skip
    return len(alike) == 1 or own["quantile"] == 0.7


def _with_quantile(label: str, params: Any) -> str:
    quantile = params.get(label, {}).get("quantile")
    named = quantile is None or label.endswith(f"{quantile:g}")
    return label if named else f"{label} {quantile:g}"


def over_quantiles(figure_data: Any) -> Any:
    """Accuracy of the two classes over the quantile, a panel a noise: Figure 8.

    Dotted lines are plain training on the unaltered pictures.

    Parameters
    ----------
    shown : fairvision.recipes.BlockResult
        Of a block with two classes, whose rows have one noise at several quantiles.
    """
    from matplotlib.figure import Figure

    table = 100 * figure_data.comparison.measure(_OF_CLASSES)[["value", "lower", "upper"]]
    kinds: dict[tuple[str, str], list[Any]] = {}
    for row in figure_data.block.rows:
        if row.method == _METHOD and row.label in table.index.get_level_values("method"):
            kinds.setdefault((row.params["scope"], row.params["noise"]), []).append(row)
    panels = {kind: rows for kind, rows in kinds.items() if len(rows) > 1}
    plain = next(row.label for row in figure_data.block.rows if row.method == _PLAIN)
    figure = Figure(figsize=(1 + 3.6 * len(panels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, ((scope, noise), rows) in zip(axes, panels.items(), strict=True):
        rows = sorted(rows, key=lambda row: row.params["quantile"])
        for place, (measure, name) in enumerate(
            zip(_OF_CLASSES, _class_names(figure_data), strict=True)
        ):
            colour = _COLOURS[place]
            of_rows = table.xs(measure, level="metric")
            values = of_rows.loc[[row.label for row in rows]]
            x = [row.params["quantile"] for row in rows]
            ax.plot(x, values["value"], color=colour, marker=_MARKERS[place], label=name)
            ax.fill_between(x, values["lower"], values["upper"], color=colour, alpha=0.18, lw=0)
            ax.axhline(of_rows.loc[plain, "value"], color=colour, linestyle=":")
        ax.plot([], [], color="black", linestyle=":", label=f"{plain}, unaltered")
        ax.grid(True, axis="y", linewidth=0.6)
        ax.set(
            title=f"{figure_data.block.name}: {scope} {noise}",
            xlabel="quantile; above it is hidden",
        )
    axes[0].set_ylabel(f"accuracy on balanced test pictures, %{_intervals(figure_data)}")
    columns = 3 if len(panels) > 1 else 2
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    return figure


def _class_names(figure_data: Any) -> list[str]:
    return [str(name) for name in figure_data.test.target_names]


def _intervals(figure_data: Any) -> str:
    n = len(figure_data.comparison.plan.seeds)
    return f"\n(with 95 % intervals, {n} seeds)" if n > 1 else "\n(with 95 % intervals, one seed)"

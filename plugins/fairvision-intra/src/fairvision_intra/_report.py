"""The figure for the report: every trial's performance against its bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.base import check_groups
from fairvision.exceptions import InputError
from fairvision_intra._base import IntraProcessor
from fairvision_intra._bounded_performance import BoundedPerformance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["pareto_figure"]


def pareto_figure(estimator: Any, X: Any, y: Any, *, sensitive_features: Any) -> Figure:
    """Draw the trials on the debiasing rows, and the nets before and after on the given rows.

    Parameters
    ----------
    estimator : RandomPerturbation, LayerwiseOptimization or AdversarialFineTuning
        Fitted.
    X, y, sensitive_features : test rows

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.figure import Figure

    if not isinstance(estimator, IntraProcessor):
        raise InputError(
            f"pareto_figure draws the trials of intra-processing; got {type(estimator).__name__}."
        )
    # Without pyplot, which would keep the figure and choose a backend for the whole process.
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    path = estimator.objective_path_
    _draw_trials(left, path, estimator)
    _draw_test(right, estimator, X, y, sensitive_features)
    bias, performance = _title(estimator, "bias"), _title(estimator, "performance")
    for axes in (left, right):
        axes.set(xlabel=f"size of {bias}", ylabel=performance)
        axes.set_xlim(left=0)
        if estimator.epsilon is not None:
            _mark_bound(axes, estimator.epsilon)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _mark_bound(axes: Axes, epsilon: float) -> None:
    axes.set_xlim(0, max(axes.get_xlim()[1], 1.2 * epsilon))
    axes.axvline(epsilon, color="0.5", linestyle="--", linewidth=1)
    axes.annotate(
        "epsilon",
        (epsilon, 0.01),
        xycoords=("data", "axes fraction"),
        xytext=(3, 0),
        textcoords="offset points",
        color="0.4",
        fontsize=8,
    )


def _title(estimator: IntraProcessor, parameter: str) -> str:
    """The metric's name in words; the parameter's where it is a scorer."""
    metric = getattr(estimator, parameter)
    return metric.replace("_", " ") if isinstance(metric, str) else parameter


def _front(path: pd.DataFrame) -> pd.DataFrame:
    """Trials that no other beats in both bias and performance."""
    ordered = path.sort_values(["bias", "performance"], ascending=[True, False])
    best = ordered["performance"].cummax()
    return ordered[(ordered["performance"] >= best) & ~best.duplicated()]


def _draw_trials(axes: Axes, path: pd.DataFrame, estimator: IntraProcessor) -> None:
    front = _front(path)
    axes.step(front["bias"], front["performance"], where="post", color="C0", alpha=0.5, zorder=1)
    axes.scatter(
        path["bias"], path["performance"], s=14, color="C0", alpha=0.5, label="trials", zorder=2
    )
    given_net = path.iloc[0]
    axes.scatter(
        given_net["bias"], given_net["performance"], marker="s", color="k", zorder=3,
        label="the net as given, best threshold",
    )  # fmt: skip
    axes.scatter(
        estimator.bias_, estimator.performance_, marker="*", s=140, color="C3", zorder=4,
        label="kept",
    )  # fmt: skip
    axes.set_title(f"{len(path)} trials, on the debiasing rows", fontsize=10)
    axes.legend(fontsize=8, frameon=False)


def _draw_test(axes: Axes, estimator: IntraProcessor, X: Any, y: Any, groups: Any) -> None:
    before = _measured(estimator, np.asarray(estimator.estimator_.predict(X)), y, groups)
    after = _measured(estimator, estimator.predict(X), y, groups)
    axes.annotate("", after, before, arrowprops={"arrowstyle": "->", "color": "0.4", "shrinkB": 9})
    for point, marker, colour, label in ((before, "s", "k", "before"), (after, "*", "C3", "after")):
        axes.scatter(*point, marker=marker, s=40 if marker == "s" else 140, color=colour)
        axes.annotate(
            f"{label}: {point[0]:.3f}, {point[1]:.3f}", point, xytext=(0, 10),
            textcoords="offset points", fontsize=8, ha="center",
        )  # fmt: skip
    axes.margins(x=0.5, y=0.35)
    axes.set_title(f"before and after, on {len(y)} test rows", fontsize=10)


def _measured(
    estimator: IntraProcessor, predicted: NDArray[Any], y: Any, groups: Any
) -> tuple[float, float]:
    """Bias and performance of predictions, as the search measures them."""
    grouping = check_groups(groups, len(predicted), required_by="pareto_figure")
    assert grouping is not None
    codes, labels = grouping.intersection()
    objective = BoundedPerformance(
        (np.asarray(y) == estimator.classes_[1]).astype(np.int64),
        codes,
        np.random.default_rng(0),
        classes=estimator.classes_,
        labels=labels,
        bias=estimator.bias,
        performance=estimator.performance,
        n_bootstrap=0,
    )
    positive = (predicted == estimator.classes_[1]).astype(np.float64)
    performance, bias = objective.measure(positive, np.array([0.5]))
    return float(bias[0, 0]), float(performance[0, 0])

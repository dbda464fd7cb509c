"""The names that ``metrics=`` takes, and which of them a given evaluation can compute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fairvision.exceptions import InputError, UnknownNameError
from fairvision.metrics.catalog import METRICS
from fairvision.metrics.spec import MetricSpec

__all__ = [
    "Selection",
    "metric_names",
    "metric_direction",
    "reads_scores",
    "resolve_name",
    "select_metrics",
]

_NO_SCORES = "it reads scores; pass y_score"


@dataclass(frozen=True)
class Selection:
    """The metrics to compute: built-in ones in the order asked for, and plugins' by name."""

    specs: list[MetricSpec]
    plugins: dict[str, Any]

    def reading(self, source: str) -> list[MetricSpec]:
        """The built-in metrics that read "counts", "scores" or "calibrated" counts."""
        return [spec for spec in self.specs if spec.reads == source]


def metric_direction(name: str) -> str:
    """Which values of a metric are better: "higher", "lower", "near 0" or "near 1"."""
    if name in METRICS:
        return METRICS[name].better
    return "higher" if _find_plugin_metric(name).descriptor.greater_is_better else "lower"


def resolve_name(name: str) -> str:
    """The name as results show it; raises for an unknown metric."""
    specs, plugins = _look_up([name])
    return specs[0].name if specs else next(iter(plugins))


def metric_names(metrics: str | Iterable[str]) -> list[str]:
    """The names in ``metrics=``, which may be a single one."""
    return [metrics] if isinstance(metrics, str) else list(metrics)


def reads_scores(metrics: str | Iterable[str]) -> bool:
    """Whether any of the metrics needs scores, or could use them."""
    names = metric_names(metrics)
    if {"default", "all"} & set(names):
        return True
    specs, plugins = _look_up(names)
    return any(spec.needs_scores for spec in specs) or any(
        plugin.descriptor.needs_scores for plugin in plugins.values()
    )


def _unavailable(spec: MetricSpec, positive: bool, privileged: bool, scores: bool) -> str:
    if spec.needs_scores and not scores:
        return _NO_SCORES
    if spec.needs_positive and not positive:
        return "it compares one class with the rest; pass pos_label"
    if spec.needs_privileged and not privileged:
        return "its sign needs a privileged group; pass privileged"
    return ""


def select_metrics(
    metrics: str | Iterable[str], *, positive: bool, privileged: bool, scores: bool
) -> Selection:
    """Look up the wanted metrics.

    Parameters
    ----------
    metrics : a name, or an iterable of names
        Among them "default" and "all", which leave out what the data cannot define.
    positive, privileged, scores : bool
        Whether there is a positive class, a privileged group, scores.

    Raises
    ------
    InputError
        If a metric is unknown, or was named and is not defined here.
    """
    names = metric_names(metrics)
    named, plugins = _look_up([name for name in names if name not in ("default", "all")])
    for name, plugin in plugins.items():
        if plugin.descriptor.needs_scores and not scores:
            raise InputError(f"metric {name!r} is not defined here: {_NO_SCORES}.")
    if "all" in names:
        plugins = {**_plugin_metrics(scores), **plugins}
    selected = {
        spec.name: spec
        for spec in METRICS.values()
        if "all" in names or ("default" in names and spec.default)
    }
    selected |= {spec.name: spec for spec in named}
    specs = []
    for spec in selected.values():
        reason = _unavailable(spec, positive, privileged, scores)
        if not reason:
            specs.append(spec)
        elif spec in named:
            raise InputError(f"metric {spec.name!r} is not defined here: {reason}.")
    return Selection(specs, plugins)


def _look_up(names: list[str]) -> tuple[list[MetricSpec], dict[str, Any]]:
    """Built-in metrics, and plugins' metrics by the name that was asked for."""
    specs, plugins = [], {}
    for name in names:
        builtin = name.replace("-", "_")  # plugin names have dashes, so users may write them here
        if builtin in METRICS:
            specs.append(METRICS[builtin])
        else:
            plugins[name] = _find_plugin_metric(name)
    return specs, plugins


def _plugin_metrics(scores: bool) -> dict[str, Any]:
    """Every metric that plugins offer. Loads the plugins."""
    from fairvision.plugins import default_registry

    registry = default_registry()
    ambiguous = registry.duplicates("metric")
    return {
        metric.qualified_name if metric.name in ambiguous else metric.name: metric
        for metric in registry.metrics()
        if scores or not metric.descriptor.needs_scores
    }


def _find_plugin_metric(name: str) -> Any:
    from fairvision.plugins import closest, default_registry

    registry = default_registry()
    try:
        return registry.find("metric", name)
    except UnknownNameError:
        near = closest(name, [*METRICS, *(metric.name for metric in registry.metrics())])
        raise InputError(f"unknown metric {name!r}.{near} See available_metrics().") from None


def plugin_function(metric: Any) -> Any:
    """Import the function of a plugin's metric."""
    from fairvision.plugins import resolve

    return resolve(metric)

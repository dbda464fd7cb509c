"""The names that ``metrics=`` takes, and which of them a given evaluation can compute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fairvision.exceptions import InputError, PluginError, UndefinedMetricError, UnknownNameError
from fairvision.metrics.aggregates import AGGREGATES, Disparity
from fairvision.metrics.disparities import DISPARITIES
from fairvision.metrics.rates import RATES
from fairvision.metrics.scores import SCORE_RATES

__all__ = ["Chosen", "available_metrics", "choose", "greater_is_better"]

SCORE_KL = "score_kl"
_NO_SCORES = "it reads scores; pass y_score"
# Computed on predictions at the calibrated threshold of Ramaswamy et al. (2021).
CALIBRATED: dict[str, Disparity] = {
    "deo": DISPARITIES["false_negative_rate_difference"],
    "bias_amplification_calibrated": DISPARITIES["bias_amplification"],
}
# Name -> (score rate, aggregate).
SCORE_DISPARITIES: dict[str, tuple[str, str]] = {
    f"{rate}_{aggregate}": (rate, aggregate) for rate in SCORE_RATES for aggregate in AGGREGATES
}

_DEFAULT = (
    *RATES,
    "group_balanced_accuracy",
    "worst_group_accuracy",
    "worst_sensitive_group_accuracy",
    "mean_group_accuracy",
    "variance_group_accuracy",
    "accuracy_gap",
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "equalized_odds_difference",
    "equalized_odds_ratio",
    "average_odds_difference",
    "average_abs_odds_difference",
    "statistical_parity_difference_signed",
    "equal_opportunity_difference_signed",
    "average_odds_difference_signed",
    "disparate_impact",
    "theil_index",
    "bias_amplification",
    *SCORE_RATES,
    "roc_auc_difference",
    "ece_difference",
    SCORE_KL,
    *CALIBRATED,
)


@dataclass
class Chosen:
    """What to compute, by the way it is computed; every list in the order asked for."""

    rates: list[str] = field(default_factory=list)
    disparities: dict[str, Disparity] = field(default_factory=dict)
    calibrated: dict[str, Disparity] = field(default_factory=dict)
    score_rates: list[str] = field(default_factory=list)
    score_disparities: list[str] = field(default_factory=list)
    plugins: dict[str, Any] = field(default_factory=dict)


def _plugin_metrics(scores: bool) -> dict[str, Any]:
    """Every metric that plugins offer; asked for late, since it loads the plugins."""
    from fairvision.plugins import default_registry

    registry = default_registry()
    twice = registry.duplicates("metric")
    return {
        offered.qualified_name if offered.name in twice else offered.name: offered
        for offered in registry.metrics()
        if scores or not offered.descriptor.needs_scores
    }


def available_metrics() -> list[str]:
    """Every built-in metric's name.

    Rates are given for everyone and for every group; the others are single
    numbers over the groups. Any rate also exists as ``<rate>_difference``,
    ``_ratio``, ``_group_min``, ``_group_max``, ``_group_mean`` and
    ``_group_variance``.
    """
    return [*RATES, *SCORE_RATES, *DISPARITIES, *SCORE_DISPARITIES, SCORE_KL, *CALIBRATED]


def greater_is_better(name: str) -> bool:
    """Whether larger values of a metric are preferred."""
    if name in SCORE_DISPARITIES:
        rate, aggregate = SCORE_DISPARITIES[name]
        prefers = SCORE_RATES[rate].greater_is_better
        return aggregate == "ratio" or (
            prefers and aggregate not in ("difference", "group_variance")
        )
    if name == SCORE_KL or name in CALIBRATED:
        return False
    entry = RATES.get(name) or SCORE_RATES.get(name) or DISPARITIES.get(name)
    return bool(entry.greater_is_better if entry else _find(name).descriptor.greater_is_better)


def known_name(name: str) -> str:
    """The name as results show it; refuses one that nobody offers."""
    names, plugins = _look_up([name])
    return names[0] if names else next(iter(plugins))


def reads_scores(metrics: str | Iterable[str]) -> bool:
    """Whether any of the metrics needs scores, or could use them."""
    asked = [metrics] if isinstance(metrics, str) else list(metrics)
    if {"default", "all"} & set(asked):
        return True
    names, plugins = _look_up(asked)
    return any(_needs(n)[2] for n in names) or any(
        offered.descriptor.needs_scores for offered in plugins.values()
    )


def _needs(name: str) -> tuple[bool, bool, bool]:
    """Whether a metric needs a positive class, a privileged group, scores."""
    if name in RATES:
        return RATES[name].needs_positive, False, False
    if name in DISPARITIES:
        return DISPARITIES[name].needs_positive, DISPARITIES[name].needs_privileged, False
    if name in CALIBRATED or name == SCORE_KL:
        return True, False, True
    rate = name if name in SCORE_RATES else SCORE_DISPARITIES[name][0]
    return SCORE_RATES[rate].needs_positive, False, True


def _lacking(name: str, positive: bool, privileged: bool, scores: bool) -> str | None:
    needs_positive, needs_privileged, needs_scores = _needs(name)
    if needs_scores and not scores:
        return _NO_SCORES
    if needs_positive and not positive:
        return "it compares one class with the rest; pass pos_label"
    if needs_privileged and not privileged:
        return "its sign needs a privileged group; pass privileged"
    return None


def choose(
    metrics: str | Iterable[str], *, positive: bool, privileged: bool, scores: bool
) -> Chosen:
    """Sort the wanted metrics by how they are computed.

    Parameters
    ----------
    metrics : a name, or an iterable of names
        Among them "default" and "all", which leave out what the data cannot define.
    positive, privileged, scores : bool
        Whether there is a positive class, a privileged group, scores.

    Raises
    ------
    InputError
        If a metric that was asked for by name is unknown or not defined here.
    """
    asked = [metrics] if isinstance(metrics, str) else list(metrics)
    lenient = list(_DEFAULT) if "default" in asked else []
    lenient += available_metrics() if "all" in asked else []
    strict, plugins = _look_up([name for name in asked if name not in ("default", "all")])
    for name, offered in plugins.items():
        if offered.descriptor.needs_scores and not scores:
            raise InputError(f"metric {name!r} is not defined here: {_NO_SCORES}.")
    if "all" in asked:
        plugins = {**_plugin_metrics(scores), **plugins}
    chosen = Chosen(plugins=plugins)
    for name in dict.fromkeys([*lenient, *strict]):
        lacking = _lacking(name, positive, privileged, scores)
        if lacking is None:
            _file(chosen, name)
        elif name in strict:
            raise InputError(f"metric {name!r} is not defined here: {lacking}.")
    return chosen


def _look_up(asked: list[str]) -> tuple[list[str], dict[str, Any]]:
    known = set(available_metrics())
    names, plugins = [], {}
    for name in asked:
        plain = name.replace("-", "_")  # plugin names have dashes, so users may write them here
        if plain in known:
            names.append(plain)
        else:
            plugins[name] = _find(name)
    return names, plugins


def _find(name: str) -> Any:
    from fairvision.plugins import closest, default_registry

    registry = default_registry()
    try:
        return registry.find("metric", name)
    except UnknownNameError:
        near = closest(
            name, [*available_metrics(), *(offered.name for offered in registry.metrics())]
        )
        raise InputError(f"unknown metric {name!r}.{near} See available_metrics().") from None


def plugin_function(offered: Any) -> Any:
    """What a plugin's metric names; if it cannot be imported, a function that says so."""
    from fairvision.plugins import resolve

    try:
        return resolve(offered)
    except PluginError as error:
        message = str(error)

        def unavailable(*_: Any, **__: Any) -> float:
            raise UndefinedMetricError(message)

        return unavailable


def _file(chosen: Chosen, name: str) -> None:
    if name in RATES:
        chosen.rates.append(name)
    elif name in DISPARITIES:
        chosen.disparities[name] = DISPARITIES[name]
    elif name in CALIBRATED:
        chosen.calibrated[name] = CALIBRATED[name]
    elif name in SCORE_RATES:
        chosen.score_rates.append(name)
    else:
        chosen.score_disparities.append(name)

"""The table of metrics. A new metric is one entry of `ENTRIES`, wherever it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fairvision.metrics import scores
from fairvision.metrics.confusion import Confusion, Floats, divide
from fairvision.metrics.spec import MetricSpec, aggregate, family, ratio, span

__all__ = ["METRICS", "RECALL", "association", "available_metrics", "metric_table"]


def _demographic_parity(c: Confusion) -> Floats:
    if c.positive is not None:
        return span(c.selection_rate)
    return span(c.shares(given_truth=False)).max(-1)


def _equalized_odds(c: Confusion) -> Floats:
    if c.positive is not None:
        return np.maximum(span(c.tpr), span(c.fpr))
    return span(c.shares(given_truth=True)).max(-1)


def _signed(*rates: MetricSpec) -> Callable[[Confusion], Floats]:
    """Mean of the rates, unprivileged minus privileged."""

    def compute(c: Confusion) -> Floats:
        sides = c.pooled()
        values = [sides.rate(rate) for rate in rates]
        return sum((v[..., 0] - v[..., 1] for v in values), np.zeros(())) / len(rates)

    return compute


def _disparate_impact(c: Confusion) -> Floats:
    rate = c.pooled().selection_rate
    return divide(rate[..., 0], rate[..., 1])


def _theil(c: Confusion) -> Floats:
    """Theil index of the benefits ``predicted - true + 1``, each 0, 1 or 2."""
    right, wrongly_selected, total = (c.tp + c.tn).sum(-1), c.fp.sum(-1), c.total.sum(-1)
    mean = divide(right + 2 * wrongly_selected, total)
    one, two = divide(np.ones(()), mean), divide(np.full((), 2.0), mean)
    entropy = right * one * np.log(one) + wrongly_selected * two * np.log(two)
    return divide(entropy, total)  # a benefit of 0 adds nothing


def association(of_class: Floats) -> Floats:
    """Sign of P(group, class) - P(group) P(class), shape (..., n_groups, n_classes).

    A difference within rounding of the products counts as 0, or independence
    in weighted data would get a random direction.
    """
    joint = of_class * of_class.sum((-2, -1), keepdims=True)
    product = of_class.sum(-1, keepdims=True) * of_class.sum(-2, keepdims=True)
    difference = joint - product
    difference[np.abs(difference) <= 1e-12 * product] = 0.0
    return np.sign(difference)


def _bias_amplification(c: Confusion) -> Floats:
    signs = association(c.of_class) if c.directions is None else c.directions
    total = c.total[..., None]
    return (signs * (divide(c.predicted, total) - divide(c.of_class, total))).mean((-2, -1))


def _rate(name: str, summary: str, compute: Any, undefined: str, **options: Any) -> MetricSpec:
    options = {"by_group": True, "better": "higher", **options}
    return MetricSpec(name, summary, compute, undefined=undefined, **options)


_ACCURACY = _rate(
    "accuracy", "Share of correct rows.", lambda c: c.accuracy, "no rows", needs_positive=False
)
_SELECTION = _rate(
    "selection_rate", "P(predicted positive).", lambda c: c.selection_rate, "no rows"
)
_TPR = _rate(
    "true_positive_rate", "P(predicted positive | positive).", lambda c: c.tpr, "no positives"
)
_FPR = _rate(
    "false_positive_rate",
    "P(predicted positive | negative).",
    lambda c: c.fpr,
    "no negatives",
    better="lower",
)
_BOTH = (_TPR, _FPR)
#: Not shown itself: the recall of every class, of shape (..., n_groups, n_present).
RECALL = MetricSpec("recall", "", lambda c: c.recalls, needs_positive=False)

COUNT_RATES = (
    _ACCURACY,
    _rate(
        "balanced_accuracy",
        "Mean recall of the classes.",
        lambda c: c.recalls.mean(-1),
        "no rows of one class",
        needs_positive=False,
    ),
    _rate("base_rate", "P(positive).", lambda c: divide(c.positives, c.total), "no rows"),
    _SELECTION,
    _TPR,
    _FPR,
    _rate(
        "true_negative_rate", "P(predicted negative | negative).", lambda c: c.tnr, "no negatives"
    ),
    _rate(
        "false_negative_rate",
        "P(predicted negative | positive).",
        lambda c: c.fnr,
        "no positives",
        better="lower",
    ),
    _rate(
        "precision",
        "P(positive | predicted positive).",
        lambda c: c.precision,
        "no positive predictions",
    ),
)

GAPS = (
    MetricSpec(
        "group_balanced_accuracy",
        "Mean accuracy over the groups of (true label, sensitive group), each weighing the same.",
        lambda c: c.recalls.mean((-2, -1)),
        uses=(RECALL,),
        needs_positive=False,
        min_groups=1,
        better="higher",
        table="overall",
    ),
    MetricSpec(
        "worst_group_accuracy",
        "Smallest accuracy over the groups of (true label, sensitive group), as in the "
        "literature on robustness (Sagawa et al. 2020).",
        lambda c: c.recalls.min((-2, -1)),
        uses=(RECALL,),
        needs_positive=False,
        min_groups=1,
        better="higher",
    ),
    aggregate(_ACCURACY, "group_min", "worst_sensitive_group_accuracy"),
    aggregate(_ACCURACY, "group_mean", "mean_group_accuracy"),
    aggregate(_ACCURACY, "group_variance", "variance_group_accuracy"),
    aggregate(_ACCURACY, "difference", "accuracy_gap"),
    MetricSpec(
        "demographic_parity_difference",
        "Largest difference between groups in the share predicted as any one class.",
        _demographic_parity,
        uses=(_ACCURACY,),
        needs_positive=False,
    ),
    aggregate(_SELECTION, "ratio", "demographic_parity_ratio"),
    aggregate(_TPR, "difference", "equal_opportunity_difference"),
    replace(aggregate(_TPR, "ratio", "equal_opportunity_ratio"), default=False),
    MetricSpec(
        "equalized_odds_difference",
        "Largest difference between groups in any true or false positive rate.",
        _equalized_odds,
        uses=(RECALL, *_BOTH),
        needs_positive=False,
    ),
    MetricSpec(
        "equalized_odds_ratio",
        "The smaller of the true and false positive rate's ratio, smallest over largest group.",
        lambda c: np.minimum(ratio(c.tpr), ratio(c.fpr)),
        uses=_BOTH,
        better="higher",
    ),
    MetricSpec(
        "average_odds_difference",
        "Largest minus smallest mean of true and false positive rate.",
        lambda c: span((c.tpr + c.fpr) / 2),
        uses=_BOTH,
    ),
    MetricSpec(
        "average_abs_odds_difference",
        "Mean of the true and the false positive rate's largest difference between groups.",
        lambda c: (span(c.tpr) + span(c.fpr)) / 2,
        uses=_BOTH,
    ),
    *(
        MetricSpec(
            f"{name}_signed",
            f"{words}, unprivileged minus privileged (aif360's sign).",
            _signed(*rates),
            uses=rates,
            undefined="no rows on one side",
            needs_privileged=True,
            better="near 0",
        )
        for name, words, rates in (
            ("statistical_parity_difference", "Selection rate", (_SELECTION,)),
            ("equal_opportunity_difference", "True positive rate", (_TPR,)),
            ("average_odds_difference", "Mean of true and false positive rate", _BOTH),
        )
    ),
    MetricSpec(
        "disparate_impact",
        "Selection rate, unprivileged over privileged.",
        _disparate_impact,
        uses=(_SELECTION,),
        needs_privileged=True,
        better="near 1",
    ),
    MetricSpec(
        "theil_index",
        "Theil index of the individual benefits predicted - true + 1 (Speicher et al. 2018).",
        _theil,
        undefined="the mean benefit is 0",
        min_groups=1,
    ),
    MetricSpec(
        "bias_amplification",
        "Attribute to task bias amplification (Wang and Russakovsky 2021).",
        _bias_amplification,
        uses=(_ACCURACY,),
        undefined="a group unseen at fit has no direction of association",
        needs_positive=False,
        better="near 0",
    ),
)

SCORE_METRICS = (
    _rate(
        "roc_auc",
        "Probability that a positive's score exceeds a negative's.",
        scores.roc_auc,
        "no positives or no negatives",
        reads="scores",
        default_aggregates=("difference",),
    ),
    _rate(
        "average_precision",
        "Mean precision over the positives, each at its score.",
        scores.average_precision,
        "no positives",
        reads="scores",
    ),
    _rate(
        "normalized_average_precision",
        "Average precision as if every group had the base rate of all rows (Hoiem et al. 2012).",
        scores.normalized_average_precision,
        "no positives or no negatives",
        reads="scores",
    ),
    _rate(
        "ece",
        "Expected calibration error over 15 bins.",
        scores.ece,
        "no rows",
        reads="scores",
        needs_positive=False,
        needs_probabilities=True,
        better="lower",
        default_aggregates=("difference",),
    ),
    MetricSpec(
        "score_kl",
        "Divergence of score histograms between groups within a class (Ramaswamy et al. 2021).",
        scores.score_kl,
        reads="scores",
        undefined="no rows of a class in a group",
    ),
)

_BY_NAME = {spec.name: spec for entry in (*COUNT_RATES, *GAPS) for spec in family(entry)}
CALIBRATED = (
    replace(
        _BY_NAME["false_negative_rate_difference"],
        name="deo",
        summary="Difference in false negative rates at the calibrated threshold "
        "(Ramaswamy et al. 2021).",
        reads="calibrated",
        default=True,
    ),
    replace(
        _BY_NAME["bias_amplification"],
        name="bias_amplification_calibrated",
        summary="Bias amplification at the calibrated threshold (Ramaswamy et al. 2021).",
        reads="calibrated",
        needs_positive=True,
    ),
)

ENTRIES = (*GAPS, *COUNT_RATES, *SCORE_METRICS, *CALIBRATED)
METRICS: dict[str, MetricSpec] = {spec.name: spec for entry in ENTRIES for spec in family(entry)}


def available_metrics() -> list[str]:
    """Every built-in metric's name; :func:`metric_table` describes them.

    Rates are given for all rows and for every group; the others are single
    numbers over the groups. Any rate also exists as ``<rate>_difference``,
    ``_ratio``, ``_group_min``, ``_group_max``, ``_group_mean`` and
    ``_group_variance``.
    """
    return list(METRICS)


def metric_table() -> pd.DataFrame:
    """Describe every built-in metric.

    Returns
    -------
    DataFrame
        Indexed by metric: `summary`, `needs` (the arguments of
        :func:`evaluate_predictions` without which it is not defined), `better` (the direction)
        and `default` (whether ``metrics="default"`` includes it).
    """
    return pd.DataFrame(
        [(s.name, s.summary, s.needs, s.better, s.default) for s in METRICS.values()],
        columns=["metric", "summary", "needs", "better", "default"],
    ).set_index("metric")

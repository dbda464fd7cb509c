"""Numbers over groups: the worst, the gap, the ratio, under the toolkits' names and signs.

fairlearn's differences are absolute, the largest minus the smallest group.
aif360's are signed, unprivileged minus privileged, with the privileged groups
pooled into one and all others into the other; those end in ``_signed`` here
(and `disparate_impact`, its ratio). Any group whose rate is undefined makes
the number over all groups undefined.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fairvision.metrics.aggregates import AGGREGATES, Context, Disparity, aggregate, ratio, span
from fairvision.metrics.rates import RATES, Confusion, Floats, divide

__all__ = ["DISPARITIES", "association"]


def _rates_of_every_class(c: Confusion, given_truth: bool) -> Floats:
    """P(predicted | group) or P(predicted | true, group), groups on the last axis."""
    if given_truth:
        shares = divide(c.table, c.of_class[..., None])[..., c.present, :]
    else:
        shares = divide(c.predicted, c.total[..., None])[..., None, :]
    return np.moveaxis(shares, -3, -1)


def _demographic_parity(c: Confusion, _: Context) -> Floats:
    if c.positive is not None:
        return span(RATES["selection_rate"].compute(c))
    return span(_rates_of_every_class(c, given_truth=False)).max((-2, -1))


def _equalized_odds(c: Confusion, _: Context) -> Floats:
    if c.positive is not None:
        return np.maximum(span(_tpr(c)), span(_fpr(c)))
    return span(_rates_of_every_class(c, given_truth=True)).max((-2, -1))


def _tpr(c: Confusion) -> Floats:
    return RATES["true_positive_rate"].compute(c)


def _fpr(c: Confusion) -> Floats:
    return RATES["false_positive_rate"].compute(c)


def _pooled(c: Confusion, context: Context) -> Confusion:
    """Two groups, in this order: unprivileged, privileged."""
    assert context.privileged is not None  # needs_privileged
    sides = [c.table[..., ~context.privileged, :, :], c.table[..., context.privileged, :, :]]
    table = np.stack([side.sum(-3) for side in sides], axis=-3)
    return Confusion(table, c.positive, c.present)


def _signed(*rates: str) -> Callable[[Confusion, Context], Floats]:
    """Mean of the rates, unprivileged minus privileged."""

    def compute(c: Confusion, context: Context) -> Floats:
        sides = _pooled(c, context)
        values = [RATES[rate].compute(sides) for rate in rates]
        return sum((v[..., 0] - v[..., 1] for v in values), np.zeros(())) / len(rates)

    return compute


def _disparate_impact(c: Confusion, context: Context) -> Floats:
    rate = RATES["selection_rate"].compute(_pooled(c, context))
    return divide(rate[..., 0], rate[..., 1])


def _theil(c: Confusion, _: Context) -> Floats:
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


def _bias_amplification(c: Confusion, context: Context) -> Floats:
    signs = association(c.of_class) if context.directions is None else context.directions
    total = c.total[..., None]
    return (signs * (divide(c.predicted, total) - divide(c.of_class, total))).mean((-2, -1))


_BOTH = ("true_positive_rate", "false_positive_rate")
_SELECTION, _TPR = "selection_rate", "true_positive_rate"
_NOBODY = "the mean benefit is 0"
_CELLS = "recall"

_NAMED = (
    Disparity(
        "worst_group_accuracy",
        "Smallest accuracy over the groups of (true label, sensitive group), as in the "
        "literature on robustness (Sagawa et al. 2020).",
        lambda c, _: c.recalls.min((-2, -1)),
        (_CELLS,),
        needs_positive=False,
        min_groups=1,
        greater_is_better=True,
    ),
    Disparity(
        "group_balanced_accuracy",
        "Mean accuracy over the groups of (true label, sensitive group), each weighing the same.",
        lambda c, _: c.recalls.mean((-2, -1)),
        (_CELLS,),
        needs_positive=False,
        min_groups=1,
        greater_is_better=True,
        part="overall",
    ),
    aggregate("accuracy", "group_min", "worst_sensitive_group_accuracy"),
    aggregate("accuracy", "group_mean", "mean_group_accuracy"),
    aggregate("accuracy", "group_variance", "variance_group_accuracy"),
    aggregate("accuracy", "difference", "accuracy_gap"),
    Disparity(
        "demographic_parity_difference",
        "Largest difference between groups in the share predicted as any one class.",
        _demographic_parity,
        ("accuracy",),
        needs_positive=False,
    ),
    aggregate("selection_rate", "ratio", "demographic_parity_ratio"),
    aggregate("true_positive_rate", "difference", "equal_opportunity_difference"),
    aggregate("true_positive_rate", "ratio", "equal_opportunity_ratio"),
    Disparity(
        "equalized_odds_difference",
        "Largest difference between groups in any true or false positive rate.",
        _equalized_odds,
        (_CELLS, *_BOTH),
        needs_positive=False,
    ),
    Disparity(
        "equalized_odds_ratio",
        "The smaller of the true and false positive rate's ratio, smallest over largest group.",
        lambda c, _: np.minimum(ratio(_tpr(c)), ratio(_fpr(c))),
        _BOTH,
        greater_is_better=True,
    ),
    Disparity(
        "average_odds_difference",
        "Largest minus smallest mean of true and false positive rate.",
        lambda c, _: span((_tpr(c) + _fpr(c)) / 2),
        _BOTH,
    ),
    Disparity(
        "average_abs_odds_difference",
        "Mean of the true and the false positive rate's largest difference between groups.",
        lambda c, _: (span(_tpr(c)) + span(_fpr(c))) / 2,
        _BOTH,
    ),
    Disparity(
        "statistical_parity_difference_signed",
        "Selection rate, unprivileged minus privileged (aif360's sign).",
        _signed(_SELECTION),
        (_SELECTION,),
        undefined="no rows on one side",
        needs_privileged=True,
    ),
    Disparity(
        "equal_opportunity_difference_signed",
        "True positive rate, unprivileged minus privileged (aif360's sign).",
        _signed(_TPR),
        (_TPR,),
        undefined="no rows on one side",
        needs_privileged=True,
    ),
    Disparity(
        "average_odds_difference_signed",
        "Mean of true and false positive rate, unprivileged minus privileged (aif360's sign).",
        _signed(*_BOTH),
        _BOTH,
        undefined="no rows on one side",
        needs_privileged=True,
    ),
    Disparity(
        "disparate_impact",
        "Selection rate, unprivileged over privileged.",
        _disparate_impact,
        (_SELECTION,),
        needs_privileged=True,
        greater_is_better=True,
    ),
    Disparity(
        "theil_index",
        "Theil index of the individual benefits predicted - true + 1 (Speicher et al. 2018).",
        _theil,
        undefined=_NOBODY,
        min_groups=1,
    ),
    Disparity(
        "bias_amplification",
        "Attribute to task bias amplification (Wang and Russakovsky 2021).",
        _bias_amplification,
        ("accuracy",),
        undefined="a group unseen at fit has no direction of association",
        needs_positive=False,
    ),
)

_FAMILY = tuple(aggregate(rate, how) for rate in RATES for how in AGGREGATES)

DISPARITIES: dict[str, Disparity] = {d.name: d for d in (*_NAMED, *_FAMILY)}

"""Counts in fairlearn's and aif360's own objects, fed cells with weights.

Signs and groups, side by side:

===============================  ======================================================
fairlearn ``difference()``       largest minus smallest group, never negative
aif360 ``..._difference()``      unprivileged minus privileged, either sign; each side
                                 pools its groups
here ``..._difference``          fairlearn's
here ``..._difference_signed``   aif360's
===============================  ======================================================

aif360 needs numbers: the favourable label is 1.0, the other 0.0, and every
sensitive column is coded by the position of its label in sorted order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairvision.base import silence_import, sort_labels
from fairvision.metrics.confusion import Floats

if TYPE_CHECKING:
    from aif360.metrics import ClassificationMetric
    from fairlearn.metrics import MetricFrame

__all__ = ["to_classification_metric", "to_metric_frame"]

Function = Callable[..., float]


def _supported(function: Function, has_support: Callable[..., bool]) -> Function:
    """Make a toolkit's rate NaN where it has no support; the toolkit returns 0."""

    def guarded(y_true: Any, y_pred: Any, *, sample_weight: Any) -> float:
        true, predicted, weight = np.asarray(y_true), np.asarray(y_pred), np.asarray(sample_weight)
        if not has_support(true, predicted, weight):
            return float("nan")
        used = weight > 0
        value = function(true[used], predicted[used], sample_weight=weight[used])
        return float(np.asarray(value).item())  # fairlearn before 0.15 returns one-row arrays

    return guarded


def _one_against_rest(function: Function, positive: int) -> Function:
    def binary(y_true: Any, y_pred: Any, *, sample_weight: Any) -> float:
        true, predicted = (y_true == positive).astype(int), (y_pred == positive).astype(int)
        return function(true, predicted, pos_label=1, sample_weight=sample_weight)

    return binary


def _base_rate(y_true: Any, y_pred: Any, *, pos_label: int, sample_weight: Any) -> float:
    return float(np.average(y_true == pos_label, weights=sample_weight))


def _functions(present: NDArray[np.int64], positive: int | None) -> dict[str, Function]:
    """fairlearn's and scikit-learn's functions for our rates, on coded labels."""
    import fairlearn.metrics as fairlearn
    from sklearn.metrics import accuracy_score, precision_score, recall_score

    weighted: Callable[..., bool] = lambda t, p, w: w.sum() > 0  # noqa: E731
    functions = {
        "accuracy": _supported(accuracy_score, weighted),
        # balanced_accuracy_score warns of classes that are predicted only; this is its definition.
        "balanced_accuracy": _supported(
            partial(recall_score, labels=present, average="macro"),
            lambda t, p, w: bool(np.isin(present, t[w > 0]).all()),
        ),
    }
    if positive is None:
        return functions
    positives: Callable[..., bool] = lambda t, p, w: w[t == positive].sum() > 0  # noqa: E731
    negatives: Callable[..., bool] = lambda t, p, w: w[t != positive].sum() > 0  # noqa: E731
    selected: Callable[..., bool] = lambda t, p, w: w[p == positive].sum() > 0  # noqa: E731
    for name, function, support in (
        ("base_rate", _base_rate, weighted),
        ("selection_rate", fairlearn.selection_rate, weighted),
        ("true_positive_rate", fairlearn.true_positive_rate, positives),
        ("false_positive_rate", fairlearn.false_positive_rate, negatives),
        ("true_negative_rate", fairlearn.true_negative_rate, negatives),
        ("false_negative_rate", fairlearn.false_negative_rate, positives),
        ("precision", precision_score, selected),
    ):
        functions[name] = _supported(_one_against_rest(function, positive), support)
    return functions


def _count(y_true: Any, y_pred: Any, *, sample_weight: Any) -> float:
    return float(np.sum(sample_weight))


def to_metric_frame(
    counts: Floats, weights: Floats, groups: pd.DataFrame, positive: int | None
) -> MetricFrame:
    """Feed a fairlearn MetricFrame cells.

    Parameters
    ----------
    counts, weights : ndarray of shape (n_groups, n_classes, n_classes)
        Rows and their summed weight by group, true and predicted label.
    groups : DataFrame of shape (n_groups, n_sensitive)
        Labels of each group.
    positive : int or None
        Index of the positive class.
    """
    from fairlearn.metrics import MetricFrame

    group, true, predicted = np.nonzero(counts)
    present = np.flatnonzero(weights.sum((0, 2)) > 0)
    functions = {"count": _count, **_functions(present, positive)}
    weight = weights[group, true, predicted]
    return MetricFrame(
        metrics=functions,
        y_true=true,
        y_pred=predicted,
        sensitive_features=groups.iloc[group].reset_index(drop=True),
        sample_params={name: {"sample_weight": weight} for name in functions},
    )


def _dataset(labels: NDArray[Any], codes: pd.DataFrame, weight: Floats) -> Any:
    with silence_import():
        from aif360.datasets import BinaryLabelDataset

    frame = codes.assign(**{"__label__": labels.astype(float), "__weight__": weight})
    return BinaryLabelDataset(
        favorable_label=1.0,
        unfavorable_label=0.0,
        df=frame,
        label_names=["__label__"],
        protected_attribute_names=list(codes.columns),
        instance_weights_name="__weight__",
    )


def to_classification_metric(
    weights: Floats,
    groups: pd.DataFrame,
    positive: int,
    sides: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
) -> ClassificationMetric:
    """Feed an aif360 ClassificationMetric cells, one class against the rest.

    Parameters
    ----------
    weights : ndarray of shape (n_groups, n_classes, n_classes)
        Summed weight by group, true and predicted label.
    groups : DataFrame of shape (n_groups, n_sensitive)
        Labels of each group.
    positive : int
        Index of the favourable class.
    sides : tuple of ndarray of shape (n_groups,), bool, or None
        The unprivileged and the privileged groups.
    """
    is_positive = np.arange(weights.shape[-1]) == positive
    joined = np.stack([~is_positive, is_positive]).astype(float)
    table = np.einsum("sk,gkl,tl->gst", joined, weights, joined)
    group, true, predicted = np.nonzero(table)
    codes = pd.DataFrame(
        {
            name: groups[name].map({v: float(i) for i, v in enumerate(sort_labels(set(labels)))})
            for name, labels in groups.items()
        }
    )
    rows, weight = codes.iloc[group].reset_index(drop=True), table[group, true, predicted]
    unprivileged, privileged = (
        (None, None) if sides is None else (codes[side].to_dict("records") for side in sides)
    )
    return _weighted_metric()(
        _dataset(true, rows, weight),
        _dataset(predicted, rows, weight),
        unprivileged_groups=unprivileged,
        privileged_groups=privileged,
    )


def _entropy(benefit: Floats, weight: Floats, alpha: float) -> float:
    """Generalised entropy index of weighted benefits (Speicher et al. 2018, equation 2)."""
    share = benefit / np.average(benefit, weights=weight)
    if alpha == 1:
        positive = share > 0
        terms = np.zeros_like(share)
        terms[positive] = share[positive] * np.log(share[positive])
    elif alpha == 0:
        with np.errstate(divide="ignore"):  # infinite, by definition, where somebody gets nothing
            terms = -np.log(share)
    else:
        terms = (share**alpha - 1) / (alpha * (alpha - 1))
    return float(np.average(terms, weights=weight))


def _weighted_metric() -> type[ClassificationMetric]:
    """aif360's class with weighted entropy indices. Importing aif360 takes long."""
    with silence_import():
        from aif360.metrics import ClassificationMetric
        from aif360.metrics.utils import compute_boolean_conditioning_vector

    class WeightedClassificationMetric(ClassificationMetric):
        def _benefits(self) -> Floats:
            favourable = self.dataset.favorable_label
            predicted = self.classified_dataset.labels.ravel() == favourable
            true = self.dataset.labels.ravel() == favourable
            return np.asarray(1.0 + predicted - true)

        def generalized_entropy_index(self, alpha: float = 2) -> float:
            return _entropy(self._benefits(), self.dataset.instance_weights, alpha)

        def _between_group_generalized_entropy_index(self, groups: Any, alpha: float = 2) -> float:
            benefit, weight = self._benefits(), self.dataset.instance_weights
            mean = np.zeros_like(benefit)
            for group in groups:
                inside = compute_boolean_conditioning_vector(
                    self.dataset.protected_attributes,
                    self.dataset.protected_attribute_names,
                    condition=group,
                )
                if weight[inside].sum() > 0:
                    mean[inside] = np.average(benefit[inside], weights=weight[inside])
            return _entropy(mean, weight, alpha)

    return WeightedClassificationMetric

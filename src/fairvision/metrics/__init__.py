"""Fairness gaps and performance, by group, with intervals; fairlearn and aif360 side by side."""

from fairvision.metrics.catalog import available_metrics
from fairvision.metrics.engine import evaluate_predictions
from fairvision.metrics.estimator import evaluate
from fairvision.metrics.evaluation import Evaluation
from fairvision.metrics.paired import paired_difference
from fairvision.metrics.papers import calibrated_threshold
from fairvision.metrics.probe import leakage
from fairvision.metrics.scorer import FairnessScorer, as_scorer

__all__ = [
    "Evaluation",
    "FairnessScorer",
    "as_scorer",
    "available_metrics",
    "calibrated_threshold",
    "evaluate",
    "evaluate_predictions",
    "leakage",
    "paired_difference",
]

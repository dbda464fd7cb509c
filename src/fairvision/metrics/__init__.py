"""Fairness gaps and performance, by group, with intervals; fairlearn and aif360 side by side."""

from fairvision.metrics.calibration import calibrated_threshold
from fairvision.metrics.catalog import available_metrics, metric_table
from fairvision.metrics.draws import drawn_metrics
from fairvision.metrics.estimator import evaluate
from fairvision.metrics.evaluation import Evaluation
from fairvision.metrics.paired import paired_difference, unpaired_difference
from fairvision.metrics.predictions import evaluate_predictions
from fairvision.metrics.probe import leakage
from fairvision.metrics.scorer import FairnessScorer, as_scorer
from fairvision.metrics.selection import metric_direction

__all__ = [
    "Evaluation",
    "FairnessScorer",
    "as_scorer",
    "available_metrics",
    "calibrated_threshold",
    "drawn_metrics",
    "evaluate",
    "evaluate_predictions",
    "leakage",
    "metric_direction",
    "metric_table",
    "paired_difference",
    "unpaired_difference",
]

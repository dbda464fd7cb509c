"""Fairness gaps and performance, by group, with intervals; fairlearn and aif360 side by side."""

from fairvision.metrics.catalog import available_metrics
from fairvision.metrics.engine import evaluate, evaluate_predictions
from fairvision.metrics.evaluation import Evaluation

__all__ = ["Evaluation", "available_metrics", "evaluate", "evaluate_predictions"]

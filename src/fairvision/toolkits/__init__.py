"""Methods of fairlearn, aif360 and imbalanced-learn behind our contracts."""

from fairvision.toolkits.reductions import ExponentiatedGradientClassifier
from fairvision.toolkits.samplers import BalancedSampling, Reweighing
from fairvision.toolkits.thresholds import ThresholdOptimizedClassifier

__all__ = [
    "BalancedSampling",
    "ExponentiatedGradientClassifier",
    "Reweighing",
    "ThresholdOptimizedClassifier",
]

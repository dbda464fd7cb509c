"""What the toolkits already offer, as methods among the papers': thin, on images, with groups."""

from fairvision.toolkits.reductions import ExponentiatedGradientClassifier
from fairvision.toolkits.samplers import BalancedSampling, Reweighing
from fairvision.toolkits.thresholds import ThresholdOptimizedClassifier

__all__ = [
    "BalancedSampling",
    "ExponentiatedGradientClassifier",
    "Reweighing",
    "ThresholdOptimizedClassifier",
]

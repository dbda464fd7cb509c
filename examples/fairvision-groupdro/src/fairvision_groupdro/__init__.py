"""Group DRO for fairvision: train for the worst group."""

from fairvision_groupdro._estimator import GroupDROClassifier

__all__ = ["GroupDROClassifier"]

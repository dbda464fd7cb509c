from ._estimator import GroupDROClassifier as GroupDROClassifier

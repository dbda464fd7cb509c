from ._estimator import JLUClassifier as JLUClassifier

__version__: str

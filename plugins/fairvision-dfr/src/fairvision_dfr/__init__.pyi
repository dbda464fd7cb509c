from ._estimator import LastLayerRetraining as LastLayerRetraining

__version__: str

from ._estimator import AutomaticFeatureReweighting as AutomaticFeatureReweighting

__version__: str

from ._estimator import AdversarialFineTuning as AdversarialFineTuning
from ._estimator import LayerwiseOptimization as LayerwiseOptimization
from ._estimator import RandomPerturbation as RandomPerturbation
from ._report import pareto_figure as pareto_figure

__version__: str

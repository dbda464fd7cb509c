from ._algorithm import Hyperplane as Hyperplane
from ._algorithm import smallest_move as smallest_move
from ._estimator import LatentPairSampler as LatentPairSampler
from ._gan import ProgressiveGAN as ProgressiveGAN
from ._report import pairs_figure as pairs_figure

__version__: str

from ._calibration import Calibration as Calibration
from ._curve import quantile_curve as quantile_curve
from ._estimator import AttributionNoise as AttributionNoise
from ._grid import PatchGrid as PatchGrid
from ._net import cifar_resnet18 as cifar_resnet18
from ._net import patch_cnn as patch_cnn
from ._noise import NoisyImages as NoisyImages
from ._regions import RegionClassifier as RegionClassifier
from ._report import attribution_figure as attribution_figure

__version__: str

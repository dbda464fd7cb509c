from ._algorithm import LatentDensities as LatentDensities
from ._estimator import DBVAEClassifier as DBVAEClassifier
from ._module import lab_encoder as lab_encoder
from ._pictures import load_face_or_not as load_face_or_not
from ._report import latents_figure as latents_figure
from ._windows import window_scores as window_scores

__version__: str

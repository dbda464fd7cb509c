from . import base as base
from . import cards as cards
from . import comparison as comparison
from . import datasets as datasets
from . import exceptions as exceptions
from . import metrics as metrics
from . import models as models
from . import nn as nn
from . import plugins as plugins
from . import reports as reports
from . import saving as saving
from . import testing as testing
from . import toolkits as toolkits
from . import types as types
from .base import Resampled as Resampled
from .base import compose as compose
from .cards import data_card as data_card
from .comparison import compare as compare
from .comparison import fit as fit
from .metrics import evaluate as evaluate
from .models import ImageModel as ImageModel
from .plugins import make as make
from .plugins import methods as methods
from .plugins import register as register
from .saving import load as load
from .saving import save as save

__version__: str

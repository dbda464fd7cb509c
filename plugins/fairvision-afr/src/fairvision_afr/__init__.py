"""Automatic feature reweighting (Qiu et al. 2023) for fairvision: a new last layer, no groups."""

from lazy_loader import attach_stub

__version__ = "0.1.0"

# The names are in __init__.pyi; each is imported when it is first used.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

"""Group DRO for fairvision: train for the worst group."""

from lazy_loader import attach_stub

# The names are in __init__.pyi; each is imported when it is first used, so that listing the
# method imports nothing heavy.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

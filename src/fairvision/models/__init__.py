"""A fitted estimator with everything that turns picture files into its predictions."""

from lazy_loader import attach_stub

# The names are in __init__.pyi; each is imported when it is first used, so that
# auditing a table of predictions needs no torch.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

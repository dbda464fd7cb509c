"""Fitted estimators that predict picture files, with the settings to read them."""

from lazy_loader import attach_stub

# The names are in __init__.pyi; each is imported when it is first used, so that
# auditing a table of predictions needs no torch.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

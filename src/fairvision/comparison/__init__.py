"""Methods by seeds on one data set: the main job.

The room is not called ``compare``: importing a subpackage of that name would
put it in the place of the function `fairvision.compare`.
"""

from lazy_loader import attach_stub

# The names are in __init__.pyi; each is imported when it is first used, so that
# reading a folder for a report needs no torch.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

"""`ImageFiles`, which is defined in `fairvision.base`."""

from fairvision.base import ImageFiles

__all__ = ["ImageFiles"]

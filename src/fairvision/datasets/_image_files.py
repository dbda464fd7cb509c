"""`ImageFiles` is a data set's images, and any estimator's; its home is the room that all share."""

from fairvision.base import ImageFiles

__all__ = ["ImageFiles"]

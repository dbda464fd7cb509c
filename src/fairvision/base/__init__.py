"""The stage contracts on the scikit-learn side."""

from fairvision.base.compose import compose
from fairvision.base.groups import Groups, check_groups
from fairvision.base.images import check_images, is_images, take
from fairvision.base.resampled import Resampled, accepts, fit_with_groups

__all__ = [
    "Groups",
    "Resampled",
    "accepts",
    "check_groups",
    "check_images",
    "compose",
    "fit_with_groups",
    "is_images",
    "take",
]

"""The stage contracts on the scikit-learn side."""

from fairvision.base.compose import compose
from fairvision.base.fitting import accepts, all_or_nothing, fit_with_groups
from fairvision.base.groups import Groups, check_groups
from fairvision.base.images import check_images, is_images, take
from fairvision.base.resampled import Resampled

__all__ = [
    "Groups",
    "Resampled",
    "accepts",
    "all_or_nothing",
    "check_groups",
    "check_images",
    "compose",
    "fit_with_groups",
    "is_images",
    "take",
]

"""The stage contracts on the scikit-learn side."""

from fairvision.base.groups import Groups, check_groups
from fairvision.base.images import check_images, is_images, take

__all__ = ["Groups", "check_groups", "check_images", "is_images", "take"]

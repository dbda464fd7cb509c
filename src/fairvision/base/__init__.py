"""The stage contracts on the scikit-learn side."""

from fairvision.base.compose import compose
from fairvision.base.fitting import (
    accepts,
    all_or_nothing,
    fit_with_groups,
    groups_at_predict,
)
from fairvision.base.groups import Groups, check_groups
from fairvision.base.held_out import fit_or_frozen, stratified, take_groups
from fairvision.base.images import check_images, is_images, take
from fairvision.base.quiet import quiet_import
from fairvision.base.resampled import Resampled
from fairvision.base.state import fitted_attributes

__all__ = [
    "Groups",
    "Resampled",
    "accepts",
    "all_or_nothing",
    "check_groups",
    "check_images",
    "compose",
    "fit_or_frozen",
    "fit_with_groups",
    "fitted_attributes",
    "groups_at_predict",
    "is_images",
    "quiet_import",
    "stratified",
    "take",
    "take_groups",
]

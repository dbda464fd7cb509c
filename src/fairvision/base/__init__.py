"""The stage contracts on the scikit-learn side, and what every room needs."""

from fairvision.base.cells import WorstCell, leaves_worse_off, worst_cell
from fairvision.base.compose import compose
from fairvision.base.files import atomic_write, check_new_file
from fairvision.base.fitting import (
    accepts,
    all_or_nothing,
    fit_with_groups,
    groups_at_predict,
    inner_has,
    readable_by,
    rows_for,
)
from fairvision.base.forms import check_form, is_path, is_paths
from fairvision.base.groups import Groups, check_groups
from fairvision.base.image_files import ImageFiles
from fairvision.base.images import (
    are_maps,
    check_images,
    check_pixels,
    check_values,
    is_images,
    take,
)
from fairvision.base.labels import (
    ScoreMixin,
    check_labels,
    check_meet,
    code_labels,
    plain_label,
    sort_labels,
)
from fairvision.base.lazy_images import LazyImages, TakenRows, rows_of
from fairvision.base.parameters import check_choices, check_numbers, did_you_mean
from fairvision.base.pixel_range import convert
from fairvision.base.progress import ProgressBar, progress_bar
from fairvision.base.randomness import (
    RandomState,
    as_generator,
    as_seed,
    numbered_rows,
    row_draws,
)
from fairvision.base.resampled import Resampled
from fairvision.base.silence import silence_import
from fairvision.base.state import fitted_attributes
from fairvision.base.stored_images import read_once
from fairvision.base.validation_split import (
    cross_fitted,
    fit_on_all,
    fit_or_frozen,
    stratified,
    stratified_folds,
    stratified_splits,
    take_groups,
)
from fairvision.base.weights import independence_weights

__all__ = [
    "Groups",
    "ImageFiles",
    "LazyImages",
    "ProgressBar",
    "RandomState",
    "Resampled",
    "TakenRows",
    "ScoreMixin",
    "WorstCell",
    "accepts",
    "all_or_nothing",
    "as_generator",
    "as_seed",
    "atomic_write",
    "check_choices",
    "check_form",
    "check_groups",
    "are_maps",
    "check_images",
    "check_numbers",
    "check_labels",
    "check_meet",
    "check_new_file",
    "check_pixels",
    "check_values",
    "code_labels",
    "compose",
    "convert",
    "cross_fitted",
    "did_you_mean",
    "fit_on_all",
    "fit_or_frozen",
    "fit_with_groups",
    "fitted_attributes",
    "groups_at_predict",
    "inner_has",
    "independence_weights",
    "is_images",
    "is_path",
    "is_paths",
    "leaves_worse_off",
    "numbered_rows",
    "plain_label",
    "progress_bar",
    "read_once",
    "readable_by",
    "row_draws",
    "rows_for",
    "rows_of",
    "silence_import",
    "sort_labels",
    "stratified",
    "stratified_folds",
    "stratified_splits",
    "take",
    "take_groups",
    "worst_cell",
]

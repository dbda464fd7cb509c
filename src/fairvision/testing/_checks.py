"""The checks of a method, in the order in which they run: what is cheap and basic first."""

from __future__ import annotations

from collections.abc import Callable

from fairvision.testing import _behaviour, _contract, _groups, _inputs, _state, _toolkits
from fairvision.testing._subject import Subject

__all__ = ["CHECKS"]

Check = Callable[[Subject], None]

_ORDER: tuple[Check, ...] = (
    _contract.constructor_only_stores,
    _contract.signatures_follow_the_stage,
    _contract.takes_sample_weight,
    _contract.has_features,
    _contract.clone_keeps_parameters,
    _contract.presets_can_be_made,
    _contract.unfitted_says_so,
    _inputs.fits_and_predicts,
    _inputs.resamples_whole_rows,
    _inputs.takes_every_form_of_images,
    _inputs.takes_every_type_of_target,
    _inputs.takes_the_targets_it_declares,
    _inputs.refuses_bad_images,
    _inputs.refuses_bad_targets,
    _groups.takes_every_form_of_groups,
    _groups.takes_the_groups_it_declares,
    _groups.refuses_bad_groups,
    _groups.refuses_missing_groups,
    _groups.groups_are_read_when_declared_and_only_then,
    _state.fit_forgets_an_earlier_fit,
    _state.input_is_left_alone,
    _state.parameters_are_left_alone,
    _state.same_seed_same_result,
    _state.global_random_state_is_left_alone,
    _toolkits.works_in_a_pipeline,
    _toolkits.works_in_a_grid_search,
    _toolkits.saves_and_loads,
    _toolkits.can_be_pickled,
    _toolkits.passes_the_checks_of_scikit_learn,
    _behaviour.does_nothing_when_disabled,
    _behaviour.recovers_planted_bias,
    _behaviour.no_gain_from_shuffled_groups,
    _behaviour.no_great_harm_without_bias,
)

#: Name -> check, a function that raises where its docstring's promise is not kept.
CHECKS: dict[str, Check] = {check.__name__: check for check in _ORDER}

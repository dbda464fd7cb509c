"""The worst cell, and whether a change leaves it worse off."""

import numpy as np
import pytest

from fairvision.base import leaves_worse_off, stratified_folds, stratified_splits, worst_cell
from fairvision.exceptions import FairvisionWarning, InputError

Y = np.repeat(["no", "yes"], 80)
GROUPS = np.tile(["a", "b"], 80)


def wrong_in(rows, y=Y):
    """Predictions that are wrong in these rows and right in all others."""
    predicted = y.copy()
    predicted[rows] = np.where(y[rows] == "no", "yes", "no")
    return predicted


def cell(target, group):
    return np.flatnonzero((target == Y) & (group == GROUPS))


def test_the_worst_cell_is_the_lowest_accuracy_and_not_the_mean():
    worst = worst_cell(Y, GROUPS, wrong_in(cell("yes", "b")[:30]))
    assert worst == (0.25, "yes", "b", 40)
    assert str(worst) == "0.250 (target yes, group b, 40 rows)"


def test_several_columns_are_crossed_and_empty_cells_left_out():
    groups = {"hat": GROUPS, "half": np.arange(160) % 4 < 2}
    worst = worst_cell(Y, groups, wrong_in([0]))
    assert (worst.group, worst.n_rows) == (("a", True), 20)
    assert worst_cell(["yes", "no"], ["a", "b"], ["yes", "no"]).accuracy == 1


def test_a_collapsed_cell_is_a_loss_and_the_same_or_better_is_none():
    before, after = wrong_in([]), wrong_in(cell("no", "a")[:12])
    assert leaves_worse_off(Y, GROUPS, before, after)
    assert not leaves_worse_off(Y, GROUPS, before, before)
    assert not leaves_worse_off(Y, GROUPS, after, before)


def test_a_loss_in_a_cell_that_stays_above_the_worst_is_allowed():
    before = wrong_in(cell("no", "a")[:35])
    after = wrong_in(np.concatenate([cell("no", "a")[:10], cell("yes", "b")[:12]]))
    assert not leaves_worse_off(Y, GROUPS, before, after)


def test_another_cell_that_becomes_worse_than_the_worst_was_is_a_loss():
    before, after = wrong_in(cell("no", "a")[:10]), wrong_in(cell("yes", "b")[:35])
    assert leaves_worse_off(Y, GROUPS, before, after)


def test_few_rows_show_no_loss_and_the_level_says_how_few():
    before, after = wrong_in([]), wrong_in(cell("no", "a")[:4])
    assert not leaves_worse_off(Y, GROUPS, before, after)
    assert leaves_worse_off(Y, GROUPS, before, after, level=0.93)  # one in 16
    assert not leaves_worse_off(["x", "y"], ["a", "b"], ["x", "y"], ["y", "x"])


def test_losses_by_chance_are_reported_as_rarely_as_the_level_says():
    rng = np.random.default_rng(0)
    reported = 0
    for _ in range(400):
        before, after = (wrong_in(rng.random(160) < 0.3) for _ in range(2))
        reported += leaves_worse_off(Y, GROUPS, before, after)
    assert reported <= 0.05 * 400


def test_with_an_owner_a_loss_warns_and_names_both_cells():
    with pytest.warns(FairvisionWarning, match=r"erm keeps .* 1\.000 .* 0\.000 \(target yes"):
        leaves_worse_off(Y, GROUPS, Y, np.full(160, "no"), owner="erm")


@pytest.mark.parametrize("level", [0, 1, -0.5])
def test_a_level_outside_0_to_1_is_refused(level):
    with pytest.raises(InputError, match="level"):
        leaves_worse_off(Y, GROUPS, Y, Y, level=level)


def test_no_rows_and_rows_of_another_length_are_refused():
    with pytest.raises(InputError, match="no rows"):
        worst_cell([], [], [])
    with pytest.raises(InputError, match="160 rows"):
        worst_cell(Y, GROUPS, Y[:3])


def test_folds_part_every_cell_that_can_be_parted():
    cells = np.array([0] * 9 + [1] + [2] * 2)
    folds = stratified_folds(cells, 4, np.random.default_rng(0))
    assert sorted(np.concatenate(folds)) == [*range(9), 10, 11]
    for fold in folds:
        assert set(np.delete(cells, fold)) == {0, 1, 2}


def test_splits_leave_every_cell_in_the_rest():
    cells = np.repeat([0, 1], [2, 40])
    splits = stratified_splits(cells, 5, 0)
    assert len(splits) == 2
    assert sorted(np.concatenate([fold for _, fold in splits])) == list(range(42))
    assert all(set(cells[rest]) == {0, 1} for rest, _ in splits)

"""Any form of `random_state` becomes a seed or a generator."""

from __future__ import annotations

import numpy as np
import pytest

from fairvision.base import as_generator, as_seed, numbered_rows, row_draws
from fairvision.exceptions import InputError


def test_an_int_is_the_seed() -> None:
    assert as_seed(7) == as_seed(np.int64(7)) == 7
    assert as_generator(7).random() == np.random.default_rng(7).random()


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_generator_decides_and_is_advanced(make) -> None:
    state = make(3)
    first, second = as_seed(state), as_seed(state)
    assert first != second
    assert first == as_seed(make(3))
    assert as_generator(make(3)).random() == as_generator(make(3)).random()


def test_a_generator_is_passed_through() -> None:
    rng = np.random.default_rng(0)
    assert as_generator(rng) is rng


def test_none_is_fresh_and_leaves_numpys_global_generator_alone() -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert as_seed(None) != as_seed(None)
    assert as_generator(None).random() != as_generator(None).random()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize("bad", [-1, 2**32, True, 1.5, "0"])
def test_anything_else_is_refused(bad) -> None:
    for coerce in (as_seed, as_generator):
        with pytest.raises(InputError, match="random_state is"):
            coerce(bad)


def test_a_row_draws_the_same_in_any_batch() -> None:
    whole = row_draws(5, 9)
    np.testing.assert_array_equal(whole, np.random.default_rng(5).random(9))
    for numbers in ([0, 1, 2], [3], [4, 6, 8], []):
        with numbered_rows(numbers):
            np.testing.assert_array_equal(row_draws(5, len(numbers)), whole[numbers])
            assert len(row_draws(5, 2)) == 2  # other rows than those that were numbered
    np.testing.assert_array_equal(row_draws(5, 9), whole)

"""Rows held out by name, in place of a share of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier

from fairvision.base import cross_fitted, fit_on_all, fit_or_frozen
from fairvision.exceptions import InputError

X, Y = np.arange(10.0)[:, None], np.arange(10) % 2
HELD_OUT = np.arange(10) >= 6


def split(estimator: Any, held_out: Any) -> Any:
    return fit_or_frozen(
        estimator,
        X,
        Y,
        None,
        cells=Y,
        validation_fraction=0.5,
        rng=np.random.default_rng(0),
        held_out=held_out,
    )


def test_the_estimator_is_fitted_on_the_others() -> None:
    fitted, rows = split(KNeighborsClassifier(1), HELD_OUT)
    assert rows.tolist() == [6, 7, 8, 9]
    assert fitted.n_samples_fit_ == 6


def test_a_frozen_estimator_was_fitted_on_the_others() -> None:
    frozen = FrozenEstimator(KNeighborsClassifier(1).fit(X, Y))
    assert split(frozen, HELD_OUT)[1].tolist() == [6, 7, 8, 9]
    assert split(frozen, None)[1].tolist() == list(range(10))


@pytest.mark.parametrize(
    "held_out", [np.arange(4), HELD_OUT[:4], HELD_OUT.astype(float), np.zeros(10, dtype=bool)]
)
def test_what_is_no_choice_of_rows(held_out: Any) -> None:
    with pytest.raises(InputError, match="held_out"):
        split(KNeighborsClassifier(1), held_out)


def test_fitted_on_all_rows_unless_some_must_stay_unseen() -> None:
    given, part = KNeighborsClassifier(1), KNeighborsClassifier(1).fit(X[:6], Y[:6])
    frozen = FrozenEstimator(part)
    assert fit_on_all(given, part, X, Y, None).n_samples_fit_ == 10
    assert fit_on_all(given, part, X, Y, None, held_out=HELD_OUT) is part
    assert fit_on_all(frozen, frozen, X, Y, None) is frozen


def test_cross_fitted_shows_each_row_to_a_clone_that_has_not_seen_it() -> None:
    def cross_fit(estimator: Any) -> list[Any]:
        rng = np.random.default_rng(0)
        return list(cross_fitted(estimator, X, Y, None, cells=Y, n_folds=3, rng=rng))

    parts = cross_fit(KNeighborsClassifier(1))
    assert sorted(np.concatenate([rows for _, rows in parts])) == list(range(10))
    for fitted, rows in parts:
        assert fitted.kneighbors(X[rows])[0].min() > 0
    frozen = FrozenEstimator(KNeighborsClassifier(1).fit(X, Y))
    assert [(fitted is frozen, len(rows)) for fitted, rows in cross_fit(frozen)] == [(True, 10)]


def test_no_row_left_to_fit_on() -> None:
    with pytest.raises(InputError, match="every row"):
        split(KNeighborsClassifier(1), np.ones(10, dtype=bool))

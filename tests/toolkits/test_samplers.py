"""Weights and rows that balance targets and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.base import Resampled
from fairvision.exceptions import GroupsRequiredError, InputError
from fairvision.nn import TorchClassifier
from fairvision.toolkits import BalancedSampling, Reweighing

pytestmark = pytest.mark.cpu

rows = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0, 1, 7])), min_size=1)


@given(rows)
@settings(max_examples=60, deadline=None)
def test_weights_make_target_and_group_independent(pairs: list[tuple[str, int]]) -> None:
    y, group = np.array([t for _, t in pairs]), np.array([g for g, _ in pairs])
    sampler = Reweighing()
    sampler.fit_resample(np.zeros((len(y), 1, 2, 2)), y, sensitive_features=group)
    weight = sampler.sample_weight_
    for a in np.unique(group):
        for t in np.unique(y):
            here = (group == a) & (y == t)
            if here.any():
                expected = (group == a).mean() * (y == t).mean()
                assert weight[here].sum() / len(y) == pytest.approx(expected)
                assert sampler.factors_.loc[a, t] == pytest.approx(weight[here][0])


def test_weights_reach_the_classifier(faces: Bunch, groups: Any, erm: TorchClassifier) -> None:
    X, y = faces.images, faces.target
    composed = fv.compose(pre=fv.make("reweighing"), model=erm)
    composed.fit(X, y, sensitive_features=groups)
    weight = composed.sampler_.sample_weight_
    by_hand = clone(erm).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(composed.predict_proba(X), by_hand.predict_proba(X))
    assert np.ptp(weight) > 0
    assert not np.array_equal(composed.predict_proba(X), clone(erm).fit(X, y).predict_proba(X))


def test_weights_are_never_lost_on_the_way(faces: Bunch, groups: Any, erm: Any) -> None:
    X, y = faces.images, faces.target
    both = [BalancedSampling(random_state=0), Reweighing()]
    fv.compose(pre=both, model=erm).fit(X, y, sensitive_features=groups)
    model = fv.compose(pre=both[::-1], model=erm).fit(X, y, sensitive_features=groups)
    rows = model.classifier_.sampler_.sample_indices_
    weight = model.sampler_.sample_weight_[rows]
    by_hand = clone(erm).fit(X[rows], y[rows], sample_weight=weight)
    np.testing.assert_array_equal(model.predict_proba(X), by_hand.predict_proba(X))


@pytest.mark.parametrize("strategy", ["over", "under"])
@pytest.mark.parametrize("cells", ["target and group", "group", "target"])
def test_every_cell_has_as_many_rows(faces: Bunch, groups: Any, cells: str, strategy: str) -> None:
    sampler = BalancedSampling(cells, strategy=strategy, random_state=0)
    frame = pd.DataFrame({"skin": groups})
    X, y = sampler.fit_resample(faces.images, faces.target, sensitive_features=frame)
    drawn = sampler.sample_indices_
    np.testing.assert_array_equal(X, faces.images[drawn])
    np.testing.assert_array_equal(y, faces.target[drawn])
    np.testing.assert_array_equal(sampler.sensitive_features_["skin"], groups[drawn])
    table = pd.DataFrame({"target": y, "group": groups[drawn]})
    counts = table.value_counts(cells.split(" and "))
    before = pd.DataFrame({"target": faces.target, "group": groups}).value_counts(
        cells.split(" and ")
    )
    assert set(counts) == {before.max() if strategy == "over" else before.min()}
    assert len(counts) == len(before)


def test_a_single_cell_is_balanced() -> None:
    sampler = BalancedSampling()
    X, y = sampler.fit_resample(np.zeros((3, 1, 2, 2)), [1, 1, 1], sensitive_features=list("aaa"))
    assert len(X) == len(y) == 3


def test_lazy_images_stay_lazy(tmp_path: Any, groups: Any, faces: Bunch) -> None:
    from PIL import Image

    from fairvision.datasets import ImageFiles

    for i, image in enumerate(faces.images[:8]):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
    files = ImageFiles(sorted(tmp_path.glob("*.png")))
    X, _ = BalancedSampling(random_state=0).fit_resample(
        files, [0, 1] * 4, sensitive_features=list("aaabbbbb")
    )
    assert isinstance(X, ImageFiles)


@pytest.mark.parametrize(
    ("sampler", "word"),
    [(BalancedSampling("pixels"), "cells"), (BalancedSampling(strategy="more"), "strategy")],
)
def test_unusable_parameters_are_named(sampler: Any, word: str) -> None:
    with pytest.raises(InputError, match=word):
        sampler.fit(np.zeros((2, 1, 2, 2)), [0, 1], sensitive_features=[0, 1])


@pytest.mark.parametrize("sampler", [Reweighing(), BalancedSampling()])
def test_groups_are_needed_and_of_the_right_length(sampler: Any, faces: Bunch) -> None:
    with pytest.raises(GroupsRequiredError, match=type(sampler).__name__):
        sampler.fit_resample(faces.images, faces.target)
    with pytest.raises(InputError, match="2 rows"):
        sampler.fit_resample(faces.images, faces.target, sensitive_features=[0, 1])
    with pytest.raises(InputError, match="y has 2 rows"):
        sampler.fit_resample(faces.images, [0, 1], sensitive_features=[0, 1])


def test_same_state_same_rows(faces: Bunch, groups: Any) -> None:
    drawn = [
        BalancedSampling(random_state=s)
        .fit(faces.images, faces.target, sensitive_features=groups)
        .sample_indices_
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_they_stand_in_a_grid_search(faces: Bunch, groups: Any, erm: Any) -> None:
    import sklearn
    from sklearn.model_selection import GridSearchCV

    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            Resampled(BalancedSampling(random_state=0), erm),
            {"sampler__strategy": ["over", "under"]},
            cv=2,
        ).fit(faces.images, faces.target, sensitive_features=groups)
    assert search.best_params_["sampler__strategy"] in ("over", "under")

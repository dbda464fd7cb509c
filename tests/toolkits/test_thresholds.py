"""fairlearn's thresholds by group, on images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.exceptions import FairvisionWarning, GroupsRequiredError, InputError
from fairvision.nn import TorchClassifier
from fairvision.toolkits import ThresholdOptimizedClassifier

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def fitted(net: TorchClassifier, faces: Bunch, groups: Any) -> ThresholdOptimizedClassifier:
    model = ThresholdOptimizedClassifier(FrozenEstimator(net), random_state=0)
    return model.fit(faces.images, faces.target, sensitive_features=groups)


def test_it_is_fairlearns_own(fitted: Any, net: TorchClassifier, faces: Bunch, groups: Any) -> None:
    direct = ThresholdOptimizer(
        estimator=net,
        constraints="equalized_odds",
        objective="balanced_accuracy_score",
        prefit=True,
        predict_method="predict_proba",
    ).fit(faces.images, faces.target, sensitive_features=groups)
    expected = direct._pmf_predict(faces.images, sensitive_features=groups)
    found = fitted.predict_proba(faces.images, sensitive_features=groups)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_gap_is_closed_where_thresholds_were_found(net: TorchClassifier, faces: Bunch) -> None:
    X, y = faces.images, faces.target
    group = np.where(np.random.default_rng(0).random(len(y)) < 0.2, 1 - y, y)
    model = ThresholdOptimizedClassifier(
        FrozenEstimator(net), constraints="demographic_parity", allow_worse=True
    )
    positive = model.fit(X, y, sensitive_features=group).predict_proba(X, sensitive_features=group)

    def gap(share: Any) -> float:
        return abs(share[group == 1].mean() - share[group == 0].mean())

    assert gap(net.predict(X)) > 0.3
    assert gap(positive[:, 1]) < 1e-6  # in expectation over the draws


def test_thresholds_that_leave_the_worst_cell_worse_off_are_not_used(
    net: TorchClassifier, faces: Bunch, tmp_path: Any
) -> None:
    X, y = faces.images, faces.target
    group = np.where(np.random.default_rng(0).random(len(y)) < 0.2, 1 - y, y)
    model = ThresholdOptimizedClassifier(
        FrozenEstimator(net), constraints="demographic_parity", random_state=0
    )
    with pytest.warns(FairvisionWarning, match="keeps the model that it was given"):
        model.fit(X, y, sensitive_features=group)
    assert model.threshold_optimizer_ is None
    fv.save(model, tmp_path / "model.safetensors")
    for kept in (model, fv.load(tmp_path / "model.safetensors")):
        found = kept.predict(X, sensitive_features=group)
        np.testing.assert_array_equal(found, net.predict(X))
        scores = kept.predict_proba(X, sensitive_features=group)
        np.testing.assert_allclose(scores, net.predict_proba(X))


def test_draws_have_the_probabilities_and_follow_the_seed(
    fitted: Any, faces: Bunch, groups: Any
) -> None:
    X = faces.images
    positive = fitted.predict_proba(X, sensitive_features=groups)[:, 1]
    drawn = fitted.predict(X, sensitive_features=groups)
    np.testing.assert_array_equal(drawn, fitted.predict(X, sensitive_features=groups))
    sure = np.isin(positive, [0, 1])
    np.testing.assert_array_equal(drawn[sure], positive[sure])
    spread = np.sqrt((positive * (1 - positive)).sum())
    assert abs(drawn.sum() - positive.sum()) <= 4 * spread + 1e-9


def test_labels_of_any_kind_and_several_columns(net: TorchClassifier, faces: Bunch) -> None:
    y = np.array(["no", "yes"])[faces.target]
    columns = faces.attributes[["skin_group", "hat"]]
    model = fv.make("threshold-optimizer", estimator=TorchClassifier(max_epochs=1, random_state=0))
    model.set_params(random_state=0).fit(faces.images, y, sensitive_features=columns)
    predicted = model.predict(faces.images, sensitive_features=columns)
    assert set(predicted) <= {"no", "yes"}
    assert model.transform(faces.images[:2]).shape[0] == 2
    assert 0 <= model.score(faces.images, y, sensitive_features=columns) <= 1


def test_an_unfrozen_estimator_sees_all_rows_and_thresholds_the_scores_of_others(
    faces: Bunch, groups: Any, erm: TorchClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = faces.images, faces.target
    model = ThresholdOptimizedClassifier(erm, n_folds=2, random_state=0)
    seen = []
    search = ThresholdOptimizedClassifier._fit_thresholds
    monkeypatch.setattr(
        ThresholdOptimizedClassifier,
        "_fit_thresholds",
        lambda self, *args: seen.append(args[0]) or search(self, *args),
    )
    model.fit(X, y, sensitive_features=groups)
    plain = clone(erm).fit(X, y, sensitive_features=groups)
    np.testing.assert_array_equal(model.transform(X), plain.transform(X))
    assert len(seen[0]) == len(X)
    assert not np.isin(seen[0][:, 0], plain.predict_proba(X)[:, 1]).all()
    assert not hasattr(erm, "module_")


def test_a_cell_of_one_row_is_refused_before_training(faces: Bunch, erm: TorchClassifier) -> None:
    group = np.where(np.arange(300) == np.flatnonzero(faces.target)[0], 0, faces.target)
    group[np.flatnonzero(faces.target == 0)[:9]] = 1
    with pytest.raises(InputError, match="no rows of one of the classes"):
        ThresholdOptimizedClassifier(erm).fit(faces.images, faces.target, sensitive_features=group)
    with pytest.raises(InputError, match="n_folds is 1"):
        ThresholdOptimizedClassifier(erm, n_folds=1).fit(
            faces.images, faces.target, sensitive_features=faces.attributes["hat"]
        )


def test_unknown_groups_are_refused_and_missing_ones_too(
    fitted: Any, faces: Bunch, groups: Any
) -> None:
    some = faces.images[:4]
    with pytest.raises(InputError, match="unseen"):
        fitted.predict(some, sensitive_features=["light", "dark", "green", "dark"])
    with pytest.raises(GroupsRequiredError):
        fitted.predict(some)
    with pytest.raises(InputError, match="2 rows"):
        fitted.predict_proba(some, sensitive_features=groups[:2])


def test_a_crossing_that_never_occurred_is_refused(net: TorchClassifier, faces: Bunch) -> None:
    columns = pd.DataFrame({"a": ["x", "x", "z"] * 100, "b": ["u", "v", "u"] * 100})
    model = ThresholdOptimizedClassifier(FrozenEstimator(net), random_state=0)
    model.fit(faces.images, faces.target, sensitive_features=columns)
    with pytest.raises(InputError, match="cross to"):
        model.predict(faces.images[:1], sensitive_features=pd.DataFrame({"a": ["z"], "b": ["v"]}))


def test_what_cannot_work_is_said_before_anything_runs(
    net: TorchClassifier, faces: Bunch, groups: Any
) -> None:
    model = ThresholdOptimizedClassifier(FrozenEstimator(net))
    with pytest.raises(InputError, match="two classes"):
        model.fit(faces.images, np.arange(300) % 3, sensitive_features=groups)
    with pytest.raises(InputError, match="no rows of one of the classes"):
        model.fit(faces.images, faces.target, sensitive_features=faces.target)
    assert not hasattr(model, "estimator_")
    with pytest.raises(GroupsRequiredError):
        clone(model).fit(faces.images, faces.target)


def test_groups_pass_through_resampled(faces: Bunch, groups: Any, erm: TorchClassifier) -> None:
    inside = ThresholdOptimizedClassifier(erm, random_state=0)
    model = fv.compose(pre=fv.make("balanced-sampling", random_state=0), model=inside)
    model.fit(faces.images, faces.target, sensitive_features=groups)
    predicted = model.predict(faces.images, sensitive_features=groups)
    alone = model.classifier_.predict(faces.images, sensitive_features=groups)
    np.testing.assert_array_equal(predicted, alone)
    with pytest.raises(GroupsRequiredError):
        model.predict(faces.images)


def test_orders_that_make_no_sense_are_refused_with_the_reason(
    faces: Bunch, groups: Any, erm: TorchClassifier
) -> None:
    thresholds = fv.make("threshold-optimizer")
    for model in (thresholds, fv.compose(pre=fv.make("reweighing"), model=thresholds)):
        with pytest.raises(InputError, match="cannot pass groups on"):
            fv.compose(model=model, post=thresholds)
    twice = ThresholdOptimizedClassifier(ThresholdOptimizedClassifier(erm))
    with pytest.raises(InputError, match="the same for every group"):
        twice.fit(faces.images, faces.target, sensitive_features=groups)
    from sklearn.linear_model import RidgeClassifier

    with pytest.raises(InputError, match="no predict_proba"):
        ThresholdOptimizedClassifier(RidgeClassifier()).fit(
            faces.images, faces.target, sensitive_features=groups
        )

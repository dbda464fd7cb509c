"""`TorchClassifier` among scikit-learn's own tools, on tables and on images."""

from __future__ import annotations

import pickle
import re
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from fairvision.nn import TorchClassifier

pytestmark = pytest.mark.cpu


@parametrize_with_checks([TorchClassifier(max_epochs=30, lr=1e-2, random_state=0)])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


class Watching(TorchClassifier):
    """Says which groups each fit was given, and fails without."""

    __metadata_request__fit = {"sensitive_features": True}  # noqa: RUF012

    def fit_objective(self, objective: Any, X: Any, y: Any, **metadata: Any) -> Any:
        super().fit_objective(objective, X, y, **metadata)
        assert self.groups_ is not None, "the groups got lost on the way"
        self.groups_seen_ = self.groups_.column(0)
        return self


@pytest.fixture
def model() -> Watching:
    return Watching("mlp", max_epochs=6, lr=1e-2, random_state=0)


@pytest.fixture
def numbered(pictures):
    """Pictures that carry their row number in a pixel, and groups that say the same."""
    images = pictures.images.copy()
    images[:, 2, 0, 0] = np.arange(48)
    return images, pictures.target, np.arange(48)


@pytest.mark.parametrize("routing", [False, True])
class TestGroupsAreRouted:
    def test_through_a_pipeline_of_images(self, pictures, model, routing):
        halve = FunctionTransformer(lambda X: X[:, :, ::2, ::2])
        pipeline = Pipeline([("pass", "passthrough"), ("halve", halve), ("net", model)])
        with sklearn.config_context(enable_metadata_routing=routing):
            name = "sensitive_features" if routing else "net__sensitive_features"
            pipeline.fit(pictures.images, pictures.target, **{name: pictures.groups})
        assert pipeline["net"].input_shape_ == (3, 8, 8)
        assert pipeline.score(pictures.images, pictures.target) > 0.9
        assert (pipeline["net"].groups_seen_ == pictures.groups).all()

    def test_through_a_search_whose_folds_keep_rows_and_groups_together(
        self, numbered, model, routing
    ):
        X, y, rows = numbered
        with sklearn.config_context(enable_metadata_routing=routing):
            search = GridSearchCV(model, {"lr": [0.0, 1e-2]}, cv=3, error_score="raise")
            search.fit(X, y, sensitive_features=rows)
        assert search.best_params_ == {"lr": 1e-2}
        assert (search.best_estimator_.groups_seen_ == rows).all()

    def test_through_cross_validation(self, numbered, model, routing):
        X, y, rows = numbered
        with sklearn.config_context(enable_metadata_routing=routing):
            found = cross_validate(
                model,
                X,
                y,
                cv=3,
                params={"sensitive_features": rows},
                error_score="raise",
                return_estimator=True,
                return_indices=True,
            )
        assert found["test_score"].mean() > 0.9
        for fitted, train in zip(found["estimator"], found["indices"]["train"], strict=True):
            assert (fitted.groups_seen_ == rows[train]).all()


def test_a_clone_has_the_parameters_and_nothing_learned(pictures):
    model = TorchClassifier("mlp", lr=0.5, max_epochs=1).fit(pictures.images, pictures.target)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]


def test_a_pickled_model_predicts_the_same_bits(pictures, tmp_path):
    model = TorchClassifier(max_epochs=1, validation_fraction=0.25, random_state=0)
    model.fit(pictures.images, pictures.target)
    expected = model.predict_proba(pictures.images)
    joblib.dump(model, tmp_path / "model.joblib")
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(copy.predict_proba(pictures.images), expected)
        assert copy.history_[:, "train_loss"] == model.history_[:, "train_loss"]


def test_a_pickled_model_holds_none_of_its_images(pictures):
    sizes = []
    for n in (1, 40):
        images, target = np.tile(pictures.images, (n, 1, 1, 1)), np.tile(pictures.target, n)
        model = TorchClassifier("mlp", max_epochs=1, validation_fraction=0.5, batch_size=2000)
        sizes.append(len(pickle.dumps(model.fit(images, target))))
    assert abs(sizes[1] - sizes[0]) < 2000  # 40 times the images, a million bytes more


def test_features_feed_another_classifier(pictures):
    net = TorchClassifier("mlp", max_epochs=6, lr=1e-2, random_state=0)
    both = make_pipeline(net, LogisticRegression()).fit(pictures.images, pictures.target)
    assert both.score(pictures.images, pictures.target) > 0.9
    assert both[-1].n_features_in_ == both[0].module_.head.in_features == 64


def test_features_have_names_in_a_frame(pictures):
    net = TorchClassifier("mlp", max_epochs=1).set_output(transform="pandas")
    frame = net.fit(pictures.images, pictures.target).transform(pictures.images)
    assert frame.shape == (48, 64)
    assert list(frame.columns) == list(net.get_feature_names_out())
    assert re.fullmatch(r"torchclassifier\d+", frame.columns[0])


def test_a_frozen_model_is_not_trained_again(pictures):
    model = TorchClassifier("mlp", max_epochs=1).fit(pictures.images, pictures.target)
    expected = model.predict_proba(pictures.images)
    frozen = FrozenEstimator(model).fit(pictures.images, 1 - pictures.target)
    np.testing.assert_array_equal(frozen.predict_proba(pictures.images), expected)

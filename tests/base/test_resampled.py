"""`Resampled`: images, targets and groups leave a sampler together, whatever the sampler."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import NearMiss, RandomUnderSampler
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from fairvision.base import Resampled, check_groups, independence_weights
from fairvision.exceptions import GroupsRequiredError, InputError
from fairvision.nn import TorchClassifier
from fairvision.toolkits import Reweighing


def rows_in(groups) -> list[int]:
    return [int(str(label).rpartition(" ")[2]) for label in groups]


class Backwards(BaseEstimator):
    """A sampler that knows groups: the last rows first, one of each pair left out."""

    def __init__(self, forget: bool = False):
        self.forget = forget

    def fit_resample(self, X, y, *, sensitive_features=None):
        if not self.forget:
            self.sensitive_features_ = sensitive_features[::-2]
        return X[::-2], y[::-2]


@pytest.mark.parametrize("sampler", [RandomOverSampler, RandomUnderSampler])
class TestSamplersOfImbalancedLearn:
    def test_balance_the_classes_and_keep_rows_whole(self, sampler, recorder, numbered):
        model = Resampled(sampler(random_state=0), recorder)
        model.fit(numbered.images, numbered.target, sensitive_features=numbered.groups)
        fitted = model.classifier_
        assert set(np.bincount(fitted.y_)) == {20 if sampler is RandomOverSampler else 10}
        np.testing.assert_array_equal(fitted.y_, numbered.target[fitted.rows_])
        assert rows_in(fitted.groups_) == fitted.rows_.tolist()
        assert fitted.X_.dtype == np.uint8
        assert fitted.X_.shape[1:] == (3, 4, 4)

    @pytest.mark.parametrize(
        "form",
        [
            list,
            lambda g: pd.Series(g, index=np.arange(30)[::-1], name="who"),
            lambda g: pd.DataFrame({"who": g, "same": "x"}),
            lambda g: {"who": g},
            lambda g: np.stack([g, g], axis=1),
        ],
    )
    def test_groups_keep_their_form(self, sampler, recorder, numbered, form):
        groups = form(numbered.groups)
        model = Resampled(sampler(random_state=0), recorder)
        model.fit(numbered.images, numbered.target, sensitive_features=groups)
        kept = model.classifier_.groups_
        assert type(kept) is type(groups)
        if isinstance(kept, (dict, pd.DataFrame)):
            kept = kept["who"]
        labels = np.asarray(kept).reshape(len(kept), -1)[:, 0]
        assert rows_in(labels) == model.classifier_.rows_.tolist()

    @pytest.mark.parametrize("form", [torch.from_numpy, list, np.asfortranarray])
    def test_images_of_other_forms(self, sampler, recorder, numbered, form):
        model = Resampled(sampler(random_state=0), recorder)
        model.fit(form(numbered.images), numbered.target)
        fitted = model.classifier_
        np.testing.assert_array_equal(fitted.y_, numbered.target[fitted.rows_])
        assert fitted.groups_ is None


@pytest.mark.parametrize(
    ("sampler", "reason"),
    [
        (SMOTE(), "SMOTE cannot choose among images.*could not convert"),
        (NearMiss(), "NearMiss cannot choose among images.*use RandomOverSampler"),
        (RandomOverSampler(shrinkage=1.0), "cannot choose.*shrinkage"),
        (RandomOverSampler(sampling_strategy={0: 1}), "cannot choose.*1 samples are asked"),
    ],
)
def test_samplers_that_compute_with_pixels_are_refused_with_the_reason(
    sampler, reason, recorder, numbered
):
    with pytest.raises(InputError, match=f"(?s){reason}"):
        Resampled(sampler, recorder).fit(numbered.images, numbered.target)


class TestSamplersThatKnowGroups:
    def test_hand_on_the_groups_of_their_rows(self, recorder, numbered):
        model = Resampled(Backwards(), recorder)
        model.fit(numbered.images, numbered.target, sensitive_features=numbered.groups)
        fitted = model.classifier_
        assert fitted.rows_.tolist() == list(range(29, 0, -2))
        assert rows_in(fitted.groups_) == fitted.rows_.tolist()

    def test_must_not_lose_them(self, recorder, numbered):
        model = Resampled(Backwards(forget=True), recorder)
        with pytest.raises(InputError, match=r"Backwards .* must set `sensitive_features_`"):
            model.fit(numbered.images, numbered.target, sensitive_features=numbered.groups)

    def test_nest(self, recorder, numbered):
        model = Resampled(Backwards(), Resampled(RandomUnderSampler(random_state=0), recorder))
        model.fit(numbered.images, numbered.target, sensitive_features=numbered.groups)
        fitted = model.classifier_.classifier_
        assert (fitted.rows_ % 2 == 1).all()
        assert np.bincount(fitted.y_).tolist() == [5, 5]
        assert rows_in(fitted.groups_) == fitted.rows_.tolist()


@pytest.mark.parametrize("routing", [False, True])
def test_it_stands_in_a_plain_pipeline(recorder, numbered, routing):
    model = Resampled(RandomOverSampler(random_state=0), recorder)
    pipeline = Pipeline([("pass", "passthrough"), ("model", model)])
    with sklearn.config_context(enable_metadata_routing=routing):
        name = "sensitive_features" if routing else "model__sensitive_features"
        pipeline.fit(numbered.images, numbered.target, **{name: numbered.groups})
        scores = cross_validate(
            pipeline,
            numbered.images,
            numbered.target,
            params={name: numbered.groups},
            cv=2,
            error_score="raise",
        )
    fitted = pipeline["model"].classifier_
    assert len(fitted.rows_) == 40
    assert rows_in(fitted.groups_) == fitted.rows_.tolist()
    assert len(scores["test_score"]) == 2


def test_prediction_never_passes_through_the_sampler(numbered):
    net = TorchClassifier("mlp", max_epochs=2, random_state=0)
    model = Resampled(RandomUnderSampler(random_state=0), net)
    model.fit(numbered.images, numbered.target)
    assert len(model.predict(numbered.images)) == 30
    assert model.predict_proba(numbered.images).shape == (30, 2)
    assert model.transform(numbered.images).shape == (30, 64)
    assert model.classes_.tolist() == [0, 1]
    assert 0 <= model.score(numbered.images, numbered.target) <= 1
    assert not hasattr(net, "module_")  # clones were fitted
    assert not hasattr(model.sampler, "sample_indices_")


def test_it_has_the_methods_that_its_classifier_has(recorder):
    assert not hasattr(Resampled(RandomOverSampler(), recorder), "predict_proba")
    assert not hasattr(Resampled(RandomOverSampler(), LogisticRegression()), "transform")
    assert hasattr(Resampled(RandomOverSampler(), LogisticRegression()), "predict_proba")


def test_it_has_to_be_fitted(recorder, numbered):
    with pytest.raises(NotFittedError):
        Resampled(RandomOverSampler(), recorder).predict(numbered.images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1] * 10}, "y has 20 rows, X has 30"),
        ({"sensitive_features": ["a"] * 20}, "sensitive_features has 20 rows, X has 30"),
        ({"sensitive_features": [None] * 30}, "30 missing"),
        ({"y": [0] * 30}, "cannot choose among images .*more than 1 class|2 classes"),
    ],
)
def test_a_bad_second_fit_keeps_the_first(recorder, numbered, change, message):
    model = Resampled(RandomOverSampler(random_state=0), recorder)
    model.fit(numbered.images, numbered.target)
    before = dict(vars(model))
    arguments = {"X": numbered.images, "y": numbered.target} | change
    with pytest.raises(InputError, match=message):
        model.fit(arguments.pop("X"), arguments.pop("y"), **arguments)
    assert vars(model) == before


class NeedsGroups(LogisticRegression):
    """A classifier that keeps what reaches its fit."""

    __metadata_request__fit = {"sensitive_features": True}  # noqa: RUF012

    def fit(self, X, y, *, sensitive_features=None, sample_weight=None):
        check_groups(sensitive_features, len(X), required_by="NeedsGroups")
        self.groups_, self.weights_ = sensitive_features, sample_weight
        return super().fit(np.asarray(X).reshape(len(X), -1), y, sample_weight)

    def predict(self, X):
        return super().predict(np.asarray(X).reshape(len(X), -1))


AROUND = {
    "a pipeline": lambda inner: Pipeline([("pass", "passthrough"), ("last", inner)]),
    "a search": lambda inner: GridSearchCV(inner, {"C": [1.0]}, cv=2),
    "a search of a pipeline": lambda inner: GridSearchCV(
        that_scores_with_weights(Pipeline([("last", inner)])), {"last__C": [1.0]}, cv=2
    ),
}


def that_scores_with_weights(pipeline):
    """Before 1.8, scikit-learn's Pipeline must be asked to score with weights itself."""
    if sklearn.get_config()["enable_metadata_routing"] and hasattr(pipeline, "set_score_request"):
        pipeline.set_score_request(sample_weight=True)
    return pipeline


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("name", AROUND)
def test_groups_and_weights_reach_a_classifier_inside_another(numbered, name, routing):
    with sklearn.config_context(enable_metadata_routing=routing):
        inner = NeedsGroups()
        if routing:
            inner.set_fit_request(sample_weight=True, sensitive_features=True)
            inner.set_score_request(sample_weight=True)
        model = Resampled(RandomUnderSampler(random_state=0), AROUND[name](inner))
        weights = np.arange(30.0) + 1
        model.fit(
            numbered.images,
            numbered.target,
            sensitive_features=numbered.groups,
            sample_weight=weights,
        )
    fitted = getattr(model.classifier_, "best_estimator_", model.classifier_)
    fitted = fitted[-1] if isinstance(fitted, Pipeline) else fitted
    rows = model.sampler_.sample_indices_
    assert rows_in(fitted.groups_) == rows.tolist()
    np.testing.assert_array_equal(fitted.weights_, weights[rows])


def test_groups_that_nobody_hands_on_are_said_to_be_lost(numbered):
    model = Resampled(RandomUnderSampler(), OneVsRestClassifier(NeedsGroups()))
    with pytest.raises(
        GroupsRequiredError, match=r"were given, but OneVsRestClassifier.fit does not pass"
    ):
        model.fit(numbered.images, numbered.target, sensitive_features=numbered.groups)


class TestWeights:
    def test_of_repeated_rows(self, numbered):
        weights = np.arange(30.0)
        model = Resampled(RandomOverSampler(random_state=0), NeedsGroups())
        model.fit(
            numbered.images,
            numbered.target,
            sensitive_features=numbered.groups,
            sample_weight=weights,
        )
        rows = rows_in(model.classifier_.groups_)
        np.testing.assert_array_equal(model.classifier_.weights_, weights[rows])

    def test_reweighing_counts_a_row_of_weight_two_twice(self, numbered):
        groups, weights = np.tile(["a", "b", "b"], 10), np.tile([1.0, 2.0, 1.0], 10)
        model = Resampled(Reweighing(), NeedsGroups())
        model.fit(
            numbered.images, numbered.target, sensitive_features=groups, sample_weight=weights
        )
        expected = weights * independence_weights(numbered.target, groups, weights)
        np.testing.assert_allclose(model.classifier_.weights_, expected)

    def test_are_refused_by_new_rows_and_by_a_classifier_without(self, numbered):
        given = {"sensitive_features": numbered.groups, "sample_weight": np.ones(30)}
        with pytest.raises(InputError, match="Backwards makes rows that have no sample_weight"):
            Resampled(Backwards(), NeedsGroups()).fit(numbered.images, numbered.target, **given)
        with pytest.raises(InputError, match=r"sample_weight has shape \(3,\), X has 30 rows"):
            Resampled(RandomOverSampler(), NeedsGroups()).fit(
                numbered.images, numbered.target, sample_weight=np.ones(3)
            )
        with pytest.raises(InputError, match=r"KNeighborsClassifier\.fit takes no sample_weight"):
            Resampled(RandomOverSampler(), KNeighborsClassifier()).fit(
                numbered.images, numbered.target, sample_weight=np.ones(30)
            )


def test_it_is_a_metadata_router():
    routing = get_routing_for_object(Resampled(RandomOverSampler(), NeedsGroups()))
    assert routing.consumes("fit", ["sensitive_features", "other"]) == {"sensitive_features"}
    inner = NeedsGroups()
    with sklearn.config_context(enable_metadata_routing=True):
        inner.set_fit_request(sample_weight=True)
    routing = get_routing_for_object(Resampled(RandomOverSampler(), inner))
    assert routing.consumes("fit", ["sample_weight"]) == {"sample_weight"}

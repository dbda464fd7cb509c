"""`compose`: what ends up inside what."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn.postprocessing import ThresholdOptimizer
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from fairvision.base import Resampled, compose
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier

pytestmark = pytest.mark.cpu


def test_a_model_alone_is_itself():
    model = LogisticRegression()
    assert compose(model=model) is model
    assert compose(model=model, pre=[], post=()) is model


def test_samplers_apply_in_order_and_the_last_post_stands_outermost():
    first, second = RandomUnderSampler(), RandomOverSampler()
    inner, outer = CalibratedClassifierCV(cv=2), ThresholdOptimizer()
    model = LogisticRegression()
    whole = compose(pre=[first, second], model=model, post=[inner, outer])
    assert isinstance(whole, ThresholdOptimizer)
    assert isinstance(whole.estimator, CalibratedClassifierCV)
    assert isinstance(whole.estimator.estimator, Resampled)
    assert whole.estimator.estimator.sampler is first
    assert whole.estimator.estimator.classifier.sampler is second
    assert whole.estimator.estimator.classifier.classifier is model


def test_the_given_post_is_not_changed():
    post = ThresholdOptimizer()
    whole = compose(model=LogisticRegression(), post=post)
    assert post.estimator is None
    assert whole is not post


def test_the_whole_has_parameters_that_can_be_searched():
    whole = compose(pre=RandomOverSampler(), model=TorchClassifier(), post=ThresholdOptimizer())
    whole = clone(whole).set_params(estimator__classifier__lr=0.5)
    assert whole.estimator.classifier.lr == 0.5


@pytest.fixture(scope="module")
def biased():
    """Images whose red channel says the target, and half of it the group."""
    rng = np.random.default_rng(0)
    target, group = rng.integers(0, 2, (2, 120))
    images = rng.integers(0, 60, (120, 3, 8, 8), dtype=np.uint8)
    images[:, 0] += (target * 60 + group * 40).astype(np.uint8)[:, None, None]
    return images, target, np.where(group, "right", "left")


def test_all_three_stages_work_together_on_images(biased):
    images, target, groups = biased
    whole = compose(
        pre=RandomOverSampler(random_state=0),
        model=TorchClassifier("mlp", max_epochs=3, random_state=0),
        post=ThresholdOptimizer(constraints="demographic_parity", predict_method="predict_proba"),
    ).fit(images, target, sensitive_features=groups)
    predicted = whole.predict(images, sensitive_features=groups, random_state=0)
    rates = [predicted[groups == side].mean() for side in ("left", "right")]
    assert abs(rates[0] - rates[1]) < 0.15
    assert isinstance(whole.estimator_, Resampled)


def test_a_frozen_model_is_mended_and_not_trained_again(biased):
    images, target, groups = biased
    model = TorchClassifier("mlp", max_epochs=3, random_state=0).fit(images, target)
    expected = model.predict_proba(images)
    whole = compose(
        model=FrozenEstimator(model),
        post=ThresholdOptimizer(
            constraints="equalized_odds", predict_method="predict_proba", prefit=True
        ),
    ).fit(images, 1 - target, sensitive_features=groups)
    np.testing.assert_array_equal(whole.estimator.predict_proba(images), expected)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"model": "erm"}, "model is 'erm'; pass a classifier object"),
        ({"model": LogisticRegression}, "model is <class .*; pass a classifier object"),
        ({"pre": LogisticRegression()}, r"pre is LogisticRegression\(\); pass a sampler object"),
        ({"pre": [RandomOverSampler]}, "pre is <class .*; pass a sampler object"),
        ({"post": LogisticRegression()}, "post is LogisticRegression.*needs an `estimator`"),
        ({"post": ThresholdOptimizer}, "post is <class .*; pass a meta-estimator object"),
        ({"post": 3}, "post is 3; pass a meta-estimator"),
    ],
)
def test_what_is_in_the_wrong_place_is_named(parts, message):
    with pytest.raises(InputError, match=message):
        compose(**{"model": LogisticRegression()} | parts)
